"""Blobs that nothing names are collected: stored for an offer whose batch never came.

They cost nobody anything but room, so there is no hurry: what has been here for a day and stands in no
place's or usage's history and in no other manifest is removed, a range of hashes at a time, while streams are
open (without streams no blobs come). A batch that names one at last is told `retry`, and its blobs
are wanted again; so the memory of what is complete must forget what goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import ColumnElement, Connection, delete, exists, or_, select, update

from keycensus_collector.fold.counterparts import note_issuers
from keycensus_collector.intake.bulk import chunks
from keycensus_collector.intake.model import BlobKind
from keycensus_collector.intake.shared import Intake
from keycensus_collector.store.schema import (
    blob,
    certificate,
    certificate_name,
    issuer_edge,
    manifest,
    manifest_entry,
    manifest_part,
    place_version,
    public_key,
    request,
    revocation_list,
    usage,
)
from keycensus_collector.store.tables.listed import listed_certificate
from keycensus_collector.store.tables.sharing import removal

# Longer than any conversation takes, and than a line is usually down.
AGE_MS = 86_400_000
ROUND_SECONDS = 3600.0
# Hashes looked at in one step, all kinds together: some ten milliseconds.
_RANGE = 5_000
_MANIFEST = BlobKind.MANIFEST.value
# What the catalogue made of a blob, by kind: it goes with it.
_CATALOGUED = {
    BlobKind.CERTIFICATE.value: (
        certificate_name.c.sha256,
        issuer_edge.c.child,
        issuer_edge.c.parent,
        certificate.c.sha256,
    ),
    BlobKind.SPKI.value: (public_key.c.key_id,),
    BlobKind.CSR.value: (request.c.sha256,),
    BlobKind.CRL.value: (revocation_list.c.sha256,),
}

_log = structlog.get_logger()


@dataclass(slots=True)
class Collecting:
    """Goes over the blobs round by round; `step` takes one range when it is time."""

    intake: Intake
    _after: bytes = b""
    _next_at: float = 0.0
    _removed: int = 0

    async def step(self, now: float) -> int:
        """Remove what nothing names in the next range of hashes; how many blobs. `now` in seconds."""
        if now < self._next_at:
            return 0
        before_ms = self.intake.clock.now_ms() - AGE_MS
        find = partial(_find, after=self._after, before_ms=before_ms)
        last, found = await self.intake.store.run_read(find)
        removed = 0
        if found:
            removed = await self.intake.write(partial(self._remove, found=found))
        self._removed += removed
        self._after = last
        if not last:
            if self._removed:
                _log.info("blobs.collected", count=self._removed)
            self._next_at, self._removed = now + ROUND_SECONDS, 0
        return removed

    def _remove(self, connection: Connection, found: Sequence[tuple[bytes, int]]) -> int:
        """Remove those of `found` that still nothing names, in one transaction."""
        removed = 0
        manifests: list[bytes] = []
        for chunk in chunks(found):
            kinds: dict[int, list[bytes]] = {}
            for hash_, kind in chunk:
                kinds.setdefault(kind, []).append(hash_)
            for kind, hashes in kinds.items():
                rows = connection.execute(
                    select(blob.c.hash).where(
                        blob.c.kind == kind, blob.c.hash.in_(hashes), _is_unnamed(kind)
                    )
                )
                unnamed = list(rows.scalars())
                _delete(connection, kind, unnamed)
                removed += len(unnamed)
                manifests += unnamed if kind == _MANIFEST else []
        if manifests:
            connection.execute(update(removal).values(times=removal.c.times + 1))
        self.intake.cache.forget(manifests)
        return removed


def _find(
    connection: Connection, *, after: bytes, before_ms: int
) -> tuple[bytes, list[tuple[bytes, int]]]:
    """Return the end of the next range (empty: it is the last) and what nothing names in it."""
    last = connection.execute(
        select(blob.c.hash).where(blob.c.hash > after).order_by(blob.c.hash).offset(_RANGE).limit(1)
    ).scalar()
    found: list[tuple[bytes, int]] = []
    for is_manifest in (True, False):
        statement = select(blob.c.hash, blob.c.kind).where(
            blob.c.hash > after,
            (blob.c.kind == _MANIFEST) == is_manifest,
            blob.c.received_ms < before_ms,
            _is_unnamed(_MANIFEST if is_manifest else 0),
        )
        if last is not None:
            statement = statement.where(blob.c.hash <= last)
        found += [(row.hash, row.kind) for row in connection.execute(statement)]
    return last or b"", found


def _is_unnamed(kind: int) -> ColumnElement[bool]:
    if kind == _MANIFEST:
        in_history = exists().where(place_version.c.manifest == blob.c.hash)
        presented = exists().where(usage.c.manifest == blob.c.hash)
        in_whole = exists().where(manifest_part.c.part == blob.c.hash)
        return ~in_history & ~presented & ~in_whole
    named = exists().where(manifest_entry.c.artifact == blob.c.hash)
    # Lists that statuses rest on, or that somebody brought.
    counts = exists().where(
        revocation_list.c.sha256 == blob.c.hash,
        or_(revocation_list.c.state == "in-force", revocation_list.c.origin != ""),
    )
    listed = exists().where(listed_certificate.c.certificate == blob.c.hash)
    return ~named & ~counts & ~listed


def _delete(connection: Connection, kind: int, hashes: Sequence[bytes]) -> None:
    if not hashes:
        return
    columns = _CATALOGUED.get(kind, ())
    if kind == _MANIFEST:
        columns = (manifest_part.c.manifest, manifest_entry.c.manifest, manifest.c.hash)
    edges = select(issuer_edge.c.child).where(issuer_edge.c.parent.in_(hashes))
    issued: list[bytes] = []
    if issuer_edge.c.parent in columns:
        issued = list(connection.execute(edges).scalars())
    for column in columns:
        connection.execute(delete(column.table).where(column.in_(hashes)))
    note_issuers(connection, issued)
    connection.execute(delete(blob).where(blob.c.kind == kind, blob.c.hash.in_(hashes)))
