"""What a stream changes of its host: facts, when it was last seen, and that it is back.

Facts are claims; they are escaped and stored, and nothing is decided by them. The host is the
authenticated peer's.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from keycensus_collector.intake.rows import HostRow
from keycensus_collector.store.schema import host, host_state

_SEEN = (
    update(host).where(host.c.host_no == bindparam("number")).values(last_seen_ms=bindparam("at"))
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


def touch(
    connection: Connection, host_no: int, state: str, now_ms: int, columns: dict[str, Any]
) -> None:
    """Note that the host was heard of, with `columns` of it; one that was silent is active again.

    `state` is its state as read in this transaction. A retired host stays retired.
    """
    if state == "silent":
        columns = {**columns, "state": "active"}
        _begin_state(connection, host_no, now_ms)
    connection.execute(_SEEN, {"number": host_no, "at": now_ms})
    if columns:
        connection.execute(update(host).where(host.c.host_no == host_no).values(**columns))


def _begin_state(connection: Connection, host_no: int, now_ms: int) -> None:
    """End the host's open state interval and begin one as active, not before the old one began."""
    began = connection.execute(
        select(host_state.c.from_ms).where(
            host_state.c.host_no == host_no, host_state.c.to_ms.is_(None)
        )
    ).scalar()
    from_ms = now_ms if began is None else max(now_ms, began + 1)
    connection.execute(
        update(host_state)
        .where(host_state.c.host_no == host_no, host_state.c.to_ms.is_(None))
        .values(to_ms=from_ms)
    )
    connection.execute(
        insert(host_state).values(
            host_no=host_no, from_ms=from_ms, to_ms=None, state="active", cause="heard"
        )
    )
