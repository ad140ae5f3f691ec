"""What conditions are made from: the tables they look at, and whose SQL they are for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, literal_column

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


Special = Callable[[Sources, Literal, Level], ColumnElement[bool]]
