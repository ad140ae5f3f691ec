"""What the collector answers, as plain frozen data; fields are explained in its OpenAPI description.

Times are RFC 3339 text in UTC, hashes lower-case hexadecimal. `decode` takes what it knows of an
answer and leaves the rest: a newer collector may say more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from keycensus_client.errors import AnswerError
from keycensus_client.text import safe_again

_Type = TypeVar("_Type")


@dataclass(frozen=True, slots=True)
class Place:
    """One name under which a file is reached on a host."""

    host_id: str
    host: str
    path: str
    scope: str
    use: str
    role: str
    status: str
    reason: str
    format: str
    mode: str
    owner: str
    group: str
    target: str
    kinds: list[str]
    members: list[str]
    encrypted: bool
    first_seen: str | None
    changed: str | None
    refused: str = ""
    readable_by: str = ""
    package: str = ""
    package_version: str = ""
    place_owner: str = ""


@dataclass(frozen=True, slots=True)
class Handshake:
    """What a listener presented."""

    address: str
    server_name: str
    chain: list[str]
    tls_version: str
    cipher: str
    error: str
    verdict: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Who uses places of a host."""

    host_id: str
    host: str
    service: str
    unit: str
    configuration: str
    line: int
    directive: str
    paths: list[str]
    server_names: list[str]
    uncovered: list[str]
    listen: list[str]
    password_source: str
    processes: list[str]
    verdict: str
    handshakes: list[Handshake]
    asked: str | None
    renewal_tool: str
    renewed: str | None
    renewal_overdue: bool
    renewal_schedule: str
    renewal_reason: str
    since: str | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate with its counts, true as of `folded`."""

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
    private_key_places: int
    line: int | None
    live_places: int
    retained_places: int
    hosts: int
    problem: str
    first_seen: str | None
    folded: str | None
    places: list[Place] | None = None
    verdict: str = ""
    renewed_by: str = ""
    renewal_overdue: bool = False
    owners: list[str] = field(default_factory=list)
    owned_by: str = ""
    importance: int = 0
    revoked: str = "unknown"
    revoked_since: str | None = None
    revocation_reason: str = ""
    revocation_as_of: str | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """One label that counts, and why."""

    key: str
    value: str
    source: str
    why: str


@dataclass(frozen=True, slots=True)
class Ownership:
    """One owner of a thing, and why."""

    owner: str
    how: str
    why: str
    since: str | None
    contact: str
    people: list[str]


@dataclass(frozen=True, slots=True)
class Key:
    """One private key, or one that is sealed."""

    id: str
    kind: str
    algorithm: str
    bits: int
    curve: str
    live_places: int
    retained_places: int
    hosts: int
    certificates: list[str]
    problem: str
    places: list[Place]
    known_key: str = ""
    owners: list[str] = field(default_factory=list)
    owned_by: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """What an agent could not look at."""

    prefix: str
    reason: str
    detail: str
    since: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A row of a host whose newest state the collector did not take."""

    path: str
    what: str
    reason: str
    since: str | None
    times: int


@dataclass(frozen=True, slots=True)
class LongArtifact:
    """An artifact that is named and never sent, for being too long."""

    path: str
    kind: str
    sha256: str
    size: int


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
    refused: int = 0
    imported: str | None = None
    imported_by: str = ""
    place_owner: str = ""


@dataclass(frozen=True, slots=True)
class Import:
    """A file that somebody brought."""

    number: int
    kind: str
    source: str
    host_id: str
    items: int
    sha256: str
    size: int
    by: str
    taken: str | None
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True)
class Matched:
    """Which host of ours a known one is, and by what."""

    name: str
    host: str
    by: str


@dataclass(frozen=True, slots=True)
class KnownTaken:
    """What an import of known hosts came to."""

    number: int
    source: str
    hosts: int
    with_agent: int
    without_agent: int
    removed: int
    matched_otherwise: list[Matched]
    without: list[str]
    gone: list[str]


@dataclass(frozen=True, slots=True)
class ListBrought:
    """A revocation list of an imported file."""

    sha256: str
    issuer: str
    number: str
    this_update: str | None
    next_update: str | None
    revoked: int


@dataclass(frozen=True, slots=True)
class ArtifactsTaken:
    """What an import of certificates and revocation lists came to."""

    number: int
    name: str
    certificates: int
    new: int
    gone: int
    found: int
    revocation_lists: list[ListBrought]


@dataclass(frozen=True, slots=True)
class ListTaken:
    """What an import of a list of certificates came to."""

    number: int
    name: str
    kind: str
    format: str
    entries: int
    new: int
    gone: int
    found: int
    columns: list[str]
    skipped: int
    unread_times: int


@dataclass(frozen=True, slots=True)
class ListOfCertificates:
    """A list of certificates that was imported."""

    name: str
    kind: str
    entries: int
    found: int
    by: str
    since: str | None


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One entry of such a list."""

    number: int
    certificate: str
    serial: str
    subject: str
    not_after: str | None
    sha256: str
    sha1: str
    state: str
    since: str | None


@dataclass(frozen=True, slots=True)
class BundleTaken:
    """What an import of a host's bundle came to."""

    number: int
    host_id: str
    host: str
    new_host: bool
    rows: int
    blobs: int
    removed: int
    gaps: int
    complete: bool
    taken: int


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    at: str | None
    what: str
    host: str
    path: str
    detail: str
    cause: str


@dataclass(frozen=True, slots=True)
class TimeLine:
    """A page of what happened to a thing, the newest first."""

    kind: str
    id: str
    name: str
    events: list[Event]
    next: int | None


@dataclass(frozen=True, slots=True)
class Differing:
    """One thing that differs between two dates."""

    id: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What came, went and changed between two dates."""

    since: str | None
    until: str | None
    came_total: int
    gone_total: int
    changed_total: int
    came: list[Differing]
    gone: list[Differing]
    changed: list[Differing]


@dataclass(frozen=True, slots=True)
class GapReason:
    """A reason for which agents could not look somewhere."""

    reason: str
    hosts: int
    gaps: int
    query: str


@dataclass(frozen=True, slots=True)
class PlaceStatus:
    """A status of places."""

    status: str
    places: int
    query: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the fleet was looked at; None: it is not known of a past day."""

    as_of: str | None
    hosts: int
    hosts_by_state: dict[str, int]
    without_agent: int
    complete: int | None
    with_gaps: int
    unfinished: int | None
    refused_rows: int | None
    oldest: str | None
    oldest_host: str
    gaps: list[GapReason]
    places: list[PlaceStatus]


@dataclass(frozen=True, slots=True)
class Page:
    """The frame of a list."""

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
class HostGap:
    """What the agent of a host could not look at."""

    host_id: str
    host: str
    prefix: str
    reason: str
    detail: str
    since: str | None


@dataclass(frozen=True, slots=True)
class GapPage(Page):
    """Gaps by host and path."""

    items: list[HostGap]


@dataclass(frozen=True, slots=True)
class PlacePage(Page):
    """Places by host and path."""

    items: list[Place]


@dataclass(frozen=True, slots=True)
class HostPage(Page):
    """Hosts by name."""

    items: list[Host]


@dataclass(frozen=True, slots=True)
class Link:
    """A certificate named by another one."""

    sha256: str
    name: str
    subject: str
    not_before: str | None
    not_after: str | None
    live_places: int
    step: str = ""
    at: str | None = None


@dataclass(frozen=True, slots=True)
class Interval:
    """A time during which a place held a thing."""

    host: str
    path: str
    since: str | None
    until: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class MarkedBy:
    """A mark that reaches a thing: its own, its key's, or that of an authority above it."""

    number: int
    mark: str
    on: str
    name: str
    reason: str
    by: str
    since: str | None
    reappeared: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark on a certificate or key."""

    number: int
    mark: str
    kind: str
    id: str
    name: str
    authority: bool
    reason: str
    by: str
    since: str | None
    until: str | None
    lifted_by: str
    lifted_reason: str
    reappeared: int
    query: str


@dataclass(frozen=True, slots=True)
class Reappearance:
    """A place that began to hold what a mark reaches while the mark stood."""

    kind: str
    id: str
    host: str
    path: str
    at: str | None
    cause: str


@dataclass(frozen=True, slots=True)
class MarkDetail:
    """A mark with all that it reaches."""

    mark: Mark
    certificates: int
    keys: int
    hosts: int
    places_total: int
    places: list[Place]
    key_id: str = ""
    of_same_key: int = 0
    reappearances: list[Reappearance] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ListedAs:
    """A list that names a certificate."""

    name: str
    kind: str
    state: str
    by: str
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True)
class Revocation:
    """What revocation lists say of a certificate."""

    status: str
    why: str
    reason: str = ""
    since: str | None = None
    invalid_since: str | None = None
    known_since: str | None = None
    as_of: str | None = None
    until: str | None = None
    stale: bool = False
    list_sha256: str = ""
    list_issuer: str = ""
    found: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CertificateDetail:
    """Everything about one certificate."""

    certificate: Certificate
    chain: list[Link]
    places: list[Place]
    places_total: int
    private_key: Key | None
    predecessors: list[Link]
    successors: list[Link]
    line_name: str
    history: list[Interval]
    usages: list[Usage] = field(default_factory=list)
    marks: list[MarkedBy] = field(default_factory=list)
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
    usages: list[Usage] = field(default_factory=list)
    marks: list[MarkedBy] = field(default_factory=list)
    ownership: list[Ownership] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class HostDetail:
    """Everything about one host."""

    host: Host
    gaps: list[Gap]
    counters: dict[str, int]
    unread: list[Place]
    expiring: list[Certificate]
    refused: list[Refused] = field(default_factory=list)
    long: list[LongArtifact] = field(default_factory=list)
    usages: list[Usage] = field(default_factory=list)
    kind: str = ""
    architecture: str = ""
    addresses: list[str] = field(default_factory=list)
    ownership: list[Ownership] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DocumentDetail:
    """A certification request or a revocation list."""

    sha256: str
    subject: str
    names: list[str]
    key_id: str
    this_update: str | None
    next_update: str | None
    revoked_count: int
    problem: str
    places: list[Place]
    number: str = ""
    base_number: str = ""
    scope: str = ""
    state: str = ""
    why: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Match:
    """What an ID can mean."""

    kind: str
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Shown:
    """The answer to `show`."""

    kind: str
    certificate: CertificateDetail | None = None
    key: KeyDetail | None = None
    host: HostDetail | None = None
    document: DocumentDetail | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """The answer to `where`."""

    kind: str
    id: str
    name: str
    places: list[Place]
    total: int
    usages: list[Usage] = field(default_factory=list)
    revocation: Revocation | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts over all that is known."""

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
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """Whose token was sent."""

    user: str
    role: str
    token_id: str


@dataclass(frozen=True, slots=True)
class Group:
    """Those of a list with one value. `query` lists them."""

    value: str
    count: int
    query: str


@dataclass(frozen=True, slots=True)
class Groups:
    """A list in groups. `overlapping`: a thing may be in several, or in none."""

    by: str
    total: int
    groups: list[Group]
    left_out: int
    overlapping: bool = False
    as_of: str | None = None


@dataclass(frozen=True, slots=True)
class View:
    """A query with a name."""

    name: str
    description: str
    what: str
    query: str
    columns: list[str]
    built_in: bool
    saved_by: str
    saved: str | None
    total: int | None
    total_is_exact: bool
    problem: str = ""
    total_as_of: str | None = None


def decode(type_: type[_Type], value: object) -> _Type:
    """Return an answer as `type_`, all text made safe to show; AnswerError if it is none."""
    try:
        decoded: _Type = _decode(type_, value)
    except (TypeError, KeyError, ValueError) as error:
        raise AnswerError(
            "the collector's answer is not what this client understands: upgrade the older of both"
        ) from error
    return decoded


def _decode(hint: Any, value: Any) -> Any:  # noqa: ANN401 - JSON is any
    if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
        hints = _hints(hint)
        known = {name: _decode(hints[name], value[name]) for name in hints if name in value}
        return hint(**known)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list:
        return [_decode(arguments[0], item) for item in _checked(value, list)]
    if origin is dict:
        return {
            safe_again(key): _decode(arguments[1], item)
            for key, item in _checked(value, dict).items()
        }
    if origin is UnionType or NoneType in arguments:
        return None if value is None else _decode(arguments[0], value)
    if hint is object:
        return _any(value)
    checked = _checked(value, hint)
    return safe_again(checked) if hint is str else checked


def _any(value: Any) -> Any:  # noqa: ANN401 - JSON is any
    """Return what may be anything, all text in it made safe to show."""
    if isinstance(value, str):
        return safe_again(value)
    if isinstance(value, list):
        return [_any(item) for item in value]
    if isinstance(value, dict):
        return {safe_again(key): _any(item) for key, item in value.items()}
    return value


def _checked(value: Any, type_: type[Any]) -> Any:  # noqa: ANN401 - JSON is any
    if type(value) is not type_:
        raise TypeError(type_.__name__)
    return value


@cache
def _hints(type_: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(type_)
    return {each.name: hints[each.name] for each in fields(type_)}
