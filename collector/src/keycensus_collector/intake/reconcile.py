"""Reconciliation: what the agent lists against what stands here (protos/README.md, section 7).

Both sides keep the hash of each row's bytes; nothing is computed from columns. A listing comes in
pieces, sorted by key, and is merged piece by piece, so it costs no memory here. Only a complete
list removes anything, and never what a gap of the host covers or what changed since the list began.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, Connection, Select, bindparam, func, select, update

from keycensus_collector.errors import Refusal
from keycensus_collector.intake.batches import check_stream, insert_batch, queue_batch
from keycensus_collector.intake.bulk import KEYS, Keyed
from keycensus_collector.intake.gaps import write_gaps
from keycensus_collector.intake.holding import apply_moves
from keycensus_collector.intake.manifests import ManifestCache
from keycensus_collector.intake.model import HASH_BYTES, Digest, Listing, RowClass, StreamIdentity
from keycensus_collector.intake.places import write_places
from keycensus_collector.intake.refusals import forget_unlisted
from keycensus_collector.intake.rows import HOST_KEY, GapChange, PlaceChange
from keycensus_collector.intake.usage_rows import UsageChange
from keycensus_collector.intake.usages import write_usages
from keycensus_collector.store.schema import gap, host, intake_batch, place, session, usage

CAUSE = "reconcile"
# Keys in one Difference: well below a message of 1 MiB.
WANTED_KEYS = 16_384
_DIGEST_ROWS = 10_000

_PATHS = Keyed(
    select(place.c.path_hash, place.c.path, place.c.changed_ms).where(
        place.c.host_no == bindparam("host"), place.c.path_hash.in_(KEYS)
    )
)


@dataclass(slots=True)
class Progress:
    """How far the listing of one class has come."""

    began_ms: int
    reached: bytes = b""
    wanted: list[bytes] = field(default_factory=list)
    wanted_in_all: int = 0
    removed: int = 0

    def take_wanted(self) -> list[bytes]:
        """Return what is wanted and was not told yet."""
        wanted, self.wanted = self.wanted, []
        return wanted


def _standing(row_class: RowClass, host_no: int) -> tuple[Select[Any], Column[Any]]:
    """Return the selection of (key, row hash) of a class that stand on a host, and its key."""
    if row_class is RowClass.PLACE:
        where = place.c.host_no == host_no, place.c.gone_ms.is_(None)
        return select(place.c.path_hash, place.c.row_hash).where(*where), place.c.path_hash
    if row_class is RowClass.GAP:
        where = gap.c.host_no == host_no, gap.c.to_ms.is_(None)
        return select(gap.c.key, gap.c.row_hash).where(*where), gap.c.key
    where = usage.c.host_no == host_no, usage.c.to_ms.is_(None)
    return select(usage.c.key, usage.c.row_hash).where(*where), usage.c.key


def row_class_of(number: int) -> RowClass:
    """Return the class; Refusal "protocol" for one that there is not."""
    try:
        return RowClass(number)
    except ValueError:
        raise Refusal("protocol", f"there is no class of rows {number}") from None


def compare(connection: Connection, stream: StreamIdentity, digest: Digest) -> tuple[bool, int]:
    """Whether the agent's digest of a class is that of what stands here, and of how many rows."""
    row_class = row_class_of(digest.row_class)
    sha256, count = hashlib.sha256(), 0
    for key, row_hash in _rows(connection, row_class, stream.peer.host_no):
        sha256.update(key)
        sha256.update(row_hash)
        count += 1
    return (count, sha256.digest()) == (digest.count, digest.digest), count


def _rows(
    connection: Connection, row_class: RowClass, host_no: int
) -> Iterable[tuple[bytes, bytes]]:
    if row_class is RowClass.HOST:
        facts = connection.execute(
            select(host.c.facts).where(host.c.host_no == host_no)
        ).scalar_one()
        return [(HOST_KEY, hashlib.sha256(facts).digest())]
    statement, key = _standing(row_class, host_no)
    result = connection.execute(statement.order_by(key).execution_options(yield_per=_DIGEST_ROWS))
    return ((row[0], row[1]) for row in result)


def merge_piece(
    connection: Connection,
    stream: StreamIdentity,
    listing: Listing,
    progress: Progress,
    *,
    cache: ManifestCache,
    now_ms: int,
) -> None:
    """Compare one piece with what stands here, remove what it lacks, and note what is wanted.

    Refusal as for a batch, and "protocol" if the list is not sorted.
    """
    state = check_stream(connection, stream)
    row_class = row_class_of(listing.row_class)
    listed = _checked(listing, progress.reached)
    last = None if not listing.more else next(reversed(listed), progress.reached)
    here = _here(connection, row_class, stream.peer.host_no, progress.reached, last)
    wanted = [key for key, row_hash in listed.items() if here.get(key) != row_hash]
    progress.wanted += wanted
    progress.wanted_in_all += len(wanted)
    extra = [key for key in here if key not in listed]
    may_remove = listing.complete and state["complete"] and row_class is not RowClass.HOST
    if may_remove:
        span = progress.reached, last
        forget_unlisted(connection, stream.peer.host_no, row_class.value, listed, span)
    if extra and may_remove:
        removing = _Removing(connection, stream, cache, now_ms)
        progress.removed += removing.remove(row_class, extra, progress.began_ms)
    progress.reached = last or progress.reached
    if not listing.more and may_remove and row_class is RowClass.PLACE:
        set_list_wanted(connection, stream, wanted=False)


def set_list_wanted(connection: Connection, stream: StreamIdentity, *, wanted: bool) -> None:
    """Keep whether the next hello is answered with the wish for a listing."""
    connection.execute(
        update(session).where(session.c.agent_no == stream.peer.agent_no).values(list_wanted=wanted)
    )


def _checked(listing: Listing, reached: bytes) -> dict[bytes, bytes]:
    listed: dict[bytes, bytes] = {}
    for key, row_hash in listing.rows:
        if len(key) != HASH_BYTES or (key <= reached and (listed or reached)):
            raise Refusal("protocol", "a listing is not sorted by keys of 32 bytes")
        listed[key] = row_hash
        reached = key
    return listed


def _here(
    connection: Connection, row_class: RowClass, host_no: int, after: bytes, last: bytes | None
) -> dict[bytes, bytes]:
    if row_class is RowClass.HOST:
        return dict(_rows(connection, row_class, host_no))
    statement, key = _standing(row_class, host_no)
    if after:
        statement = statement.where(key > after)
    if last is not None:
        statement = statement.where(key <= last)
    return {row[0]: row[1] for row in connection.execute(statement)}


def remove_rows(
    connection: Connection,
    stream: StreamIdentity,
    row_class: RowClass,
    kept: Collection[bytes],
    *,
    cache: ManifestCache,
    now_ms: int,
) -> int:
    """Remove what stands on the stream's host and is not among `kept`, unless under a gap; how many."""
    extra = [key for key, _ in _rows(connection, row_class, stream.peer.host_no) if key not in kept]
    # What this transaction wrote itself is kept; all else is older, at the latest of this moment.
    return _Removing(connection, stream, cache, now_ms).remove(row_class, extra, now_ms + 1)


@dataclass(slots=True)
class _Removing:
    connection: Connection
    stream: StreamIdentity
    cache: ManifestCache
    now_ms: int

    def remove(self, row_class: RowClass, keys: list[bytes], began_ms: int) -> int:
        """Remove the rows that a complete list lacks; how many."""
        host_no = self.stream.peer.host_no
        if row_class is RowClass.PLACE:
            return self._remove_places(keys, began_ms)
        if row_class is RowClass.GAP:
            gone: Mapping[bytes, GapChange] = {key: GapChange(key) for key in keys}
            write_gaps(self.connection, gone, host_no=host_no, at_ms=self.now_ms)
        else:
            changes = {key: UsageChange(key) for key in keys}
            write_usages(self.connection, changes, host_no=host_no, at_ms=self.now_ms)
        return len(keys)

    def _remove_places(self, keys: list[bytes], began_ms: int) -> int:
        host_no = self.stream.peer.host_no
        prefixes = set(
            self.connection.execute(
                select(gap.c.prefix).where(gap.c.host_no == host_no, gap.c.to_ms.is_(None))
            ).scalars()
        )
        rows = _PATHS.rows(self.connection, keys, host=host_no)
        changes = [
            PlaceChange(key, 0, b"", b"", b"", "", "", (), CAUSE, self.now_ms, 0)
            for key, path, changed_ms in sorted(rows)
            if changed_ms < began_ms and not is_covered(path, prefixes)
        ]
        if not changes:
            return 0
        batch_no = insert_batch(
            self.connection,
            self.stream,
            sequence=self._sequence(),
            ack=b"",
            changes=len(changes),
            now_ms=self.now_ms,
        )
        moves = write_places(
            self.connection,
            changes,
            host_no=host_no,
            batch_no=batch_no,
            at_ms=self.now_ms,
            holds={},  # they go, and hold what they held
        )
        apply_moves(self.connection, host_no, moves, self.cache)
        queue_batch(self.connection, batch_no, self.now_ms)
        return len(changes)

    def _sequence(self) -> int:
        """Return a sequence below all of the instance's: removals are batches of our own."""
        lowest = self.connection.execute(
            select(func.min(intake_batch.c.sequence)).where(
                intake_batch.c.agent_no == self.stream.peer.agent_no,
                intake_batch.c.instance == self.stream.instance,
            )
        ).scalar()
        return min(lowest or 0, 0) - 1


def is_covered(path: str, prefixes: set[str]) -> bool:
    """Whether a gap's prefix is the path or one of its parents; all as escaped text."""
    if path in prefixes or "/" in prefixes:
        return True
    at = path.rfind("/")
    while at > 0:
        if path[:at] in prefixes:
            return True
        at = path.rfind("/", 0, at)
    return False
