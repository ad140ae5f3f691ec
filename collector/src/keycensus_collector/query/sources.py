"""What conditions are made from: the tables they look at, and whose SQL they are for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    CompoundSelect,
    Connection,
    Executable,
    Select,
    literal_column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from keycensus_collector.query.bound import Literal
from keycensus_collector.query.fields import Level
from keycensus_collector.query.relations import Tables


@dataclass(frozen=True, slots=True)
class Sources:
    """Where conditions take their columns from, and the connection whose SQL they are for.

    `path`: that of a name in a tree, where such a name is looked at; None: the place's own.
    """

    connection: Connection
    tables: Tables
    now_ms: int
    asker: str = ""
    path: ColumnElement[str] | None = None


def one_by_one(sources: Sources, query: Select[Any]) -> Select[Any]:
    """Return a statement that is asked for each row by itself.

    PostgreSQL would answer an EXISTS for all rows at once, before the first one of a page is known; not
    where the statement says where it begins.
    """
    if sources.connection.dialect.name != "postgresql":
        return query
    return query.offset(literal_column("0"))


@contextmanager
def row_by_row(connection: Connection) -> Iterator[None]:
    """Let statements that end after some rows begin with the first: what joins by hashes reads all of a table before.

    Of several conditions PostgreSQL expects fewer rows than there are, and so takes reading all for cheaper.
    """
    if connection.dialect.name != "postgresql":
        yield
        return
    set_ = "SELECT set_config('enable_hashjoin', '{0}', true), set_config('enable_mergejoin', '{0}', true)"
    connection.exec_driver_sql(set_.format("off"))
    yield  # after an error the transaction is over, and the setting with it
    connection.exec_driver_sql(set_.format("on"))


class _Expected(Executable, ClauseElement):
    """The plan of a statement, as PostgreSQL tells it."""

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(_Expected)
def _explain(element: _Expected, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401 - the compiler's own
    return f"EXPLAIN (FORMAT JSON) {compiler.process(element.statement, **options)}"


def expected_rows(connection: Connection, statement: Select[Any]) -> int:
    """Return how many rows PostgreSQL expects of a statement, which it does not run; 0 where nobody knows."""
    if connection.dialect.name != "postgresql":
        return 0
    plan = connection.execute(_Expected(statement)).scalar_one()
    return int(plan[0]["Plan"]["Plan Rows"])


# Rows that are fetched at once: a few times as many as there are round trips to spare.
_AT_ONCE = 500


def first_different(
    connection: Connection, statement: Select[Any] | CompoundSelect[Any], most: int, rows: int
) -> tuple[list[Any], bool]:
    """Return the first different values of a statement's one column, and whether those are all there are.

    Rows are read until `most` values are different, at most `rows`; what is behind them is not looked for.
    """
    found: dict[Any, None] = {}
    read = 0
    with row_by_row(connection):
        limited = statement.limit(rows)
        result = connection.execute(limited, execution_options={"yield_per": _AT_ONCE})
        for some in result.scalars().partitions():
            found.update(dict.fromkeys(some))
            read += len(some)
            if len(found) >= most:
                break
        result.close()
    return list(found)[:most], len(found) < most and read < rows


Special = Callable[[Sources, Literal, Level], ColumnElement[bool]]
