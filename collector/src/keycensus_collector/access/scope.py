"""The limits of what somebody sees, put under every question: nobody has to think of them.

A question is asked of a connection as always. Before a statement of it is sent to the database, a
common table expression is put in front for each table that it names, under the name of the table
(`scoped_tables`). In SQL such a name hides the table's everywhere in the statement, so that lists,
counts, groups, exports, details and whatever is added later see the rows in scope and no others. The
expressions themselves name the tables with their schema. A statement that names a table which is not
known here is refused: a new table is nobody's until it is said who sees what of it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Table, event
from sqlalchemy.sql import visitors

from keycensus_collector.access.scoped_tables import OPEN_TABLES, SCOPED
from keycensus_collector.errors import ScopeError

_WITH = re.compile(r"WITH (RECURSIVE )?")
# A name by itself: neither with its schema nor a column of a table.
_WORD = re.compile(r"(?<![\w.])\w+")
_SQLITE_SCHEMA = "main"


def limit(connection: Connection, teams: frozenset[int]) -> Connection:
    """Let a connection see what these teams own, from now until it is given back."""
    schema = connection.dialect.default_schema_name or _SQLITE_SCHEMA

    def rewrite(  # the signature is SQLAlchemy's
        connection: Connection,
        _cursor: Any,  # noqa: ANN401
        statement: str,
        parameters: Any,  # noqa: ANN401
        context: Any,  # noqa: ANN401
        _executemany: bool,  # noqa: FBT001
    ) -> tuple[str, Any]:
        compiled = context.compiled if context is not None else None
        if compiled is None or compiled.statement is None:
            raise ScopeError("a statement without a known meaning can't be limited to teams")
        if not compiled.statement.is_select:
            return statement, parameters
        names = frozenset(
            each.name for each in visitors.iterate(compiled.statement) if isinstance(each, Table)
        )
        return _limited(connection.dialect, schema, teams, names, statement), parameters

    event.listen(connection, "before_cursor_execute", rewrite, retval=True)
    return connection


def _limited(
    dialect: Dialect, schema: str, teams: frozenset[int], names: frozenset[str], statement: str
) -> str:
    unknown = sorted(names - SCOPED.keys() - OPEN_TABLES)
    if unknown:
        raise ScopeError(f"what {', '.join(unknown)} holds is not shown to members of teams yet")
    wanted = _needed(dialect, schema, teams, names & SCOPED.keys())
    if not wanted:
        return statement
    bodies = _bodies(dialect, schema, teams)
    expressions = ", ".join(
        f"{dialect.identifier_preparer.quote(name)} AS "
        f"{'MATERIALIZED' if SCOPED[name][1] else 'NOT MATERIALIZED'} ({bodies[name]})"
        for name in SCOPED
        if name in wanted
    )
    own = _WITH.match(statement)
    if own is None:
        return f"WITH {expressions} {statement}"
    return f"WITH {own[1] or ''}{expressions}, {statement[own.end() :]}"


def _needed(
    dialect: Dialect, schema: str, teams: frozenset[int], names: frozenset[str]
) -> frozenset[str]:
    """Return these and what their statements are made of."""
    bodies = _bodies(dialect, schema, teams)
    needed, waiting = set(names), list(names)
    while waiting:
        for word in _WORD.findall(bodies[waiting.pop()]):
            if word in SCOPED and word not in needed:
                needed.add(word)
                waiting.append(word)
    return frozenset(needed)


@lru_cache(maxsize=256)
def _bodies(dialect: Dialect, schema: str, teams: frozenset[int]) -> dict[str, str]:
    """Return the SQL of every table in scope; the real ones are named with their schema."""
    return {
        name: str(
            statement(teams).compile(
                dialect=dialect,
                schema_translate_map={None: schema},
                render_schema_translate=True,
                compile_kwargs={"literal_binds": True},
            )
        )
        for name, (statement, _) in SCOPED.items()
    }
