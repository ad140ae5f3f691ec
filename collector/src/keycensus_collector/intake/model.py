"""What travels between an agent's stream and the rows, as plain frozen data. No protobuf, no SQL.

Everything here came over the wire from an authenticated but not trusted agent, unless its name says
otherwise (`Limits`, `StreamIdentity`). Hashes are 32 bytes, times are milliseconds since the epoch in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from keycensus_collector.authority.peer import Peer

HASH_BYTES = 32
INSTANCE_BYTES = 16
PROTOCOL_VERSION = 1


class BlobKind(Enum):
    """Kinds of public blobs; values are those of `keycensus.v1.BlobKind`."""

    MANIFEST = 1
    CERTIFICATE = 2
    SPKI = 3
    CSR = 4
    CRL = 5


class RowClass(Enum):
    """Classes of rows; values are those of `keycensus.v1.RowClass`."""

    PLACE = 1
    USAGE = 2
    GAP = 3
    HOST = 4


# Bytes of one blob (protos/README.md, section 8). The SPKI has the certificate's cap: it fits in one.
BLOB_CAPS = {
    BlobKind.MANIFEST: 512 * 1024,
    BlobKind.CERTIFICATE: 256 * 1024,
    BlobKind.SPKI: 256 * 1024,
    BlobKind.CSR: 1024 * 1024,
    BlobKind.CRL: 1024 * 1024,
}

# Entries whose artifact is a blob of its own. The hash of a sealed key has no public bytes behind it.
ARTIFACT_BLOBS = {
    "certificate": BlobKind.CERTIFICATE,
    "private-key": BlobKind.SPKI,
    "public-key": BlobKind.SPKI,
    "csr": BlobKind.CSR,
    "crl": BlobKind.CRL,
}

# Blobs that one Want names, and so one CannotSupply: 36 KiB of message. Rows of one piece of a listing.
WANTED_BLOBS = 1024
LISTING_ROWS = 4096


class BlobKey(NamedTuple):
    """Identity of a blob. Sorts by kind, so a tuple rather than a dataclass."""

    kind: int  # BlobKind value
    hash: bytes


@dataclass(frozen=True, slots=True)
class Limits:
    """What one agent may ask of the collector (protos/README.md, section 8), and what it is told.

    A host with 100,000 places tells its first sweep in one burst. What comes after is bounded by the
    rates, so that a hostile agent costs the others little: it is to take a tenth of a core at most. The
    peaks are what it may do in one second of a burst.
    """

    hello_seconds: float = 10.0
    message_bytes: int = 1024 * 1024
    message_hard_bytes: int = 4 * 1024 * 1024
    batch_changes: int = 1000
    batch_bytes: int = 512 * 1024
    batch_credit: int = 4
    offer_hashes: int = 1024
    open_offers: int = 256
    heartbeat_seconds: int = 900
    linger_seconds: int = 60
    bytes_per_second: float = 2 * 1024 * 1024
    bytes_burst: float = 128 * 1024 * 1024
    bytes_peak: float = 16 * 1024 * 1024
    messages_per_second: float = 500
    messages_burst: float = 50_000
    rows_per_second: float = 2_500
    rows_burst: float = 100_000
    rows_peak: float = 10_000
    batches_per_second: float = 10
    batches_burst: float = 500
    # Streams that begin: a healthy agent opens a few in an hour, one that is restarted again and
    # again a few in a minute.
    hellos_per_second: float = 1
    hellos_burst: float = 60
    rows_per_day: float = 20_000_000
    blob_bytes_per_day: float = 8 * 1024 * 1024 * 1024
    # Wanted blobs that an agent may fail to bring in a day, or bring unfit.
    unfit_per_day: float = 100_000
    # Places, gaps and usages that stand on one host.
    rows_per_host: int = 1_000_000
    # A stream over its rate is made to wait this long at most, then told when to come back.
    patience_seconds: float = 5.0
    # Agent states are looked up this often: a ban must end open streams within 5 s.
    watch_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of a stream (protos: Hello)."""

    protocol_version: int
    agent_version: str
    instance: bytes
    boot_id: bytes
    nonce: bytes
    complete: bool
    acknowledged_sequence: int
    host_facts: bytes
    agent_time_ms: int
    trust_anchors: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """Manifest hashes that the following batches name."""

    number: int
    manifests: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ReceivedBlob:
    """One public blob as it came; its hash is not yet checked."""

    key: BlobKey
    data: bytes


@dataclass(frozen=True, slots=True)
class CannotSupply:
    """Wanted blobs that the agent does not have, or finds too long."""

    blobs: tuple[BlobKey, ...]
    reason: str


class Change(NamedTuple):
    """One row that appeared, changed or went, undecoded.

    A tuple, not a dataclass: thousands are made a second, at a third of the cost (measured).
    """

    position: int  # in the batch, from 0
    row_class: int
    key: bytes
    row: bytes | None  # None: gone
    cause: str
    observed_ms: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A numbered list of changes, committed as one transaction."""

    sequence: int
    changes: list[Change]
    counters: dict[str, int]
    complete: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The agent is alive and has nothing else to say."""

    counters: dict[str, int]


@dataclass(frozen=True, slots=True)
class Digest:
    """The agent's digest of one class of rows."""

    row_class: int
    count: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Listing:
    """One piece of the agent's list of (key, row hash) of one class, sorted by key."""

    row_class: int
    rows: tuple[tuple[bytes, bytes], ...]
    more: bool
    complete: bool


Message = Hello | Offer | ReceivedBlob | CannotSupply | Batch | Heartbeat | Digest | Listing


# The fields of an encoded Place that have columns, unescaped and unchecked, but its scope:
# path, manifest, status, reason, format, mode, uid, gid, owner, group, target, file id, role, use.
# A bare tuple that is taken apart at once: the fastest thing to hand over (measured).
PlaceFields = tuple[
    bytes, bytes, str, str, str, int, int, int, str, str, bytes, bytes, str, str, str, str, str
]


@dataclass(frozen=True, slots=True)
class GapFields:
    """An encoded Gap, unescaped and unchecked."""

    scope_kind: str
    scope_name: bytes
    prefix: bytes
    reason: str
    detail: str


class HandshakeFields(NamedTuple):
    """An encoded Handshake, unescaped and unchecked."""

    at_ms: int
    address: str
    server_name: str
    chain: tuple[bytes, ...]
    tls_version: str
    cipher: str
    error: str
    verdict: str


@dataclass(frozen=True, slots=True)
class UsageFields:
    """An encoded Usage, unescaped and unchecked; the handshake that matters most first."""

    binding: bytes
    service: str
    unit: str
    configuration: bytes
    line: int
    directive: str
    places: tuple[bytes, ...]
    server_names: tuple[str, ...]
    listen: tuple[str, ...]
    password_source: str
    processes: tuple[str, ...]
    manifest: bytes
    handshakes: tuple[HandshakeFields, ...]
    renewal_tool: str
    renewal_success_ms: int
    renewal_overdue: bool
    renewal_schedule: str
    renewal_reason: str


@dataclass(frozen=True, slots=True)
class HostFacts:
    """An encoded HostFacts as far as it has columns, unescaped and unchecked: claims, all of it."""

    name: str
    machine_hash: bytes
    operating_system: str
    operating_system_version: str
    kernel: str
    labels: dict[str, str]
    agent_version: str


class HostDescription(NamedTuple):
    """What encoded HostFacts say beside what has columns, unescaped; empty if they can't be read."""

    kind: str = ""
    architecture: str = ""
    addresses: tuple[str, ...] = ()


class ManifestEntry(NamedTuple):
    """One entry of a manifest, unescaped (protos: Entry)."""

    kind: str
    artifact: bytes
    member: bytes
    algorithm: str
    bits: int
    curve: str
    encrypted: bool
    size: int
    reason: str
    location: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one file's bytes say. `parts` are manifests: a longer file's, or those of a tree's `names`."""

    format: str
    entries: tuple[ManifestEntry, ...]
    parts: tuple[bytes, ...]
    names: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemResult:
    """Why one change of a batch was not committed; `result` is "retry" or "refused"."""

    index: int
    result: str
    reason: str


class RefusedRow(NamedTuple):
    """A row whose newest state was not taken; `path` is escaped, or empty if it can't be read."""

    position: int
    row_class: int
    key: bytes
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ack:
    """The answer to one batch: the items that were not committed; every other was."""

    sequence: int
    items: tuple[ItemResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream that was let in: what its hello changed, and what the answer to it says."""

    session: int
    instance: bytes
    last_sequence: int
    nonce: bytes
    list_wanted: bool
    lost_acks: tuple[bytes, ...]  # encoded Acks, as stored
    deployment: str
    database_id: bytes
    trust_current: tuple[bytes, ...]
    trust_next: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StreamIdentity:
    """Under which a stream writes: its peer, and the session and instance of its hello."""

    peer: Peer
    session: int
    instance: bytes


class MalformedError(ValueError):
    """Bytes from an agent are not what they should be; `str()` says what is wrong, without them."""
