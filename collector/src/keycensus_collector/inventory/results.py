"""What questions are answered with: plain data as REST shows it and other faces use it.

Hashes are lower-case hexadecimal, times RFC 3339 in UTC, text is escaped and safe to show anywhere
but in HTML, where it is still to be quoted.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Place:
    """One name under which a file is reached on a host, and what it holds of the thing asked for."""

    host_id: str
    host: str
    path: str
    scope: str  # "host", or kind and name such as "container shop"
    use: str  # "live" or "retained"
    role: str
    status: str
    reason: str
    format: str
    mode: str  # "0640"
    owner: str
    group: str
    target: str  # where a link leads to
    kinds: list[str]
    members: list[str]  # names inside the file: aliases, PEM labels
    encrypted: bool
    first_seen: str | None
    changed: str | None
    refused: str  # why a newer state of it was not taken; empty: this is the newest
    readable_by: str  # "world", "owner", or "group", "user:NAME", "group:NAME"; empty: not said
    package: str  # that owns the name; empty: none
    package_version: str
    place_owner: str = ""  # team or person that installs there; empty: nobody is known


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a listener presented, held against the disk by its host's agent."""

    address: str
    server_name: str  # that was asked for; empty: none
    chain: list[str]  # SHA-256 of each certificate, the leaf first
    tls_version: str
    cipher: str
    error: str  # why there was none; empty if there was
    verdict: str  # "served", "not-reloaded", "served-but-not-on-disk", "served-another", or empty


@dataclass(frozen=True, slots=True)
class Usage:
    """Who uses places of a host: one binding of a configuration, a listener, or a renewal's record."""

    host_id: str
    host: str
    service: str  # "nginx", …; "listener": found on a port only; "renewer": a tool's record
    unit: str  # systemd unit, container or process
    configuration: str
    line: int  # 0: not known
    directive: str  # "certificate", "key", "chain", "trust", "store", "handshake", "renewal"
    paths: list[str]  # of the places that it names, at most 20
    server_names: list[str]
    uncovered: list[str]  # those of them that the certificate asked for is not for
    listen: list[str]
    password_source: str
    processes: list[str]
    verdict: str  # of the handshake that matters most
    handshakes: list[Handshake]
    asked: str | None  # when an answer was last reported, by the agent's clock
    renewal_tool: str
    renewed: str | None  # its last success
    renewal_overdue: bool
    renewal_schedule: str  # timer, cron file or daemon; empty: nothing starts it
    renewal_reason: str  # why it is overdue: "past-due", "not-scheduled", "failing", "switched-off"
    since: str | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate with its folded counts, true as of `folded`."""

    sha256: str
    sha1: str
    name: str
    names: list[str]
    subject: str
    issuer: str
    issuer_name: str
    serial: str
    not_before: str | None
    not_after: str | None
    is_ca: bool
    self_signed: bool
    signature_algorithm: str
    algorithm: str
    bits: int
    curve: str
    extended_key_usage: list[str]
    key_id: str
    private_key_places: int  # live and retained places that hold its private key
    line: int | None
    live_places: int
    retained_places: int
    hosts: int
    problem: str
    first_seen: str | None
    folded: str | None
    places: list[Place] | None = None  # only where they were asked for
    verdict: str = ""  # the worst of its listeners: "served", "not-reloaded", …; empty: none asked
    renewed_by: str = ""  # the tool that renews a place of it; empty: none is known
    renewal_overdue: bool = False
    owners: list[str] = field(default_factory=list)  # teams and people that renew it
    # "explicit", "rule", "line", "certificates", "places", "shared", "fallback"; empty: nobody owns it
    owned_by: str = ""
    importance: int = 0  # by rules; the most important comes first with sort=importance
    revoked: str = "unknown"  # "yes", "no" (good as of `revocation_as_of`), "unknown"
    revoked_since: str | None = None
    revocation_reason: str = ""  # "keyCompromise", …, "certificateHold"; empty: it does not say
    revocation_as_of: str | None = None  # when the list that says so was made


@dataclass(frozen=True, slots=True)
class Label:
    """One label that counts. `source`: "manual", "token", "rule" or "host"."""

    key: str
    value: str
    source: str
    why: str


@dataclass(frozen=True, slots=True)
class Ownership:
    """One owner of a thing, and why."""

    owner: str
    how: str  # as `owned_by`
    why: str
    since: str | None
    contact: str
    people: list[str]  # who can be asked


@dataclass(frozen=True, slots=True)
class Key:
    """One private key, or one that is sealed and known by the hash of its encrypted bytes."""

    id: str  # key_id, or SHA-256 of the encrypted bytes
    kind: str  # "private-key", "sealed-key", "sealed-container"
    algorithm: str
    bits: int
    curve: str
    live_places: int
    retained_places: int
    hosts: int
    certificates: list[str]  # names of certificates of this key
    problem: str
    places: list[Place]
    known_key: str  # where it is published, "openssl 3.0.20, test/certs/ca-key.pem"; empty: nowhere
    owners: list[str] = field(default_factory=list)  # teams and people that renew it
    # "explicit", "rule", "line", "certificates", "places", "shared", "fallback"; empty: nobody owns it
    owned_by: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """What an agent could not look at."""

    prefix: str
    reason: str
    detail: str
    since: str | None


@dataclass(frozen=True, slots=True)
class HostGap:
    """What the agent of a host could not look at."""

    host_id: str
    host: str
    prefix: str
    reason: str
    detail: str
    since: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of a host whose newest state was not taken."""

    path: str  # empty if it could not be read
    what: str  # "place", "gap", "usage", "host"
    reason: str  # "quota", "malformed", "missing-blob", "hash-mismatch"
    since: str | None
    times: int  # how often it was tried


@dataclass(frozen=True, slots=True)
class LongArtifact:
    """An artifact over the cap of its kind: named by its file, and never sent."""

    path: str
    kind: str
    sha256: str
    size: int  # bytes, as the agent says


@dataclass(frozen=True, slots=True)
class Host:
    """One host as its agent reported it."""

    id: str
    name: str
    state: str
    operating_system: str
    kernel: str
    agent_version: str
    complete: bool
    created: str | None
    last_seen: str | None
    live_places: int
    retained_places: int
    certificates: int
    keys: int
    gaps: int
    labels: dict[str, dict[str, str]]
    refused: int  # rows whose newest state was not taken
    imported: str | None  # when a file told of it; null: it reports by itself
    imported_by: str
    place_owner: str = ""  # team or person that installs there


@dataclass(frozen=True, slots=True)
class Page:
    """The frame of a list: where to go on, and how many there are."""

    next: str | None
    total: int
    total_is_exact: bool


@dataclass(frozen=True, slots=True)
class CertificatePage(Page):
    """Certificates in the order in which they expire."""

    items: list[Certificate]


@dataclass(frozen=True, slots=True)
class KeyPage(Page):
    """Keys in the order of their identities."""

    items: list[Key]


@dataclass(frozen=True, slots=True)
class PlacePage(Page):
    """Places by host and path."""

    items: list[Place]


@dataclass(frozen=True, slots=True)
class HostPage(Page):
    """Hosts by name."""

    items: list[Host]


@dataclass(frozen=True, slots=True)
class GapPage(Page):
    """Gaps by host and path."""

    items: list[HostGap]


@dataclass(frozen=True, slots=True)
class View:
    """A query with a name."""

    name: str
    description: str
    what: str  # the list that it is on
    query: str
    columns: list[str]  # members to show; empty: all
    built_in: bool  # comes with the program
    saved_by: str
    saved: str | None
    total: int | None  # how many it lists, as far as its list counts; null: not asked for
    total_is_exact: bool
    problem: str  # why its query can't be read; empty: it can
    total_as_of: str | None = None  # when it was counted, if it was kept; null: now


@dataclass(frozen=True, slots=True)
class Link:
    """A certificate named by another one: its issuer, predecessor or successor."""

    sha256: str
    name: str
    subject: str
    not_before: str | None
    not_after: str | None
    live_places: int
    step: str = ""  # of predecessors and successors: "renewal", "rekey", "replacement"
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """A time during which a place held a thing; it still does while `until` is null."""

    host: str
    path: str
    since: str | None
    until: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class MarkedBy:
    """A mark that reaches a thing: its own, its key's, or that of an authority above it."""

    number: int
    mark: str  # "compromised", "distrusted"
    on: str  # "this", "its key", "an authority above"
    name: str  # of what is marked
    reason: str
    by: str
    since: str | None
    reappeared: int  # how often a place began to hold the thing since


@dataclass(frozen=True, slots=True)
class ListedAs:
    """A list that names a certificate, from one import to another; `until` is null while it does."""

    name: str
    kind: str  # "ca-list": its authority's; "certificates": a file of certificates
    state: str  # as the list has it
    by: str  # who imported it first
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True)
class Revocation:
    """What revocation lists say of a certificate."""

    status: str  # "yes", "no", "unknown"
    why: str  # why it is unknown
    reason: str = ""
    since: str | None = None  # when it was revoked, by its issuer
    invalid_since: str | None = None  # since when it is to be distrusted, by its issuer
    known_since: str | None = None  # when the collector learnt of this status
    as_of: str | None = None  # when the list in force was made
    until: str | None = None  # when the next one is due
    stale: bool = False  # it is overdue
    list_sha256: str = ""
    list_issuer: str = ""
    found: list[str] = field(default_factory=list)  # places of the list, at most some


@dataclass(frozen=True, slots=True)
class CertificateDetail:
    """Everything about one certificate."""

    certificate: Certificate
    chain: list[Link]  # its issuer, the issuer's issuer, …: verified signatures
    places: list[Place]
    places_total: int
    private_key: Key | None
    predecessors: list[Link]
    successors: list[Link]
    line_name: str
    history: list[Interval]
    usages: list[Usage]
    marks: list[MarkedBy]
    ownership: list[Ownership] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    revocation: Revocation | None = None
    listed: list[ListedAs] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class KeyDetail:
    """Everything about one key."""

    key: Key
    places_total: int
    certificates: list[Link]
    history: list[Interval]
    usages: list[Usage]
    marks: list[MarkedBy]
    ownership: list[Ownership] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HostDetail:
    """Everything about one host but its places, which have their own page."""

    host: Host
    gaps: list[Gap]
    counters: dict[str, int]
    unread: list[Place]  # places that could not be read whole
    expiring: list[Certificate]  # live certificates there that expire first
    refused: list[Refused]
    long: list[LongArtifact]
    usages: list[Usage]
    kind: str  # "physical", "vm", "container", "cloud:<provider>"; empty: its agent does not say
    architecture: str
    addresses: list[str]
    ownership: list[Ownership] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DocumentDetail:
    """A certification request or a revocation list."""

    sha256: str
    subject: str  # of a request; the issuer of a revocation list
    names: list[str]
    key_id: str
    this_update: str | None
    next_update: str | None
    revoked_count: int
    problem: str
    places: list[Place]
    # Of a revocation list: its number and, of a delta, that of its base (hexadecimal); what became of it.
    number: str = ""
    base_number: str = ""
    scope: str = ""  # "user certificates only", …; empty: all
    state: str = ""  # "in-force", "replaced", "older", "waiting", "unverified", "unusable"
    why: str = ""
    origin: str = ""  # a configured file or an import; empty: hosts report it


@dataclass(frozen=True, slots=True)
class Match:
    """What an ID can mean."""

    kind: str  # "certificate", "key", "host", "request", "revocation-list", "over-cap"
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer to `show`: `kind` says which of the others is there."""

    kind: str
    certificate: CertificateDetail | None = None
    key: KeyDetail | None = None
    host: HostDetail | None = None
    document: DocumentDetail | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """The answer to `where`: every place, as true as the last report of its host."""

    kind: str
    id: str
    name: str
    places: list[Place]
    total: int
    usages: list[Usage]
    revocation: Revocation | None = None  # of a certificate


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over all that is known. Of certificates and keys: with a live place outside trust stores."""

    as_of: str | None
    hosts: int
    hosts_by_state: dict[str, int]
    places: int
    certificates: int
    expired: int
    expiring_30_days: int
    keys: int
    keys_without_certificate: int
    keys_readable_by_world: int
    locked_places: int
    gaps: int
    waiting: int = field(default=0)  # rows of work that are not folded yet
