"""What the agent knows, as plain frozen data. No input or output, no protobuf.

Words and identities are those of docs/architecture.md. Paths and names from files are bytes, end to
end; they become text only where they are shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum


class EntryKind(StrEnum):
    """Kinds of entries as they stand on the wire and in `scan -o ndjson`."""

    CERTIFICATE = "certificate"
    PRIVATE_KEY = "private-key"
    SEALED_KEY = "sealed-key"
    SEALED_CONTAINER = "sealed-container"
    PUBLIC_KEY = "public-key"
    EXTERNAL_KEY = "external-key"
    OPAQUE_KEY = "opaque-key"
    CSR = "csr"
    CRL = "crl"


class Status(StrEnum):
    """How well a file that holds something could be read."""

    READ = "read"
    LOCKED = "locked"
    PARTIAL = "partial"
    MALFORMED = "malformed"
    TOO_BIG = "too-big"
    UNREADABLE = "unreadable"


class Use(StrEnum):
    """Whether an ordinary name or service reaches a place, or it is kept only."""

    LIVE = "live"
    RETAINED = "retained"


class Role(StrEnum):
    """What a place is for."""

    TRUST_STORE = "trust-store"
    SERVER = "server"
    CLIENT = "client"
    CA = "ca"
    UNKNOWN = "unknown"


class Cause(StrEnum):
    """Why a row is reported; parser, coverage and reconcile are not news to people."""

    FIRST = "first"
    CONTENT = "content"
    FACTS = "facts"
    PARSER = "parser"
    COVERAGE = "coverage"
    RECONCILE = "reconcile"


class BlobKind(Enum):
    """Kinds of public blobs; values are those of `keycensus.v1.BlobKind`."""

    MANIFEST = 1
    CERTIFICATE = 2
    SPKI = 3
    CSR = 4
    CRL = 5


# Longer artifacts are named with hash and size and never sent (protos/README.md, section 8).
ARTIFACT_CAPS = {
    BlobKind.CERTIFICATE: 256 * 1024,
    BlobKind.SPKI: 256 * 1024,
    BlobKind.CSR: 1024 * 1024,
    BlobKind.CRL: 1024 * 1024,
}


class RowClass(Enum):
    """Classes of rows; values are those of `keycensus.v1.RowClass`."""

    PLACE = 1
    USAGE = 2
    GAP = 3
    HOST = 4


@dataclass(frozen=True, slots=True)
class Entry:
    """One artifact inside one file (protos: Entry, where every field is explained)."""

    kind: EntryKind
    artifact: bytes = b""
    member: bytes = b""
    algorithm: str = ""
    bits: int = 0
    curve: str = ""
    encrypted: bool = False
    size: int = 0
    reason: str = ""
    location: str = ""


@dataclass(frozen=True, slots=True)
class Blob:
    """Public bytes that travel once for the whole fleet; `hash` is their SHA-256."""

    kind: BlobKind
    hash: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class CertificateDetail:
    """What a person wants to know of a certificate; read from its DER, for display only.

    Text is as decoded from the certificate and unescaped: hostile. Times are RFC 3339 in UTC
    ("2026-11-23T14:00:00Z"), empty if they could not be read; `serial` is lower-case hexadecimal.
    """

    sha256: bytes
    key_id: bytes = b""
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    not_before: str = ""
    not_after: str = ""
    san: tuple[str, ...] = ()
    is_ca: bool = False
    # Dotted OIDs of the extended key usage, as many as are of interest; empty: for any purpose.
    extended_key_usage: tuple[str, ...] = ()
    self_signed: bool = False
    signature_algorithm: str = ""
    algorithm: str = ""
    bits: int = 0
    curve: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """What the bytes of one file hold, as the parser found it.

    `manifest` is the hash of the manifest that lists `entries` (empty if there is nothing to list);
    `blobs` holds the manifest, its parts, and every public blob that the entries name. A file that
    holds nothing has status READ and no entries: `holds_something` is false. `counters` are for the
    coverage: what was not looked at in an archive, by policy.
    """

    format: str
    status: Status
    reason: str = ""
    entries: tuple[Entry, ...] = ()
    manifest: bytes = b""
    blobs: tuple[Blob, ...] = ()
    details: tuple[CertificateDetail, ...] = ()
    counters: tuple[tuple[str, int], ...] = ()

    @property
    def holds_something(self) -> bool:
        """Whether the file is a finding: it lists entries, or is known to hide some."""
        return bool(self.entries) or self.status is not Status.READ


@dataclass(frozen=True, slots=True)
class Scope:
    """Where on the host a path is meant; ("host", b"") is the host itself."""

    kind: str = "host"
    name: bytes = b""
    # Container id or pod UID at the time: a fact, not part of the identity.
    instance: str = field(default="", compare=False)


HOST_SCOPE = Scope()


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What fstat says of a file. `device` is st_dev, times are nanoseconds since the epoch."""

    device: int
    inode: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    ctime_ns: int
    link_count: int


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution's package: "dpkg", "rpm" or "apk", name and version as its database has them.

    `installed_ns` is when it was installed, in nanoseconds since the epoch; 0 if the database does
    not say, or the package comes from a row, which does not carry it.
    """

    kind: str
    name: str
    version: str = ""
    installed_ns: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Place:
    """One name under which a file that holds something is reached (protos: Place)."""

    path: bytes
    status: Status
    facts: FileFacts
    scope: Scope = HOST_SCOPE
    manifest: bytes = b""
    reason: str = ""
    format: str = ""
    owner: str = ""
    group: str = ""
    acl: bytes = b""
    selinux_label: str = ""
    target: bytes = b""
    file_id: bytes = b""
    role: Role = Role.UNKNOWN
    use: Use = Use.LIVE
    readable_by: str = ""
    package: Package | None = None
    # Where the scope's root is on the host: `path` and `target` are the host's and begin with it.
    prefix: bytes = b""


@dataclass(frozen=True, slots=True)
class Gap:
    """What keeps the agent from knowing whether places exist below `prefix`.

    Reasons: "unlisted", "unreadable", "unmounted", "excluded", "network-file-system",
    "changed-while-read", "too-deep".
    """

    prefix: bytes
    reason: str
    detail: str = ""
    scope: Scope = HOST_SCOPE


@dataclass(frozen=True, slots=True)
class Finding:
    """A place with what its bytes hold: what `scan` shows and `run` reports."""

    place: Place
    parsed: Parsed


@dataclass(slots=True)
class Coverage:
    """What one sweep saw and did not see. Counters are by name, for people and for the wire."""

    gaps: list[Gap] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)

    def count(self, name: str, by: int = 1) -> None:
        """Add to the counter `name`."""
        self.counters[name] = self.counters.get(name, 0) + by

    def pass_over(self, pruned: Sequence[tuple[str, Gap | None]]) -> None:
        """Take in names that a walk did not enter: gaps, and what holds nothing that is stored."""
        for _, gap in pruned:
            if gap is None:
                self.count("passed-over")
            else:
                self.gaps.append(gap)


def _field(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def place_key(scope: Scope, path: bytes) -> bytes:
    """Return the row key of a place (protos/README.md, section 3.1)."""
    return hashlib.sha256(
        b"keycensus place v1\0" + _field(scope.kind.encode()) + _field(scope.name) + _field(path)
    ).digest()


def inside(place: Place, path: bytes) -> bytes:
    """Return a path of the host as it is within the place's scope."""
    return path[len(place.prefix) :] or b"/"


def key_of(place: Place) -> bytes:
    """Return the row key of a place."""
    return place_key(place.scope, inside(place, place.path))


def gap_key(gap: Gap) -> bytes:
    """Return the row key of a gap (protos/README.md, section 3.1)."""
    return hashlib.sha256(
        b"keycensus gap v1\0"
        + _field(gap.scope.kind.encode())
        + _field(gap.scope.name)
        + _field(gap.prefix)
        + _field(gap.reason.encode())
    ).digest()
