"""What an operator does to hosts: list, retire, say that one succeeds another."""

from __future__ import annotations

import json

from sqlalchemy import Connection, select

from keycensus_collector.access import audit
from keycensus_collector.agent_operations import set_agent_state
from keycensus_collector.authority.hosts import set_host_state
from keycensus_collector.errors import ConflictError
from keycensus_collector.intake.succession import hand_over
from keycensus_collector.inventory.succession import propose, warn_of_banned
from keycensus_collector.operation import (
    Arguments,
    Json,
    Operation,
    Surroundings,
    find_host,
    text_of,
)
from keycensus_collector.store.schema import agent, host


def _list(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    rows = connection.execute(select(host).order_by(host.c.name, host.c.host_no)).all()
    proposals = propose(connection)
    warnings = warn_of_banned(connection)
    return [
        {
            "id": row.host_id,
            "name": row.name,
            "state": "banned" if row.banned_ms is not None else row.state,
            "last_seen_ms": row.last_seen_ms,
            "complete": row.complete,
            "operating_system": row.operating_system,
            "agent_version": row.agent_version,
            "labels": json.loads(row.labels),
            "may_succeed": proposals.get(row.host_no, []),
            "warning": warnings.get(row.host_no, ""),
        }
        for row in rows
    ]


def _retire(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    """Retire a host and evict its agents: what is retired does not write."""
    row = find_host(connection, text_of(arguments, "host"))
    set_host_state(connection, row.host_no, "retired", "operator", around.now_ms)
    for each in connection.execute(
        select(agent).where(
            agent.c.host_no == row.host_no, agent.c.state.in_(("active", "cloned", "rekeyed"))
        )
    ).all():
        set_agent_state(connection, around, each, "evicted", "host retired")
    audit.record(
        connection,
        at_ms=around.now_ms,
        actor=around.actor,
        action="host.retire",
        subject=row.host_id,
    )
    return {"id": row.host_id, "name": row.name, "state": "retired"}


def _succeeds(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    """Say that a host is an earlier one, installed anew: its agents report as that one."""
    old = find_host(connection, text_of(arguments, "old"))
    new = find_host(connection, text_of(arguments, "new"))
    if old.host_no == new.host_no:
        raise ConflictError("a host does not succeed itself")
    for each in (old, new):
        if each.banned_ms is not None:
            raise ConflictError(
                f"host {each.host_id} is banned; unban its agent first, if that is right"
            )
    if new.state == "retired":
        raise ConflictError(f"host {new.host_id} is retired; nothing of it reports any more")
    for each in connection.execute(
        select(agent).where(
            agent.c.host_no == old.host_no, agent.c.state.in_(("active", "cloned", "rekeyed"))
        )
    ).all():
        set_agent_state(connection, around, each, "evicted", f"succeeded by host {new.host_id}")
    moved = hand_over(connection, old.host_no, new.host_no, around.now_ms)
    audit.record(
        connection,
        at_ms=around.now_ms,
        actor=around.actor,
        action="host.succeeds",
        subject=old.host_id,
        detail={"new": new.host_id, "agents": moved},
    )
    return {"id": old.host_id, "name": new.name, "new": new.host_id, "agents": moved}


HOST_OPERATIONS = {
    "host.list": Operation(_list, writes=False),
    "host.retire": Operation(_retire, writes=True),
    "host.succeeds": Operation(_succeeds, writes=True),
}
