"""Hosts that were not heard of for three heartbeats are silent: a fact about us, not about them.

A silent host has lost nothing: its places stay as they were last known. Intake makes a host active
again when it speaks.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from keycensus_collector.authority.hosts import set_host_state
from keycensus_collector.store.schema import host

MISSED_HEARTBEATS = 3


def mark_silent(
    connection: Connection, *, now_ms: int, listening_since_ms: int, heartbeat_seconds: int
) -> int:
    """Mark hosts silent and return how many; none before we ourselves listened long enough."""
    cutoff = now_ms - MISSED_HEARTBEATS * heartbeat_seconds * 1000
    if listening_since_ms > cutoff:
        return 0
    numbers = (
        connection.execute(
            select(host.c.host_no)
            .where(host.c.state == "active", host.c.last_seen_ms < cutoff)
            .order_by(host.c.host_no)
        )
        .scalars()
        .all()
    )
    for number in numbers:
        set_host_state(connection, number, "silent", "heartbeats missed", now_ms)
    return len(numbers)
