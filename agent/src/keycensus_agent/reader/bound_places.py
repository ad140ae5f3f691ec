"""The places that configurations name, and which certificates stand there, by the agent's state.

Runs in the reader. Nothing is read from the disk: what the last sweep stored is what is compared with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from keycensus_agent.model import HOST_SCOPE, BlobKind, place_key
from keycensus_agent.reader.convert import blobs_named
from keycensus_agent.reader.state import State
from keycensus_agent.usage import PLACES

# Places of one directory that is named as a whole.
_DIRECTORY_PLACES = 256


@dataclass(slots=True)
class BoundPlaces:
    """For one look; what it was asked once it keeps."""

    state: State
    _contents: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)
    _holders: dict[bytes, list[bytes]] | None = None

    def keys(self, paths: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return the keys of the places that paths name; of a directory, those directly in it."""
        found: dict[bytes, None] = {}
        for path in paths:
            # Also where nothing is known: a place that comes later is named by its path alone.
            found[place_key(HOST_SCOPE, path)] = None
            for key, _ in self._in_directory(path):
                found[key] = None
        return tuple(sorted(found)[:PLACES])

    def paths(self) -> frozenset[bytes]:
        """Return the path of every place that the last sweep stored."""
        rows = self.state.connection.execute("SELECT path FROM place")
        return frozenset(bytes(path) for (path,) in rows)

    def manifests(self, paths: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return the manifests of these places, sorted, without those that have none."""
        found: set[bytes] = set()
        for path in paths:
            row = self.state.connection.execute(
                "SELECT manifest FROM place WHERE path = ?", (path,)
            ).fetchone()
            if row is not None:
                found.add(bytes(row[0]))
            found.update(manifest for _, manifest in self._in_directory(path))
        return tuple(sorted(found - {b""}))

    def _in_directory(self, path: bytes) -> list[tuple[bytes, bytes]]:
        return [
            (bytes(key), bytes(manifest))
            for key, manifest in self.state.connection.execute(
                "SELECT key, manifest FROM place WHERE directory = ? ORDER BY path LIMIT ?",
                (path, _DIRECTORY_PLACES),
            )
        ]

    def fingerprint(self, paths: Iterable[bytes]) -> str:
        """Return what changes when other content comes to stand at these places."""
        return hashlib.sha256(b"".join(self.manifests(paths))).hexdigest()[:16]

    def artifacts(self, manifest: bytes) -> tuple[bytes, ...]:
        """Return the artifacts that a manifest lists, those of its parts included."""
        if manifest not in self._contents:
            self._contents[manifest] = ()  # a manifest that is its own part has no end
            found: list[bytes] = []
            row = self.state.connection.execute(
                "SELECT data FROM blob WHERE hash = ? AND kind = ?",
                (manifest, BlobKind.MANIFEST.value),
            ).fetchone()
            if row is not None:
                parts, found = blobs_named(row[0])
                for part in parts:
                    found += self.artifacts(part)
            self._contents[manifest] = tuple(found)
        return self._contents[manifest]

    def certificates(self, manifests: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return DER by hash of the certificates that manifests list."""
        found: dict[bytes, bytes] = {}
        for manifest in manifests:
            for artifact in self.artifacts(manifest):
                if artifact not in found and (der := self.certificate(artifact)):
                    found[artifact] = der
        return found

    def certificate(self, sha256: bytes) -> bytes:
        """Return a certificate that is kept here; b"" if it is not."""
        row = self.state.connection.execute(
            "SELECT data FROM blob WHERE hash = ? AND kind = ?",
            (sha256, BlobKind.CERTIFICATE.value),
        ).fetchone()
        return b"" if row is None else bytes(row[0])

    def files(self) -> dict[bytes, bytes]:
        """Return the keys of places that are files, by path; none of a package's trust stores."""
        return {
            bytes(path): bytes(key)
            for path, key in self.state.connection.execute(
                "SELECT path, key FROM place WHERE is_link = 0 AND tree = x''"
            )
        }

    def holders(self, sha256: bytes) -> list[bytes]:
        """Return the keys of all places of this host that hold an artifact, live ones or not."""
        if self._holders is None:
            self._holders = {}
            for key, manifest in self.state.connection.execute(
                "SELECT key, manifest FROM place WHERE manifest != x'' ORDER BY key"
            ):
                for artifact in self.artifacts(bytes(manifest)):
                    self._holders.setdefault(artifact, []).append(bytes(key))
        return self._holders.get(sha256, [])
