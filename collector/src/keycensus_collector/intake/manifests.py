"""Manifests that are stored: what is missing of them, and which artifacts they list.

A manifest is complete when it, its parts and every blob that they name are stored (those over the
cap of their kind excepted). Only a complete one may be named by a place. Manifests never change, so
what was learnt of them once is kept in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sqlalchemy import Connection, and_, bindparam, case, or_, select

from keycensus_collector.intake.bulk import KEYS, Keyed, chunks
from keycensus_collector.intake.model import ARTIFACT_BLOBS, BLOB_CAPS, BlobKey, BlobKind
from keycensus_collector.store.schema import HOLDS, blob, manifest, manifest_entry, manifest_part
from keycensus_collector.store.tables.sharing import removal

Artifact = tuple[bytes, str]  # identity and EntryKind

# A tree names manifests, and a long manifest its parts: three levels, and nothing below.
LEVELS = 3
# Parts that one question may lead to on one level; 1,024 long files have a handful each.
LEVEL_PARTS = 65_536
# A listed artifact costs about 100 bytes here.
_CACHED_ARTIFACTS = 200_000
_CACHED_COMPLETE = 200_000

_KNOWN = Keyed(select(manifest.c.hash).where(manifest.c.hash.in_(KEYS)))
_PARTS = Keyed(
    select(manifest_part.c.manifest, manifest_part.c.part).where(manifest_part.c.manifest.in_(KEYS))
)
_ARTIFACTS = Keyed(
    select(manifest_entry.c.manifest, manifest_entry.c.artifact, manifest_entry.c.kind).where(
        manifest_entry.c.manifest.in_(KEYS)
    )
)
_BLOB_KIND = case(
    *((manifest_entry.c.kind == name, kind.value) for name, kind in ARTIFACT_BLOBS.items()),
    else_=0,
)
_LACKS_BLOB = and_(
    blob.c.hash.is_(None),
    manifest_entry.c.manifest.in_(KEYS),
    or_(
        *(
            and_(manifest_entry.c.kind == name, manifest_entry.c.size <= BLOB_CAPS[kind])
            for name, kind in ARTIFACT_BLOBS.items()
        )
    ),
)
_WITH_BLOBS = manifest_entry.outerjoin(
    blob, and_(blob.c.hash == manifest_entry.c.artifact, blob.c.kind == _BLOB_KIND)
)
_MISSING = Keyed(
    select(manifest_entry.c.manifest, _BLOB_KIND.label("kind"), manifest_entry.c.artifact)
    .select_from(_WITH_BLOBS)
    .where(_LACKS_BLOB)
    .distinct()
    .limit(bindparam("room"))
)
_INCOMPLETE = Keyed(
    select(manifest_entry.c.manifest).select_from(_WITH_BLOBS).where(_LACKS_BLOB).distinct()
)
_REMOVALS = select(removal.c.times)


def holds_mask(artifacts: Iterable[Artifact]) -> int:
    """Return what `place.holds` says of a place whose manifest lists these."""
    mask = 0
    for _, kind in artifacts:
        mask |= HOLDS.get(kind, 0)
    return mask


class ManifestCache:
    """What is known of stored manifests, for all streams. Forgets everything when it is full.

    Used from the event loop and from the store's threads: each method is one operation on a
    dictionary or set. What was complete once stays so until somebody collects blobs: this process
    calls `forget` in the same transaction, and of another collector `follow` hears, which is called
    in each transaction that relies on this.
    """

    def __init__(self) -> None:
        self._contents: dict[bytes, tuple[Artifact, ...]] = {}
        self._holds = {b"": 0}  # of no manifest, too
        self._artifacts = 0
        self._complete: set[bytes] = set()
        self._forgotten = 0
        self._removals: int | None = None
        # The writer's thread and the event loop's both mark and forget.
        self._lock = threading.Lock()

    def contents(self) -> Mapping[bytes, tuple[Artifact, ...]]:
        """Return manifests with the artifacts that they and their parts list, each once.

        What is in it stays in it, for as long as the caller holds it.
        """
        return self._contents

    def remember(self, hash_: bytes, artifacts: tuple[Artifact, ...]) -> None:
        """Keep what a stored manifest lists."""
        if self._artifacts > _CACHED_ARTIFACTS:
            self._contents = {}  # not cleared: someone may be reading the old one
            self._holds = {b"": 0}
            self._artifacts = 0
        self._contents[hash_] = artifacts
        self._holds[hash_] = holds_mask(artifacts)
        self._artifacts += len(artifacts) + 1

    def holds(self) -> Mapping[bytes, int]:
        """Return what `place.holds` says of places with manifests that are remembered, and with none."""
        return self._holds

    def not_known_complete(self, hashes: set[bytes]) -> set[bytes]:
        """Return those of `hashes` that were never seen to be complete."""
        return hashes - self._complete

    @property
    def generation(self) -> int:
        """A number that grows whenever something was forgotten."""
        return self._forgotten

    def mark_complete(self, hashes: Iterable[bytes], generation: int | None = None) -> None:
        """Keep that these manifests are complete.

        `generation` is what it was before they were looked up, by who looked outside of a writing
        transaction: what was removed meanwhile must not be remembered.
        """
        with self._lock:
            if generation not in {None, self._forgotten}:
                return
            if len(self._complete) > _CACHED_COMPLETE:
                self._complete.clear()
            self._complete.update(hashes)

    def follow(self, removals: int) -> None:
        """Forget what was complete if blobs were removed since: `removals` says how often ever.

        It is to be read before what is then marked is looked up.
        """
        with self._lock:
            if self._removals is None:
                self._removals = removals  # nothing was marked before
            elif removals > self._removals:
                self._removals = removals
                self._forgotten += 1
                self._complete.clear()

    def forget(self, hashes: Iterable[bytes]) -> None:
        """Keep no longer that these manifests are complete."""
        with self._lock:
            self._forgotten += 1
            self._complete.difference_update(hashes)


@dataclass(slots=True)
class Missing:
    """What is not stored of some manifests, each missing blob with the manifests that need it."""

    removals: int
    """How often blobs were removed before this was looked up, ever."""
    blobs: dict[BlobKey, set[bytes]] = field(default_factory=dict)
    too_deep: set[bytes] = field(default_factory=set)
    truncated: bool = False

    def add(self, key: BlobKey, roots: set[bytes]) -> None:
        """Note that `roots` need the blob."""
        self.blobs.setdefault(key, set()).update(roots)


def find_missing(connection: Connection, roots: Iterable[bytes], limit: int) -> Missing:
    """Return what is not stored of the manifests `roots`; about `limit` artifacts at most."""
    missing = Missing(connection.execute(_REMOVALS).scalar_one())
    level = {root: {root} for root in roots}
    known: dict[bytes, set[bytes]] = {}
    for _ in range(LEVELS):
        stored = {row.hash for row in _KNOWN.rows(connection, level)}
        for hash_, needed_by in level.items():
            if hash_ in stored:
                known.setdefault(hash_, set()).update(needed_by)
            else:
                missing.add(BlobKey(BlobKind.MANIFEST.value, hash_), needed_by)
        level = _parts_of(connection, stored, level)
        if len(level) > LEVEL_PARTS:
            break
    for needed_by in level.values():
        missing.too_deep |= needed_by
    for chunk in chunks(known):
        room = limit - len(missing.blobs)
        if room <= 0:
            missing.truncated = True
            break
        rows = list(_MISSING.rows(connection, chunk, room=room))
        missing.truncated |= len(rows) == room
        for manifest_hash, kind, artifact in rows:
            missing.add(BlobKey(kind, artifact), known[manifest_hash])
    return missing


def _parts_of(
    connection: Connection, stored: set[bytes], roots: dict[bytes, set[bytes]]
) -> dict[bytes, set[bytes]]:
    parts: dict[bytes, set[bytes]] = {}
    for row in _PARTS.rows(connection, stored):
        parts.setdefault(row.part, set()).update(roots[row.manifest])
    return parts


def find_incomplete(connection: Connection, hashes: set[bytes], cache: ManifestCache) -> set[bytes]:
    """Return those of `hashes` that are not stored or not complete, by what is stored now."""
    cache.follow(connection.execute(_REMOVALS).scalar_one())
    unsure = cache.not_known_complete(hashes)
    incomplete: set[bytes] = set()
    level = {root: {root} for root in unsure}
    for _ in range(LEVELS):
        if not level:
            break
        here = {hash_ for (hash_,) in _KNOWN.rows(connection, level)}
        lacking = {row.manifest for row in _INCOMPLETE.rows(connection, here)}
        for hash_, needed_by in level.items():
            if hash_ in lacking or hash_ not in here:
                incomplete |= needed_by
        level = _parts_of(connection, here, level)
    for needed_by in level.values():
        incomplete |= needed_by
    cache.mark_complete(unsure - incomplete)
    return incomplete


def contents_of(
    connection: Connection, hashes: set[bytes], cache: ManifestCache
) -> Mapping[bytes, tuple[Artifact, ...]]:
    """Return what manifests list, parts included: artifacts that have an identity, each once.

    The result may hold other manifests too.
    """
    known = cache.contents()
    unknown = hashes.difference(known)
    if not unknown:
        return known
    loaded = _load_contents(connection, unknown)
    for hash_, artifacts in loaded.items():
        cache.remember(hash_, artifacts)
    return {**{hash_: known[hash_] for hash_ in hashes if hash_ in known}, **loaded}


def _load_contents(connection: Connection, hashes: set[bytes]) -> dict[bytes, tuple[Artifact, ...]]:
    artifacts: dict[bytes, dict[Artifact, None]] = {hash_: {} for hash_ in hashes}
    level = {root: {root} for root in hashes}
    for _ in range(LEVELS):
        for row in _ARTIFACTS.rows(connection, level):
            if row.artifact:
                for root in level[row.manifest]:
                    artifacts[root][row.artifact, row.kind] = None
        level = _parts_of(connection, set(level), level)
        if not level:
            break
    return {hash_: tuple(listed) for hash_, listed in artifacts.items()}
