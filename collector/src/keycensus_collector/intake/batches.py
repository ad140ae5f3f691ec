"""The transaction of one batch: all of it, once, by the newest stream of an active agent.

    1 the stream may still write: newest session, agent active, serial not void
    2 the sequence is the next one; one that was committed gets its stored ack again
    3 items whose manifest is not complete, or for which the host has no room, are put aside
    4 the ack is stored with the batch, and what was refused with its reason
    5 places with versions, holdings, gaps, usages
    6 the host, the session, and a row for the fold

What is refused as a whole raises `errors.Refusal` and leaves no trace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, insert, select, update

from keycensus_collector.authority.peer import check_peer
from keycensus_collector.errors import Refusal
from keycensus_collector.intake import convert
from keycensus_collector.intake.bulk import Setting, insert_into
from keycensus_collector.intake.gaps import write_gaps
from keycensus_collector.intake.holding import apply_moves, holds_of
from keycensus_collector.intake.hosts import counters_columns, facts_columns, stored_host, touch
from keycensus_collector.intake.manifests import ManifestCache, find_incomplete
from keycensus_collector.intake.model import (
    Ack,
    ItemResult,
    RefusedRow,
    RowClass,
    StreamIdentity,
)
from keycensus_collector.intake.places import write_places
from keycensus_collector.intake.quota import Quota
from keycensus_collector.intake.refusals import settle_refusals
from keycensus_collector.intake.rows import PlaceChange, Prepared
from keycensus_collector.intake.standing import put_aside_beyond
from keycensus_collector.intake.usages import write_usages
from keycensus_collector.store.schema import (
    host,
    intake_batch,
    session,
    work,
)

_MISSING_BLOB = "missing-blob"

_STREAM = (
    select(
        session.c.session,
        session.c.instance,
        session.c.last_sequence,
        session.c.complete,
        host.c.state.label("host_state"),
    )
    .join(host, host.c.host_no == bindparam("host"))
    .where(session.c.agent_no == bindparam("agent"))
    .with_for_update(of=session)
)
_INSERT_BATCH = insert(intake_batch).returning(intake_batch.c.batch_no)
_INSERT_WORK = insert_into(work, leave_out=("work_no",))
_PROGRESS = Setting(session.c.agent_no, ("last_sequence", "complete"))


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the host of a batch may have, and what is known of what it has."""

    quota: Quota
    rows_per_host: int


@dataclass(frozen=True, slots=True)
class Committed:
    """What a batch's transaction came to; `ack` is encoded."""

    ack: bytes
    duplicate: bool
    results: tuple[ItemResult, ...] = ()


def check_stream(connection: Connection, stream: StreamIdentity) -> RowMapping:
    """Return session and host of a stream that may still write; Refusal if it may not.

    Locks the session's row where the database has row locks, so that no newer stream begins while
    this transaction runs.
    """
    peer = stream.peer
    check_peer(connection, peer)
    row = (
        connection.execute(_STREAM, {"agent": peer.agent_no, "host": peer.host_no})
        .mappings()
        .one_or_none()
    )
    if row is None or (row["session"], row["instance"]) != (stream.session, stream.instance):
        raise Refusal("superseded", "a newer stream of this agent is open; use that one")
    return row


def commit_batch(
    connection: Connection,
    stream: StreamIdentity,
    prepared: Prepared,
    *,
    cache: ManifestCache,
    unfit: Mapping[bytes, str],
    allowance: Allowance,
    now_ms: int,
) -> Committed:
    """Write a batch and return its ack; the caller's transaction makes it true.

    `unfit` says why manifests that were offered in this stream can't be complete; empty if they
    may be named all the same.
    """
    if prepared.sequence < 1:
        raise Refusal("protocol", "the sequences of batches begin at 1")
    state = check_stream(connection, stream)
    if prepared.sequence <= state["last_sequence"]:
        return _repeat(connection, stream, prepared.sequence)
    if prepared.sequence != state["last_sequence"] + 1:
        raise Refusal(
            "out-of-sequence",
            f"batch {prepared.sequence} came after {state['last_sequence']}; begin with hello",
        )
    return write_batch(
        connection,
        stream,
        prepared,
        complete=state["complete"],
        host_state=state["host_state"],
        cache=cache,
        unfit=unfit,
        allowance=allowance,
        now_ms=now_ms,
    )


def write_batch(
    connection: Connection,
    stream: StreamIdentity,
    prepared: Prepared,
    *,
    complete: bool,
    host_state: str,
    cache: ManifestCache,
    unfit: Mapping[bytes, str],
    allowance: Allowance,
    now_ms: int,
) -> Committed:
    """Write the next batch of a stream that was checked: steps 3 to 6.

    `complete`: an earlier batch of the session ended a full sweep already.
    """
    host_no = stream.peer.host_no
    beyond = put_aside_beyond(
        connection, host_no, prepared, allowance.quota, allowance.rows_per_host
    )
    places, refused, retried = _put_aside(connection, prepared, cache, unfit)
    refused += beyond
    results = _results(refused, retried)
    ack = convert.encode_ack(Ack(prepared.sequence, results))
    batch_no = insert_batch(
        connection,
        stream,
        sequence=prepared.sequence,
        ack=ack,
        changes=prepared.change_count,
        now_ms=now_ms,
    )
    holds = holds_of(connection, {change.manifest for change in places}, cache)
    moves = write_places(
        connection, places, host_no=host_no, batch_no=batch_no, at_ms=now_ms, holds=holds
    )
    apply_moves(connection, host_no, moves, cache)
    write_gaps(connection, prepared.gaps, host_no=host_no, at_ms=now_ms)
    write_usages(connection, prepared.usages, host_no=host_no, at_ms=now_ms)
    taken = (
        (RowClass.PLACE.value, (change.key for change in places)),
        (RowClass.GAP.value, prepared.gaps),
        (RowClass.USAGE.value, prepared.usages),
    )
    settle_refusals(connection, host_no, taken=taken, refused=refused, now_ms=now_ms)
    # A state that could not be written yet is missing from what the sweep found.
    now_complete = prepared.complete and not retried
    columns = _host_columns(connection, host_no, prepared, complete=now_complete)
    touch(connection, host_no, host_state, now_ms, columns)
    progress = {"last_sequence": prepared.sequence, "complete": now_complete or complete}
    _PROGRESS.run(connection, stream.peer.agent_no, progress)
    queue_batch(connection, batch_no, now_ms)
    return Committed(ack, duplicate=False, results=results)


def _put_aside(
    connection: Connection,
    prepared: Prepared,
    cache: ManifestCache,
    unfit: Mapping[bytes, str],
) -> tuple[list[PlaceChange], list[RefusedRow], list[int]]:
    """Return the places that can be written, what is refused, and positions to be sent again.

    Once a place has to be sent again, so have its later states in this batch: an older state must
    not arrive after a newer one.
    """
    incomplete = find_incomplete(connection, prepared.manifests, cache)
    incomplete -= {hash_ for hash_ in incomplete if unfit.get(hash_) == ""}
    refused = list(prepared.refused)
    if not incomplete:
        return prepared.places, refused, []
    places: list[PlaceChange] = []
    retried: list[int] = []
    for key, usage in list(prepared.usages.items()):
        if usage.manifest in incomplete:
            del prepared.usages[key]
            if usage.manifest in unfit:
                path, reason = str(dict(usage.columns)["configuration"]), unfit[usage.manifest]
                number = RowClass.USAGE.value
                refused.append(RefusedRow(usage.position, number, key, path, reason))
            else:
                retried.append(usage.position)
    keys: set[bytes] = set()
    for change in prepared.places:
        if change.key in keys or (change.manifest in incomplete and change.manifest not in unfit):
            keys.add(change.key)
            retried.append(change.position)
        elif change.manifest in incomplete:
            path, reason = str(change.columns[4]), unfit[change.manifest]
            row = RefusedRow(change.position, RowClass.PLACE.value, change.key, path, reason)
            refused.append(row)
        else:
            places.append(change)
    return places, refused, retried


def _results(refused: Sequence[RefusedRow], retried: Sequence[int]) -> tuple[ItemResult, ...]:
    results = [ItemResult(row.position, "refused", row.reason) for row in refused]
    results += [ItemResult(position, "retry", _MISSING_BLOB) for position in retried]
    return tuple(sorted(results, key=lambda item: item.index))


def _repeat(connection: Connection, stream: StreamIdentity, sequence: int) -> Committed:
    """Count a duplicate and return its stored ack; one that the agent had confirmed was committed."""
    mine = (
        (intake_batch.c.agent_no == stream.peer.agent_no)
        & (intake_batch.c.instance == stream.instance)
        & (intake_batch.c.sequence == sequence)
    )
    ack = connection.execute(select(intake_batch.c.ack).where(mine)).scalar()
    connection.execute(
        update(intake_batch).where(mine).values(duplicates=intake_batch.c.duplicates + 1)
    )
    connection.execute(
        update(session)
        .where(session.c.agent_no == stream.peer.agent_no)
        .values(duplicates=session.c.duplicates + 1)
    )
    return Committed(ack or convert.encode_ack(Ack(sequence)), duplicate=True)


def insert_batch(
    connection: Connection,
    stream: StreamIdentity,
    *,
    sequence: int,
    ack: bytes,
    changes: int,
    now_ms: int,
) -> int:
    """Write the row of a batch and return its number."""
    number: int = connection.execute(
        _INSERT_BATCH,
        {
            "agent_no": stream.peer.agent_no,
            "instance": stream.instance,
            "sequence": sequence,
            "ack": ack,
            "received_ms": now_ms,
            "changes": changes,
            "duplicates": 0,
        },
    ).scalar_one()
    return number


def queue_batch(connection: Connection, batch_no: int, now_ms: int) -> None:
    """Let the fold know that a batch was written."""
    _INSERT_WORK.run(connection, [("batch", b"", batch_no, now_ms)])


def _host_columns(
    connection: Connection, host_no: int, prepared: Prepared, *, complete: bool
) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if prepared.host is not None:
        columns = facts_columns(stored_host(connection, host_no), prepared.host)
    columns |= counters_columns(prepared.counters)
    if complete:
        columns["complete"] = True
    return columns
