"""Which host each listed thing is on: what counts by host, with the conditions of the list."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Select

from keycensus_collector.errors import UsageError
from keycensus_collector.query.ask import Asked
from keycensus_collector.query.compile import Compiler

# An or of things and places is multiplied out, a statement for each.
MOST_STATEMENTS = 64


def pairs_of(connection: Connection, asked: Asked) -> list[Select[Any]]:
    """Return statements whose rows are `host_no` and `identity` of certificates or keys that are listed.

    A pair may come more than once. UsageError for what would be too many statements.
    """
    compiler = Compiler.of(connection, asked.bindings, asked.tables)
    found = compiler.on_hosts(asked.bindings.condition, asked.known, MOST_STATEMENTS)
    if len(found) > MOST_STATEMENTS:
        raise UsageError(
            "this query has too many branches to be counted by host: ask for less with or"
        )
    return found
