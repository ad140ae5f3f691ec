"""What a stream changes of its host: facts, when it was last seen, and that it is back.

Facts are claims; they are escaped and stored, and nothing is decided by them. The host is the
authenticated peer's.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from keycensus_collector.authority.hosts import set_host_state
from keycensus_collector.intake.bulk import Setting
from keycensus_collector.intake.rows import HostRow
from keycensus_collector.store.schema import host

_HOST = select(host.c.state, host.c.facts, host.c.labels).where(
    host.c.host_no == bindparam("number")
)


def stored_host(connection: Connection, host_no: int) -> Row[*tuple[Any, ...]]:
    """Return state, facts and labels of a host: what new facts are compared with."""
    return connection.execute(_HOST, {"number": host_no}).one()


def facts_columns(stored: Row[*tuple[Any, ...]], row: HostRow) -> dict[str, Any]:
    """Return the columns of `host` that the facts set; labels of the token are kept.

    `stored` is what `stored_host` says of the host.
    """
    if stored.facts == row.row:
        return {}
    facts = row.facts
    labels = {**json.loads(stored.labels), "host": facts.labels}
    columns: dict[str, Any] = {
        "facts": row.row,
        "operating_system": facts.operating_system,
        "kernel": facts.kernel,
        "machine_hash": facts.machine_hash or None,
        "labels": json.dumps(labels, sort_keys=True),
    }
    if facts.name:
        columns["name"] = facts.name
    if facts.agent_version:
        columns["agent_version"] = facts.agent_version
    return columns


def counters_columns(counters: dict[str, int]) -> dict[str, Any]:
    """Return the columns of `host` that counters set; none if there are no counters."""
    return {"counters": json.dumps(counters, sort_keys=True)} if counters else {}


def touch(
    connection: Connection, host_no: int, state: str, now_ms: int, columns: dict[str, Any]
) -> None:
    """Note that the host was heard of, with `columns` of it; one that was silent is active again.

    `state` is its state as read in this transaction. A retired host stays retired.
    """
    if state == "silent":
        set_host_state(connection, host_no, "active", "heard from", now_ms)
    values = {"last_seen_ms": now_ms, **columns}
    _setting(frozenset(values)).run(connection, host_no, values)


@cache
def _setting(names: frozenset[str]) -> Setting:
    """Return what sets these columns of a host: there are few such sets."""
    return Setting(host.c.host_no, names)
