"""Take a bundle: the same rows by the same code as a stream's, for a host that does not speak itself.

All of it in one transaction, or nothing:

1. whose it is: the host of an earlier import, or a new one; never one that reports by itself;
2. an identity that can't connect, and a session of its own for this import;
3. blobs and batches as intake writes them; whatever would be put aside refuses the whole;
4. what the former import had and this one lacks is gone, unless a gap covers it;
5. the record of the import.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, false, func, insert, or_, select, update

from keycensus_collector.authority.hosts import Claims, add_host, inserted_number, set_host_state
from keycensus_collector.authority.peer import Peer
from keycensus_collector.errors import UsageError
from keycensus_collector.imports.bundle_file import Bundle
from keycensus_collector.imports.stored import record_import
from keycensus_collector.intake.batches import Allowance, write_batch
from keycensus_collector.intake.blobs import store_blobs
from keycensus_collector.intake.bulk import chunks
from keycensus_collector.intake.hosts import facts_columns, stored_host
from keycensus_collector.intake.manifests import ManifestCache
from keycensus_collector.intake.model import (
    INSTANCE_BYTES,
    Limits,
    RowClass,
    StreamIdentity,
)
from keycensus_collector.intake.quota import Quota
from keycensus_collector.intake.reconcile import remove_rows
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import agent, deployment, host, session

IMPORTED = "imported"
_CAUSE = "imported from a bundle"


@dataclass(frozen=True, slots=True)
class Taken:
    """What an import of a bundle came to."""

    number: int
    host_id: str
    host: str
    new_host: bool
    rows: int
    blobs: int
    removed: int  # rows of the former import that this one lacks
    gaps: int
    complete: bool  # its agent could finish its sweep
    taken: int  # milliseconds since the epoch, by its host's clock


def take_bundle(
    connection: Connection,
    bundle: Bundle,
    *,
    actor: str,
    now_ms: int,
    limits: Limits,
    rename: bool = False,
) -> Taken:
    """Take a checked bundle; UsageError if it is of a host that it can't be of, and nothing is taken.

    `rename`: another machine may take the name of a host that was imported before.
    """
    host_no, new = _host_of(connection, bundle, now_ms, rename=rename)
    name, host_id = _named(connection, host_no)
    stream = _stream(connection, host_no, actor, now_ms)
    for group in chunks(bundle.blobs):
        store_blobs(connection, group, now_ms)
    _write(connection, stream, bundle, limits, now_ms)
    removed = _remove_rest(connection, stream, bundle, now_ms)
    taken_ms = min(bundle.hello.agent_time_ms, now_ms)
    columns = facts_columns(stored_host(connection, host_no), bundle.facts)
    columns |= {"last_seen_ms": taken_ms, "complete": bundle.batches[-1].complete}
    connection.execute(update(host).where(host.c.host_no == host_no).values(columns))
    number = record_import(
        connection,
        kind="bundle",
        source=name,
        sha256=bundle.sha256,
        size=bundle.size,
        items=bundle.rows,
        actor=actor,
        now_ms=now_ms,
        taken_ms=taken_ms,
        host_no=host_no,
    )
    return Taken(
        number=number,
        host_id=host_id,
        host=name,
        new_host=new,
        rows=bundle.rows,
        blobs=len(bundle.blobs),
        removed=removed,
        gaps=sum(len(batch.gaps) for batch in bundle.batches),
        complete=bundle.batches[-1].complete,
        taken=taken_ms,
    )


def _host_of(
    connection: Connection, bundle: Bundle, now_ms: int, *, rename: bool
) -> tuple[int, bool]:
    facts = bundle.facts.facts
    machine = facts.machine_hash or None
    rows = connection.execute(
        select(host.c.host_no, host.c.host_id, host.c.name, host.c.state, host.c.machine_hash)
        .add_columns(host.c.banned_ms)
        .where(
            or_(
                func.lower(host.c.name) == facts.name.lower(),
                host.c.machine_hash == machine if machine else false(),
            ),
            host.c.state != "retired",
        )
        .order_by(host.c.host_no)
    ).all()
    _refuse_others(rows, facts.name, machine)
    imported = [row for row in rows if row.state == IMPORTED]
    # Without a machine's hash the name is all there is.
    same = [row for row in imported if row.machine_hash == machine or machine is None]
    if same:
        return same[0].host_no, False
    if imported and not rename:
        raise UsageError(
            f"{facts.name} was imported before, from another machine (host {imported[0].host_id}):"
            " retire that one first, or import with --rename if this one took its place"
        )
    if imported:
        return imported[0].host_no, False
    labels = json.dumps({"token": {}, "host": facts.labels}, sort_keys=True)
    host_no, _ = add_host(connection, labels, Claims(bundle.facts.row, facts), now_ms)
    set_host_state(connection, host_no, IMPORTED, _CAUSE, now_ms)
    return host_no, True


def _refuse_others(
    rows: Sequence[Row[tuple[object, ...]]], name: str, machine: bytes | None
) -> None:
    """Raise UsageError if a host that reports by itself, or one that is banned, would be overwritten."""
    for row in rows:
        why = "machine" if machine is not None and row.machine_hash == machine else "name"
        if row.banned_ms is not None:
            raise UsageError(f"{name} is by its {why} the banned host {row.host_id}: not imported")
        if row.state != IMPORTED:
            raise UsageError(
                f"{name} is by its {why} host {row.host_id} ({row.name}), which reports by itself:"
                " a bundle can't speak for it"
            )


def _named(connection: Connection, host_no: int) -> tuple[str, str]:
    row = connection.execute(select(host.c.name, host.c.host_id).where(host.c.host_no == host_no))
    name, host_id = row.one()
    return name, host_id


def _stream(connection: Connection, host_no: int, actor: str, now_ms: int) -> StreamIdentity:
    """Begin a session of an identity that has no certificate, so that nobody can connect as it."""
    row = connection.execute(
        select(agent.c.agent_no, agent.c.agent_id).where(
            agent.c.host_no == host_no, agent.c.state == IMPORTED
        )
    ).one_or_none()
    agent_id = str(uuid.uuid4()) if row is None else row.agent_id
    if row is None:
        values = {
            "agent_id": agent_id,
            "host_no": host_no,
            "state": IMPORTED,
            "state_reason": "",
            "enrolled_ms": now_ms,
            "enrolled_by": f"import:{actor}",
        }
        result = connection.execute(insert(agent).values(values))
        agent_no = inserted_number(result.inserted_primary_key)
    else:
        agent_no = row.agent_no
    before = connection.execute(
        select(session.c.session).where(session.c.agent_no == agent_no)
    ).scalar()
    instance = os.urandom(INSTANCE_BYTES)
    values = {
        "session": (before or 0) + 1,
        "instance": instance,
        "last_sequence": 0,
        "complete": False,
        "boot_id": b"",
        "opened_ms": now_ms,
        "list_wanted": False,
        "duplicates": 0,
        "past_nonces": b"",
        "nonces_aside": b"",
        "boots": b"",
        "agent_time_ms": 0,
    }
    connection.execute(
        upsert(connection, session)
        .values(agent_no=agent_no, **values)
        .on_conflict_do_update(index_elements=["agent_no"], set_=values)
    )
    here = connection.execute(select(deployment.c.name)).scalar() or ""
    return StreamIdentity(Peer(agent_no, agent_id, host_no, "", here), (before or 0) + 1, instance)


def _write(
    connection: Connection,
    stream: StreamIdentity,
    bundle: Bundle,
    limits: Limits,
    now_ms: int,
) -> None:
    cache = ManifestCache()
    allowance = Allowance(Quota(limits, 0.0), limits.rows_per_host)
    for batch in bundle.batches:
        done = write_batch(
            connection,
            stream,
            batch,
            complete=False,
            host_state=IMPORTED,
            cache=cache,
            unfit={},
            allowance=allowance,
            now_ms=now_ms,
        )
        if done.results:
            first = done.results[0]
            raise UsageError(
                f"batch {batch.sequence} of the bundle: row {first.index + 1} is {first.result},"
                f" {first.reason}; nothing was taken"
            )


def _remove_rest(
    connection: Connection, stream: StreamIdentity, bundle: Bundle, now_ms: int
) -> int:
    kept = {
        RowClass.GAP: {key for batch in bundle.batches for key in batch.gaps},
        RowClass.PLACE: {change.key for batch in bundle.batches for change in batch.places},
        RowClass.USAGE: {key for batch in bundle.batches for key in batch.usages},
    }
    cache = ManifestCache()
    return sum(
        remove_rows(connection, stream, row_class, keys, cache=cache, now_ms=now_ms)
        for row_class, keys in kept.items()
    )
