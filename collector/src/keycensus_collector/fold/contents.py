"""What manifests name, parts included, and which of it was not read yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, func, select

from keycensus_collector.catalogue.parse import CERTIFICATE, SPKI
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.query.relations import PRIVATE_KINDS
from keycensus_collector.store.schema import (
    blob,
    certificate,
    manifest,
    manifest_entry,
    manifest_part,
    public_key,
)

# So many entries are looked at for one place, its manifest's parts together. Files have thousands at
# most; but a few kilobytes can name the same large parts over and over.
PLACE_ENTRIES = 65_536


@dataclass(slots=True)
class Contents:
    """What manifests name. Parts that several of them share are here once, not once for each."""

    # A manifest's own hash and its parts, and the certificates that each of those lists itself.
    parts: dict[bytes, list[bytes]] = field(default_factory=dict)
    listed: dict[bytes, list[bytes]] = field(default_factory=dict)
    certificates: set[bytes] = field(default_factory=set)
    private_keys: set[bytes] = field(default_factory=set)
    # The private and sealed keys that a manifest or part lists itself.
    keys: dict[bytes, list[bytes]] = field(default_factory=dict)

    def of(self, *manifests: bytes) -> list[bytes]:
        """Return the certificates in manifests, each once, in the order of the files."""
        return self._of(self.listed, manifests)

    def keys_of(self, *manifests: bytes) -> list[bytes]:
        """Return the private and sealed keys in manifests, each once, in the order of the files."""
        return self._of(self.keys, manifests)

    def _of(self, listed: dict[bytes, list[bytes]], manifests: Iterable[bytes]) -> list[bytes]:
        parts = dict.fromkeys(part for whole in manifests for part in self.parts.get(whole, ()))
        return list(dict.fromkeys(item for part in parts for item in listed.get(part, ())))


def load_contents(connection: Connection, manifests: Iterable[bytes]) -> Contents:
    """Return what these manifests name, of each the first PLACE_ENTRIES or so."""
    contents = Contents(_parts_of(connection, sorted(manifests)))
    for chunk in chunked(sorted({part for parts in contents.parts.values() for part in parts})):
        entries = connection.execute(
            select(manifest_entry.c.manifest, manifest_entry.c.kind, manifest_entry.c.artifact)
            .where(
                manifest_entry.c.manifest.in_(chunk),
                manifest_entry.c.kind.in_(("certificate", *PRIVATE_KINDS)),
                manifest_entry.c.artifact != b"",
            )
            .order_by(manifest_entry.c.manifest, manifest_entry.c.position)
        )
        for listed_in, kind, artifact in entries:
            if kind in PRIVATE_KINDS:
                contents.keys.setdefault(listed_in, []).append(artifact)
                if kind == "private-key":
                    contents.private_keys.add(artifact)
                continue
            contents.certificates.add(artifact)
            contents.listed.setdefault(listed_in, []).append(artifact)
    return contents


def _parts_of(connection: Connection, manifests: Sequence[bytes]) -> dict[bytes, list[bytes]]:
    """Return for each manifest itself and its parts in order, each once, as far as there is room."""
    parts = {whole: [whole] for whole in manifests}
    room = dict.fromkeys(manifests, PLACE_ENTRIES)
    for chunk in chunked(manifests):
        columns = (manifest_part.c.manifest, manifest_part.c.part, manifest.c.entry_count)
        rows = connection.execute(
            select(*columns)
            .join(manifest, manifest.c.hash == manifest_part.c.part)
            .where(manifest_part.c.manifest.in_(chunk))
            .group_by(*columns)
            .order_by(manifest_part.c.manifest, func.min(manifest_part.c.position))
        )
        for whole, part, entries in rows:
            room[whole] -= entries
            if room[whole] >= 0:
                parts[whole].append(part)
    return parts


def unread_blobs(connection: Connection, contents: Contents) -> set[tuple[bytes, int]]:
    """Return blobs (hash, kind) that are stored, but that the catalogue has not read."""
    unread: set[tuple[bytes, int]] = set()
    for kind, hashes, key in (
        (CERTIFICATE, contents.certificates, certificate.c.sha256),
        (SPKI, contents.private_keys, public_key.c.key_id),
    ):
        for chunk in chunked(sorted(hashes)):
            read = set(connection.execute(select(key).where(key.in_(chunk))).scalars())
            missing = [hash_ for hash_ in chunk if hash_ not in read]
            stored = select(blob.c.hash).where(blob.c.kind == kind, blob.c.hash.in_(missing))
            unread |= {(hash_, kind) for hash_ in connection.execute(stored).scalars()}
    return unread
