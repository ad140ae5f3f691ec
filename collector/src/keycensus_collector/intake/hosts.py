"""What a stream changes of its host: facts, when it was last seen, and that it is back.

Facts are claims; they are escaped and stored, and nothing is decided by them. The host is the
authenticated peer's.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from keycensus_collector.authority.hosts import set_host_state
from keycensus_collector.intake.bulk import Bulk
from keycensus_collector.intake.rows import HostRow
from keycensus_collector.store.schema import host

_SEEN = Bulk(
    lambda _: (
        update(host)
        .where(host.c.host_no == bindparam("number"))
        .values(last_seen_ms=bindparam("at"))
    ),
    ["at", "number"],
)


def facts_columns(connection: Connection, host_no: int, row: HostRow) -> dict[str, Any]:
    """Return the columns of `host` that the facts set; labels of the token are kept."""
    stored = connection.execute(
        select(host.c.facts, host.c.labels).where(host.c.host_no == host_no)
    ).one()
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
    _SEEN.run(connection, [(now_ms, host_no)])
    if columns:
        connection.execute(update(host).where(host.c.host_no == host_no).values(**columns))
