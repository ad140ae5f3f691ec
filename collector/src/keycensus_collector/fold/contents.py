"""What manifests name, parts included, and which of it was not read yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from keycensus_collector.catalogue.parse import CERTIFICATE, SPKI
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.store.schema import (
    blob,
    certificate,
    manifest_entry,
    manifest_part,
    public_key,
)


@dataclass(slots=True)
class Contents:
    """Certificates by manifest in the order of the file, and all that the manifests name."""

    by_manifest: dict[bytes, list[bytes]] = field(default_factory=dict)
    certificates: set[bytes] = field(default_factory=set)
    private_keys: set[bytes] = field(default_factory=set)

    def of(self, manifest: bytes) -> list[bytes]:
        """Return the certificates in a manifest."""
        return self.by_manifest.get(manifest, [])


def load_contents(connection: Connection, manifests: Iterable[bytes]) -> Contents:
    """Return what these manifests name."""
    contents = Contents()
    wanted = sorted(manifests)
    owner: dict[bytes, list[bytes]] = {manifest: [manifest] for manifest in wanted}
    for chunk in chunked(wanted):
        parts = connection.execute(
            select(manifest_part.c.manifest, manifest_part.c.part)
            .where(manifest_part.c.manifest.in_(chunk))
            .order_by(manifest_part.c.manifest, manifest_part.c.position)
        )
        for whole, part in parts:
            owner.setdefault(part, []).append(whole)
    for chunk in chunked(sorted(owner)):
        entries = connection.execute(
            select(manifest_entry.c.manifest, manifest_entry.c.kind, manifest_entry.c.artifact)
            .where(
                manifest_entry.c.manifest.in_(chunk),
                manifest_entry.c.kind.in_(("certificate", "private-key")),
                manifest_entry.c.artifact != b"",
            )
            .order_by(manifest_entry.c.manifest, manifest_entry.c.position)
        )
        for listed_in, kind, artifact in entries:
            if kind == "private-key":
                contents.private_keys.add(artifact)
                continue
            contents.certificates.add(artifact)
            for manifest in owner[listed_in]:
                contents.by_manifest.setdefault(manifest, []).append(artifact)
    return contents


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
