"""Blobs that came: checked against their hash and cap, and written in groups.

A blob is what an agent sent, so nothing in it is believed but its own hash. Only manifests are read
here, because what they name must be asked for; certificates and the rest are parsed later, by the
catalogue's limited child.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, repeat

from sqlalchemy import Connection, select

from keycensus_collector.intake import convert
from keycensus_collector.intake.bulk import KEYS, Keyed, insert_into
from keycensus_collector.intake.manifests import Artifact
from keycensus_collector.intake.model import (
    ARTIFACT_BLOBS,
    BLOB_CAPS,
    HASH_BYTES,
    BlobKey,
    BlobKind,
    MalformedError,
    Manifest,
    ManifestEntry,
    ReceivedBlob,
)
from keycensus_collector.intake.words import WORD_CHARACTERS
from keycensus_collector.store.schema import (
    TREE_FORMAT,
    blob,
    manifest,
    manifest_entry,
    manifest_part,
    work,
)
from keycensus_collector.text import safe_path, safe_text

MANIFEST_ENTRIES = 4096
# Longest name of a file on any system (NAME_MAX).
NAME_BYTES = 255
_NO_FILES = frozenset({b".", b".."})
MEMBER_BYTES = 4096
LOCATION_CHARACTERS = 4096

_PRESENT = Keyed(select(blob.c.hash, blob.c.kind).where(blob.c.hash.in_(KEYS)))
_INSERT_BLOB = insert_into(blob)
_INSERT_MANIFEST = insert_into(manifest)
_INSERT_ENTRY = insert_into(manifest_entry)
_INSERT_PART = insert_into(manifest_part)
_INSERT_WORK = insert_into(work, leave_out=("work_no",))


class UnfitBlobError(ValueError):
    """A blob is not what was wanted; `str()` is the protocol's stable word for why."""


@dataclass(frozen=True, slots=True)
class CheckedBlob:
    """A blob whose bytes hash to its name; with what it says if it is a manifest."""

    key: BlobKey
    data: bytes
    manifest: Manifest | None

    @property
    def row_count(self) -> int:
        """Rows that storing it writes."""
        if self.manifest is None:
            return 2
        return 2 + len(self.manifest.entries) + len(self.manifest.parts)

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """What a manifest itself lists, each once."""
        entries = () if self.manifest is None else self.manifest.entries
        listed = {(entry.artifact, safe_text(entry.kind)): None for entry in entries}
        return tuple(artifact for artifact in listed if artifact[0])


def check_blob(received: ReceivedBlob) -> CheckedBlob:
    """Return the blob if it is what its key says; UnfitBlobError if not.

    The words are "over-cap", "hash-mismatch" and "malformed" (a manifest that is none).
    """
    key, data = received.key, received.data
    kind = BlobKind(key.kind)
    if len(data) > BLOB_CAPS[kind]:
        raise UnfitBlobError("over-cap")
    if hashlib.sha256(data).digest() != key.hash:
        raise UnfitBlobError("hash-mismatch")
    if kind is not BlobKind.MANIFEST:
        return CheckedBlob(key, data, None)
    try:
        decoded = convert.decode_manifest(data)
        _check_manifest(decoded)
    except MalformedError:
        raise UnfitBlobError("malformed") from None
    return CheckedBlob(key, data, decoded)


def _check_manifest(decoded: Manifest) -> None:
    if not 0 < len(decoded.format) <= WORD_CHARACTERS:
        raise MalformedError("no format")
    if max(len(decoded.entries), len(decoded.parts)) > MANIFEST_ENTRIES:
        raise MalformedError("too many entries or parts")
    for entry in decoded.entries:
        _check_entry(entry)
    if any(len(part) != HASH_BYTES for part in decoded.parts):
        raise MalformedError("a part is no hash")
    _check_names(decoded)


def _check_names(decoded: Manifest) -> None:
    """Check that a tree's names are those of files in one directory, sorted, each once."""
    names = decoded.names
    if (decoded.format == TREE_FORMAT) != bool(names):
        raise MalformedError("a tree without names, or names of something else")
    if any(before >= after for before, after in pairwise(names)):
        raise MalformedError("names are not in order")
    for name in names:
        if not 0 < len(name) <= NAME_BYTES or name in _NO_FILES or b"/" in name or b"\0" in name:
            raise MalformedError("a name is none")


def _check_entry(entry: ManifestEntry) -> None:
    if len(entry.artifact) != HASH_BYTES and (entry.artifact or entry.kind in ARTIFACT_BLOBS):
        raise MalformedError("an artifact is no hash")
    if len(entry.member) > MEMBER_BYTES or len(entry.location) > LOCATION_CHARACTERS:
        raise MalformedError("a name is too long")
    words = len(entry.kind), len(entry.algorithm), len(entry.curve), len(entry.reason)
    if not entry.kind or max(words) > WORD_CHARACTERS:
        raise MalformedError("a word is missing or too long")


def store_blobs(connection: Connection, group: Sequence[CheckedBlob], now_ms: int) -> None:
    """Write the blobs of a group that are not stored yet, and queue them for the catalogue."""
    by_key = {checked.key: checked for checked in group}
    hashes = {key.hash for key in by_key}
    for row in _PRESENT.rows(connection, hashes):
        by_key.pop(BlobKey(row.kind, row.hash), None)
    new = sorted(by_key.values(), key=lambda checked: checked.key)
    _INSERT_BLOB.run(
        connection,
        [(checked.key.hash, checked.key.kind, checked.data, now_ms) for checked in new],
    )
    _store_manifests(connection, new)
    _INSERT_WORK.run(
        connection,
        [
            ("blob", checked.key.hash, checked.key.kind, now_ms)
            for checked in new
            if checked.manifest is None
        ],
    )


def _store_manifests(connection: Connection, new: Sequence[CheckedBlob]) -> None:
    manifests: list[tuple[object, ...]] = []
    entries: list[tuple[object, ...]] = []
    parts: list[tuple[object, ...]] = []
    for checked in new:
        decoded = checked.manifest
        if decoded is None:
            continue
        hash_ = checked.key.hash
        manifests.append(
            (hash_, safe_text(decoded.format), len(decoded.entries), len(decoded.parts))
        )
        entries += [
            (
                hash_,
                position,
                safe_text(kind),
                artifact,
                safe_path(member) if member else "",
                safe_text(algorithm),
                bits,
                safe_text(curve),
                encrypted,
                size,
                safe_text(reason),
                safe_text(location),
            )
            for position, (
                kind,
                artifact,
                member,
                algorithm,
                bits,
                curve,
                encrypted,
                size,
                reason,
                location,
            ) in enumerate(decoded.entries)
        ]
        names = map(safe_path, decoded.names) if decoded.names else repeat(None)
        named = enumerate(zip(decoded.parts, names, strict=False))
        parts += [(hash_, position, part, name) for position, (part, name) in named]
    _INSERT_MANIFEST.run(connection, manifests)
    _INSERT_ENTRY.run(connection, entries)
    _INSERT_PART.run(connection, parts)
