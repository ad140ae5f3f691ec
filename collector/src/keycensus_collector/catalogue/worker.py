"""The worker that takes the queue: parse blobs, fold batches, resolve issuers.

Intake queues work in the transaction that made it necessary; here it is taken in order and in groups:

1. read a group, and the blobs it names;
2. parse those in the limited child, outside of any transaction: a blob that hangs for seconds must
   not keep intake from writing;
3. in one transaction delete the work and write what came of it. A crash before its end loses nothing,
   and of two collectors that read the same group the one that deletes a row writes for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog
from sqlalchemy import Connection, delete, exists, func, insert, select

from keycensus_collector.catalogue.facts import CATALOGUE_VERSION
from keycensus_collector.catalogue.issuers import (
    Pair,
    find_candidates,
    load_certificates,
    write_edges,
)
from keycensus_collector.catalogue.parse import CAPS, CERTIFICATE, CRL, SPKI
from keycensus_collector.catalogue.parser import CatalogueParser
from keycensus_collector.catalogue.rows import ReadBlob, read_blob_of, write_blobs
from keycensus_collector.clock import Clock
from keycensus_collector.fold.fold import fold_batches
from keycensus_collector.fold.returned import note_issued
from keycensus_collector.imports.lists import join_listed
from keycensus_collector.revocation.queue import note_authorities, note_lists, note_statuses
from keycensus_collector.store.duties import Duties
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import blob, certificate, intake_batch, public_key, work

# How much of each kind one round takes. Blobs bound its memory (at most 1 MiB each), issuers the
# child's time.
_GROUP = {"blob": 128, "batch": 128, "issuers": 128}
# Changes of the batches of one round: they bound the time for which others wait for the writer. A batch
# whose row is gone, since its agent has the ack, may have had as many as any.
_CHANGES = 4_000
_CHANGES_MOST = 1_000
# A round of fewer rows than this is followed by a short wait for company: what a fleet reports comes
# batch by batch, and most of what a round costs it costs once, however many batches it folds.
_SMALL_GROUP = 32
_GATHER_SECONDS = 0.1
_LOOK_AHEAD = 256
# Pairs of certificates whose bytes are in memory at one time.
_PAIRS = 64
# Seconds between looks at an empty queue; answers promise to be folded within two.
POLL_SECONDS = 0.25
# Seconds until the next try after the store failed, for instance by a full disk.
RETRY_SECONDS = 5.0
_REQUEUE_ROWS = 10_000
# Where it stands what a kind of blob was read as.
_READ_IN = {
    CERTIFICATE: (certificate, certificate.c.sha256),
    SPKI: (public_key, public_key.c.key_id),
}

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Group:
    """Work rows of one round, by kind, and what reading gave for them: by work number."""

    rows: dict[int, tuple[str, bytes, int]] = field(default_factory=dict)
    blobs: list[tuple[int, bytes, int, bytes]] = field(default_factory=list)
    batches: list[tuple[int, int]] = field(default_factory=list)
    issuers: list[tuple[int, bytes]] = field(default_factory=list)
    read: dict[int, ReadBlob] = field(default_factory=dict)
    edges: dict[int, list[Pair]] = field(default_factory=dict)
    more: dict[int, bytes] = field(default_factory=dict)


class Worker:
    """Works the queue of one store until cancelled. `wake` makes it look at once."""

    def __init__(
        self, store: Store, clock: Clock, *, parser: CatalogueParser | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._parser = parser or CatalogueParser()
        self._wake = asyncio.Event()
        self._duties = Duties(store)
        # From where on to look for blobs to be read again; None: all were looked at.
        self._unread: Unread | None = Unread()

    def wake(self) -> None:
        """Say, on the event loop, that something was queued."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; trouble with the store is logged and tried again."""
        try:
            while True:
                self._wake.clear()
                done = await self._run_logged()
                if done == 0:
                    await self._pause()
                elif done < _SMALL_GROUP:
                    await asyncio.sleep(_GATHER_SECONDS)
        finally:
            self.close()
            await self._duties.release()

    def close(self) -> None:
        """End the parsing child, which `run` does by itself."""
        self._parser.close()

    async def _run_logged(self) -> int:
        try:
            if not await self._duties.is_ours("catalogue"):
                return 0
            return await self.run_once() or await self._requeue()
        except Exception:  # noqa: BLE001 - logged whole, and the queue must not stop for one row
            # Whatever it was, the transaction is gone as a whole and the work still queued.
            _log.exception("catalogue.round-failed")
            await asyncio.sleep(RETRY_SECONDS)
            return 0

    async def _requeue(self) -> int:
        """Queue some of what was never read, or by an older catalogue, until all was looked at.

        At the start, and only when there is nothing else: what hosts report now goes before.
        """
        if self._unread is None:
            return 0
        step = partial(requeue, unread=self._unread, now_ms=self._clock.now_ms())
        self._unread = await self._store.run_write(step)
        return 1

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return

    async def run_once(self) -> int:
        """Take one group off the queue; return how many rows of work were done."""
        group = await self._store.run_read(_take)
        if not group.rows:
            return 0
        await asyncio.to_thread(self._parse, group)
        if group.issuers:
            await self._resolve(group)
        now_ms = self._clock.now_ms()
        return await self._store.run_write(partial(_finish, group=group, now_ms=now_ms))

    def _parse(self, group: _Group) -> None:
        for number, hash_, kind, data in group.blobs:
            facts = self._parser.parse(kind, data)
            if facts.problem in {"crash", "limit"}:
                _log.warning("catalogue.blob-killed-parser", sha256=hash_.hex(), why=facts.problem)
            group.read[number] = read_blob_of(hash_, data, facts)

    async def _resolve(self, group: _Group) -> None:
        """Find out which certificates issued which of the group, a few blobs in memory at a time."""
        subjects = dict(group.issuers)
        found = await self._store.run_read(partial(find_candidates, subjects=subjects))
        group.more = found.more
        pairs = [(number, pair) for number, pairs in found.pairs.items() for pair in pairs]
        for start in range(0, len(pairs), _PAIRS):
            chunk = pairs[start : start + _PAIRS]
            hashes = {hash_ for _, pair in chunk for hash_ in pair}
            ders = await self._store.run_read(partial(load_certificates, hashes=hashes))
            await asyncio.to_thread(self._verify, chunk, ders, group.edges)

    def _verify(
        self,
        chunk: Sequence[tuple[int, Pair]],
        ders: dict[bytes, bytes],
        edges: dict[int, list[Pair]],
    ) -> None:
        hashes = list(ders)
        places = {hash_: place for place, hash_ in enumerate(hashes)}
        known = [item for item in chunk if item[1][0] in ders and item[1][1] in ders]
        verdicts = self._parser.are_issued(
            [ders[hash_] for hash_ in hashes],
            [(places[child], places[parent]) for _, (child, parent) in known],
        )
        for (number, pair), issued in zip(known, verdicts, strict=True):
            if issued:
                edges.setdefault(number, []).append(pair)


def _take(connection: Connection) -> _Group:
    """Read the head of the queue in order, up to the group's size of each kind."""
    group = _Group()
    rows = connection.execute(
        select(
            *(work.c.work_no, work.c.kind, work.c.subject, work.c.number),
            func.coalesce(intake_batch.c.changes, _CHANGES_MOST).label("changes"),
        )
        .outerjoin(
            intake_batch, (work.c.kind == "batch") & (intake_batch.c.batch_no == work.c.number)
        )
        .order_by(work.c.work_no)
        .limit(_LOOK_AHEAD)
    ).all()
    room = dict(_GROUP)
    changes = 0
    wanted: list[tuple[int, bytes, int]] = []
    for row in rows:
        if row.kind not in room:
            continue  # a newer collector's
        if room[row.kind] == 0:
            break
        if row.kind == "batch":
            if group.batches and changes + row.changes > _CHANGES:
                break
            changes += row.changes
        room[row.kind] -= 1
        group.rows[row.work_no] = (row.kind, row.subject, row.number)
        if row.kind == "blob":
            wanted.append((row.work_no, row.subject, row.number))
        elif row.kind == "batch":
            group.batches.append((row.work_no, row.number))
        else:
            group.issuers.append((row.work_no, row.subject))
    _load_blobs(connection, wanted, group)
    return group


def _load_blobs(
    connection: Connection, wanted: Sequence[tuple[int, bytes, int]], group: _Group
) -> None:
    hashes = [hash_ for _, hash_, _ in wanted]
    found = {
        (row.hash, row.kind): row.data
        for row in connection.execute(select(blob).where(blob.c.hash.in_(hashes)))
    }
    for work_no, hash_, kind in wanted:
        data = found.get((hash_, kind))
        # Otherwise it was collected meanwhile, or is of a kind that is not read: nothing to do.
        if data is not None and kind in CAPS:
            group.blobs.append((work_no, hash_, kind, data))


def _finish(connection: Connection, group: _Group, now_ms: int) -> int:
    ours = _delete(connection, group)
    blobs = [(row[1], row[2], group.read[row[0]]) for row in group.blobs if row[0] in ours]
    if blobs:
        write_blobs(connection, [item for _, _, item in blobs], now_ms)
    certificates = [hash_ for hash_, kind, _ in blobs if kind == CERTIFICATE]
    queue(connection, (("issuers", hash_, 0) for hash_ in certificates), now_ms)
    note_lists(connection, [hash_ for hash_, kind, _ in blobs if kind == CRL])
    note_authorities(connection, certificates)
    join_listed(connection, certificates, now_ms)
    for number, _ in group.issuers:
        if number in ours:
            edges = group.edges.get(number, [])
            write_edges(connection, edges, now_ms)
            children = {child for child, _ in edges}
            note_issued(connection, children)
            note_statuses(connection, children)
            if group.more.get(number):
                queue(connection, [("issuers", group.more[number], 0)], now_ms)
    batches = [batch_no for number, batch_no in group.batches if number in ours]
    unread = fold_batches(connection, batches, now_ms)
    if unread:
        # Another collector is just parsing them, or their work was lost: parse, then fold again.
        queue(connection, (("blob", hash_, kind) for hash_, kind in sorted(unread)), now_ms)
        queue(connection, (("batch", b"", batch_no) for batch_no in batches), now_ms)
    return len(ours)


def _delete(connection: Connection, group: _Group) -> set[int]:
    """Delete the group's rows and return the numbers of those that were still there, so ours.

    A number alone is not enough: SQLite gives those of deleted rows again.
    """
    chosen = select(work.c.work_no, work.c.kind, work.c.subject, work.c.number).where(
        work.c.work_no.in_(list(group.rows))
    )
    if connection.dialect.name == "postgresql":
        chosen = chosen.with_for_update(skip_locked=True)
    ours = {row[0] for row in connection.execute(chosen) if group.rows[row[0]] == tuple(row[1:])}
    connection.execute(delete(work).where(work.c.work_no.in_(ours)))
    return ours


def queue(connection: Connection, items: Iterable[tuple[str, bytes, int]], now_ms: int) -> None:
    """Append work: (kind, subject, number) each."""
    rows = [
        {"kind": kind, "subject": subject, "number": number, "queued_ms": now_ms}
        for kind, subject, number in items
    ]
    if rows:
        connection.execute(insert(work), rows)


@dataclass(frozen=True, slots=True)
class Unread:
    """How far the search for unread blobs has come: all kinds before, and hashes up to this."""

    kind: int = CERTIFICATE
    after: bytes = b""


def requeue(connection: Connection, unread: Unread, now_ms: int) -> Unread | None:
    """Queue blobs that were never read, or read by an older catalogue, as many as one step takes.

    Returns where to go on, or None at the end: a blob is queued once, whatever reading it gives.
    """
    table, key = _READ_IN[unread.kind]
    read = exists().where(key == blob.c.hash, table.c.catalogue_version >= CATALOGUE_VERSION)
    queued = select(work.c.subject).where(work.c.kind == "blob", work.c.number == unread.kind)
    hashes = connection.execute(
        select(blob.c.hash)
        .where(
            blob.c.kind == unread.kind,
            blob.c.hash > unread.after,
            ~read,
            blob.c.hash.not_in(queued),
        )
        .order_by(blob.c.hash)
        .limit(_REQUEUE_ROWS)
    ).scalars()
    found = list(hashes)
    queue(connection, (("blob", hash_, unread.kind) for hash_ in found), now_ms)
    if len(found) == _REQUEUE_ROWS:
        return Unread(unread.kind, found[-1])
    return Unread(SPKI) if unread.kind == CERTIFICATE else None
