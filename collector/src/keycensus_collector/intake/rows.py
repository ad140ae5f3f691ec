"""From a batch's undecoded changes to rows that are fit to be written. Pure: no SQL, no clock.

The changes are an agent's claims about its own host. Each is decoded, its key recomputed
(protos/README.md, section 3.1), its sizes checked and its text escaped; what fails is refused by
itself and never stops the rest. Runs for every row reported, so it does as little as it can.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from operator import itemgetter
from typing import NamedTuple

from keycensus_collector.intake import convert
from keycensus_collector.intake.model import (
    HASH_BYTES,
    Batch,
    Change,
    HostFacts,
    Limits,
    MalformedError,
    RefusedRow,
    RowClass,
)
from keycensus_collector.intake.usage_rows import UsageChange, usage_change
from keycensus_collector.intake.words import PATH_BYTES, WORD_CHARACTERS, path_text, word
from keycensus_collector.text import safe_text

DETAIL_CHARACTERS = 1024
FILE_ID_BYTES = 32
_MANIFEST_BYTES = frozenset({0, HASH_BYTES})
# Changes that are decoded without giving way: a fraction of a millisecond.
_PIECE = 32
PERMISSION_BITS = 0o7777
HOST_KEY = bytes(HASH_BYTES)
# Host facts name roots and addresses; a host with thousands of either is lying.
HOST_FACTS_BYTES = 64 * 1024
LABELS = 64
COUNTERS = 256


class PlaceChange(NamedTuple):
    """One state of one place.

    `columns` are those of the table `place` from `path_hash` to `package_version`; empty if the place is gone,
    as is `row`. A tuple, not a dataclass: see `model.Change`.
    """

    key: bytes
    position: int
    row: bytes
    row_hash: bytes
    manifest: bytes
    role: str
    use: str
    columns: tuple[bytes | str | int, ...]
    cause: str
    observed_ms: int
    skipped: int


# A NamedTuple's own constructor is Python; this is half of its cost.
_place_change = partial(tuple.__new__, PlaceChange)


@dataclass(frozen=True, slots=True)
class GapChange:
    """One state of one gap; gone if `row_hash` is empty. Text is escaped."""

    key: bytes
    row_hash: bytes = b""
    prefix: str = ""
    prefix_raw: bytes = b""
    reason: str = ""
    detail: str = ""
    position: int = 0


@dataclass(frozen=True, slots=True)
class HostRow:
    """What the host says of itself, escaped, with the bytes as they came."""

    row: bytes
    facts: HostFacts


@dataclass(slots=True)
class Prepared:
    """A batch, decoded. Places are sorted by key; the others hold the last state of each key."""

    sequence: int
    complete: bool
    counters: dict[str, int]
    change_count: int
    row_bytes: int = 0
    places: list[PlaceChange] = field(default_factory=list)
    manifests: set[bytes] = field(default_factory=set)  # all that `places` and `usages` name
    gaps: dict[bytes, GapChange] = field(default_factory=dict)
    usages: dict[bytes, UsageChange] = field(default_factory=dict)
    host: HostRow | None = None
    refused: list[RefusedRow] = field(default_factory=list)


def prepare(batch: Batch, limits: Limits, give_way: Callable[[], None] = lambda: None) -> Prepared:
    """Decode and check a batch; items that are not fit stand in `refused`, each with a reason.

    Calls `give_way` many times, for others to go before.
    """
    prepared = Prepared(
        batch.sequence, batch.complete, counters_of(batch.counters), len(batch.changes)
    )
    room, most = limits.batch_bytes, limits.batch_changes
    places, place_class = prepared.places, RowClass.PLACE.value
    for number, change in enumerate(batch.changes, start=1):
        if not number % _PIECE:
            give_way()
        room -= len(change.row or b"")
        if room < 0 or change.position >= most:
            prepared.refused.append(_refused(change, "quota"))
            continue
        try:
            if change.row_class == place_class:
                places.append(_place(change))
            else:
                _prepare_other(prepared, change)
        except MalformedError:
            prepared.refused.append(_refused(change, "malformed"))
    prepared.row_bytes = limits.batch_bytes - room
    # Stable, so that states of one place stay in the order of the batch.
    places.sort(key=itemgetter(0))
    prepared.manifests.update(map(itemgetter(4), places))
    prepared.manifests.update(usage.manifest for usage in prepared.usages.values())
    prepared.manifests.discard(b"")
    return prepared


def _refused(change: Change, reason: str) -> RefusedRow:
    """Say which row was refused, as far as that can be read."""
    path = b""
    try:
        if change.row and change.row_class == RowClass.PLACE.value:
            _, (path, *_) = convert.decode_place(change.row)
        elif change.row and change.row_class == RowClass.GAP.value:
            path = convert.decode_gap(change.row).prefix
        elif change.row and change.row_class == RowClass.USAGE.value:
            path = convert.decode_usage(change.row).configuration
    except MalformedError:
        path = b""
    shown = path_text(path[:PATH_BYTES])
    return RefusedRow(change.position, change.row_class, change.key[:HASH_BYTES], shown, reason)


def _prepare_other(prepared: Prepared, change: Change) -> None:
    row_class = change.row_class
    if row_class == RowClass.GAP.value:
        prepared.gaps[change.key] = _gap(change)
    elif row_class == RowClass.USAGE.value:
        prepared.usages[change.key] = usage_change(change)
    elif row_class == RowClass.HOST.value and change.key == HOST_KEY and change.row:
        prepared.host = host_row(change.row)
    else:
        raise MalformedError("no such class of rows")


def _place(change: Change) -> PlaceChange:
    position, _, key, row, cause, observed_ms, skipped = change
    if row is None:
        if len(key) != HASH_BYTES:
            raise MalformedError("no key")
        return PlaceChange(
            key, position, b"", b"", b"", "", "", (), word(cause), observed_ms, skipped
        )
    scope, fields = convert.decode_place(row)
    (
        path,
        manifest,
        status,
        reason,
        format_,
        mode,
        uid,
        gid,
        owner,
        group,
        target,
        file_id,
        role,
        use,
        readable_by,
        package,
        package_version,
    ) = fields
    scope_kind, scope_name = scope or _NO_SCOPE
    if scope is not None:
        _check_scope(scope_kind, scope_name)
    if path[:1] != b"/" or len(path) > PATH_BYTES or b"\0" in path:
        raise MalformedError("no absolute path")
    if place_key(scope_kind, scope_name, path) != key:
        raise MalformedError("the key is another row's")
    if len(manifest) not in _MANIFEST_BYTES or len(file_id) > FILE_ID_BYTES:
        raise MalformedError("no manifest hash, or no file id")
    if target and (len(target) > PATH_BYTES or b"\0" in target):
        raise MalformedError("no target")
    row_hash = hashlib.sha256(row).digest()
    status, reason, format_, owner, group, role, use, cause = _words(
        status, reason, format_, owner, group, role, use, cause
    )
    readable_by, package, package_version = _words(readable_by, package, package_version)
    columns = (
        key,
        row_hash,
        safe_text(scope_kind) if scope_kind else "host",
        path_text(scope_name) if scope_name else "",
        path_text(path),
        manifest,
        status,
        reason,
        format_,
        mode & PERMISSION_BITS,
        owner or str(uid),
        group or str(gid),
        path_text(target) if target else "",
        file_id,
        role,
        use,
        readable_by,
        package,
        package_version,
    )
    return _place_change(
        (key, position, row, row_hash, manifest, role, use, columns, cause, observed_ms, skipped)
    )


def _gap(change: Change) -> GapChange:
    if change.row is None:
        if len(change.key) != HASH_BYTES:
            raise MalformedError("no key")
        return GapChange(change.key)
    fields = convert.decode_gap(change.row)
    key = gap_key(fields.scope_kind, fields.scope_name, fields.prefix, fields.reason)
    if key != change.key:
        raise MalformedError("the key is another row's")
    _check_path(fields.prefix)
    if len(fields.detail) > DETAIL_CHARACTERS:
        raise MalformedError("the detail is too long")
    return GapChange(
        key,
        hashlib.sha256(change.row).digest(),
        path_text(fields.prefix),
        fields.prefix,
        word(fields.reason),
        safe_text(fields.detail),
        change.position,
    )


def host_row(row: bytes) -> HostRow:
    """Decode HostFacts and escape them; MalformedError if they are none, or too many."""
    if len(row) > HOST_FACTS_BYTES:
        raise MalformedError("too many host facts")
    facts = convert.decode_host_facts(row)
    if len(facts.machine_hash) not in {0, HASH_BYTES} or len(facts.labels) > LABELS:
        raise MalformedError("no machine hash, or too many labels")
    system = f"{facts.operating_system} {facts.operating_system_version}".strip()
    return HostRow(
        row,
        HostFacts(
            name=word(facts.name),
            machine_hash=facts.machine_hash,
            operating_system=word(system),
            operating_system_version=word(facts.operating_system_version),
            kernel=word(facts.kernel),
            labels={word(key): word(value) for key, value in sorted(facts.labels.items())},
            agent_version=word(facts.agent_version),
        ),
    )


def counters_of(counters: dict[str, int]) -> dict[str, int]:
    """Return counters with escaped names: at most COUNTERS, and none with an overlong name."""
    fit = sorted(name for name in counters if len(name) <= WORD_CHARACTERS)[:COUNTERS]
    return {safe_text(name): counters[name] for name in fit}


def place_key(scope_kind: str, scope_name: bytes, path: bytes) -> bytes:
    """Return the row key of a place (protos/README.md, section 3.1)."""
    if scope_name or scope_kind not in _HOST_KINDS:
        hash_ = hashlib.sha256(_place_prefix(scope_kind, scope_name))
    else:
        hash_ = _HOST_SCOPE.copy()
    hash_.update(len(path).to_bytes(4, "big") + path)
    return hash_.digest()


def gap_key(scope_kind: str, scope_name: bytes, prefix: bytes, reason: str) -> bytes:
    """Return the row key of a gap (protos/README.md, section 3.1)."""
    return hashlib.sha256(
        b"keycensus gap v1\0"
        + _field((scope_kind or "host").encode())
        + _field(scope_name)
        + _field(prefix)
        + _field(reason.encode())
    ).digest()


def _field(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


def _place_prefix(scope_kind: str, scope_name: bytes) -> bytes:
    return b"keycensus place v1\0" + _field((scope_kind or "host").encode()) + _field(scope_name)


_HOST_KINDS = frozenset({"", "host"})
# Copying a hash that was begun is cheaper than beginning one.
_HOST_SCOPE = hashlib.sha256(_place_prefix("host", b""))
_NO_SCOPE = ("", b"")


def _check_path(path: bytes) -> None:
    if not path.startswith(b"/") or len(path) > PATH_BYTES or b"\0" in path:
        raise MalformedError("no absolute path")


def _check_scope(kind: str, name: bytes) -> None:
    if len(kind) > WORD_CHARACTERS or len(name) > PATH_BYTES:
        raise MalformedError("the scope is too long")


@lru_cache(4096)
def _words(*values: str) -> tuple[str, ...]:
    """Return all of `values` as `word` does; few combinations occur on a host."""
    return tuple(map(word, values))
