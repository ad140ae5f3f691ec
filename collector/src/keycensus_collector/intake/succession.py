"""A host that was installed anew: what its new agents report is the old host's from here on.

The old host keeps its places, with their history and what people decided of them, until the new
agents' next listing says what is still there. What stood under the new host's number is closed, so that
nothing is counted twice.
"""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from keycensus_collector.authority.hosts import set_host_state
from keycensus_collector.authority.peer import Peer
from keycensus_collector.intake.batches import insert_batch, queue_batch
from keycensus_collector.intake.gaps import write_gaps
from keycensus_collector.intake.holding import apply_moves
from keycensus_collector.intake.manifests import ManifestCache
from keycensus_collector.intake.model import StreamIdentity
from keycensus_collector.intake.places import write_places
from keycensus_collector.intake.rows import GapChange, PlaceChange
from keycensus_collector.intake.usage_rows import UsageChange
from keycensus_collector.intake.usages import write_usages
from keycensus_collector.inventory.succession import SUCCEEDED
from keycensus_collector.store.schema import agent, gap, host, intake_batch, place, session, usage

_CAUSE = "reconcile"


def hand_over(connection: Connection, old_no: int, new_no: int, now_ms: int) -> list[str]:
    """Move the agents of one host to another; return their ids. Their open streams are superseded."""
    moving = connection.execute(
        select(agent).where(
            agent.c.host_no == new_no, agent.c.state.in_(("active", "cloned", "rekeyed"))
        )
    ).all()
    for each in moving:
        _close_rows(connection, each.agent_no, new_no, now_ms)
        connection.execute(
            update(agent).where(agent.c.agent_no == each.agent_no).values(host_no=old_no)
        )
        connection.execute(
            update(session)
            .where(session.c.agent_no == each.agent_no)
            .values(session=session.c.session + 1, list_wanted=True)
        )
    set_host_state(connection, new_no, "retired", SUCCEEDED, now_ms)
    set_host_state(connection, old_no, "active", "succession", now_ms)
    connection.execute(
        update(host).where(host.c.host_no == old_no).values(last_seen_ms=now_ms, complete=False)
    )
    return [each.agent_id for each in moving]


def _close_rows(connection: Connection, agent_no: int, host_no: int, now_ms: int) -> None:
    """End every row that stands under a host, as a batch of our own."""
    gaps = connection.execute(
        select(gap.c.key).where(gap.c.host_no == host_no, gap.c.to_ms.is_(None))
    ).scalars()
    gone: dict[bytes, GapChange] = {key: GapChange(key) for key in gaps}
    write_gaps(connection, gone, host_no=host_no, at_ms=now_ms)
    keys = connection.execute(
        select(usage.c.key).where(usage.c.host_no == host_no, usage.c.to_ms.is_(None))
    ).scalars()
    usages = {key: UsageChange(key) for key in keys}
    write_usages(connection, usages, host_no=host_no, at_ms=now_ms)
    standing = connection.execute(
        select(place.c.path_hash).where(place.c.host_no == host_no, place.c.gone_ms.is_(None))
    ).scalars()
    changes = [
        PlaceChange(key, 0, b"", b"", b"", "", "", (), _CAUSE, now_ms, 0)
        for key in sorted(standing)
    ]
    if not changes:
        return
    instance = bytes(16)  # no agent's: the batch is the collector's own
    lowest = connection.execute(
        select(intake_batch.c.sequence)
        .where(intake_batch.c.agent_no == agent_no, intake_batch.c.instance == instance)
        .order_by(intake_batch.c.sequence)
        .limit(1)
    ).scalar()
    stream = StreamIdentity(Peer(agent_no, "", host_no, "", ""), 0, instance)
    batch_no = insert_batch(
        connection,
        stream,
        sequence=min(lowest or 0, 0) - 1,
        ack=b"",
        changes=len(changes),
        now_ms=now_ms,
    )
    moves = write_places(
        connection, changes, host_no=host_no, batch_no=batch_no, at_ms=now_ms, holds={}
    )
    apply_moves(connection, host_no, moves, ManifestCache())
    queue_batch(connection, batch_no, now_ms)
