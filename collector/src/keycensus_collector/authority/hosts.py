"""Hosts as their identities make them: new, taken over after a new installation, active or retired.

What a host says of itself is a claim: escaped, bounded, and nothing is decided by it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from keycensus_collector.errors import Refusal, StoreError
from keycensus_collector.intake.model import HostFacts
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import agent, host, host_state
from keycensus_collector.text import safe_text

_NAME_CHARACTERS = 255
_TEXT_CHARACTERS = 200
_LABELS_MOST = 64


@dataclass(frozen=True, slots=True)
class Claims:
    """What a host says of itself when it joins; `encoded` is kept as received."""

    encoded: bytes
    facts: HostFacts


def set_host_state(
    connection: Connection, host_no: int, state: str, cause: str, now_ms: int
) -> bool:
    """Set a host to "active", "silent" or "retired" and keep the interval; False if it was so."""
    changed = connection.execute(
        update(host)
        .where(host.c.host_no == host_no, host.c.state != state)
        .values(state=state, retired_ms=now_ms if state == "retired" else None)
    )
    if changed.rowcount == 0:
        return False
    connection.execute(
        update(host_state)
        .where(host_state.c.host_no == host_no, host_state.c.to_ms.is_(None))
        .values(to_ms=now_ms)
    )
    _begin_host_state(connection, host_no, state, cause, now_ms)
    return True


def _begin_host_state(
    connection: Connection, host_no: int, state: str, cause: str, now_ms: int
) -> None:
    """Open an interval; one that began at this very millisecond is replaced."""
    statement = upsert(connection, host_state).values(
        host_no=host_no, from_ms=now_ms, to_ms=None, state=state, cause=cause
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["host_no", "from_ms"],
            set_={"state": state, "cause": cause, "to_ms": None},
        )
    )


def take_over_host(connection: Connection, host_no: int, now_ms: int) -> str:
    """Make a host ready for a new identity after its machine was installed anew; return its id.

    The identities that it had end: what is installed anew has one machine. Refusal "banned".
    """
    row = connection.execute(select(host).where(host.c.host_no == host_no)).one()
    if row.banned_ms is not None:
        raise Refusal("banned", "this host was banned; ask the collector's operators")
    connection.execute(
        update(agent)
        .where(agent.c.host_no == host_no, agent.c.state.in_(("active", "cloned", "rekeyed")))
        .values(state="evicted", state_reason="the host was installed anew")
    )
    set_host_state(connection, host_no, "active", "succession", now_ms)
    return str(row.host_id)


def add_host(connection: Connection, labels: str, claims: Claims, now_ms: int) -> tuple[int, str]:
    """Make a new host of what it claims to be; `labels` is the column's JSON."""
    facts = claims.facts
    host_id = str(uuid.uuid4())
    system = f"{facts.operating_system} {facts.operating_system_version}".strip()
    result = connection.execute(
        insert(host).values(
            host_id=host_id,
            name=_clip(facts.name, _NAME_CHARACTERS) or "unnamed",
            state="active",
            created_ms=now_ms,
            last_seen_ms=now_ms,
            complete=False,
            facts=claims.encoded,
            operating_system=_clip(system, _TEXT_CHARACTERS),
            kernel=_clip(facts.kernel, _TEXT_CHARACTERS),
            agent_version=_clip(facts.agent_version, _TEXT_CHARACTERS),
            machine_hash=facts.machine_hash if len(facts.machine_hash) == 32 else None,
            labels=labels,
            counters="{}",
            clock_skew_ms=0,
        )
    )
    host_no = inserted_number(result.inserted_primary_key)
    _begin_host_state(connection, host_no, "active", "enrol", now_ms)
    return host_no, host_id


def claimed_labels(labels: dict[str, str]) -> dict[str, str]:
    """Return what a host calls itself, escaped and bounded."""
    return {
        _clip(key, _TEXT_CHARACTERS): _clip(value, _TEXT_CHARACTERS)
        for key, value in sorted(labels.items())[:_LABELS_MOST]
    }


def _clip(text: str, characters: int) -> str:
    return safe_text(text[:characters])


def inserted_number(key: Sequence[object] | None) -> int:
    """Return the number that the database gave a new row."""
    if key is None or not isinstance(key[0], int):
        raise StoreError("the database gave no number for a new row")
    return key[0]
