"""What the lists in force say of certificates (RFC 5280, section 6.3.3).

A list tells of a certificate if

1. its issuer is the certificate's, or it is indirect and the certificate names its issuer as CRL issuer;
2. its signer and the certificate have an authority above them in common, by verified signatures: the same
   key as a rule, else the same anchor (a key that signs lists only, a new key of the same authority).

Then an entry with the certificate's issuer and serial number means revoked, from whichever list, as
certificates stay revoked when a list is stale. Good is who has no entry in a complete list that covers
it: of its kind, of all reasons, of a distribution point that the certificate names. Lists need not name
what had expired, so those say nothing new of it: what was said before stays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, or_, select, update

from keycensus_collector.catalogue.parts import SERIAL_CHARACTERS
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.store.schema import certificate, issuer_edge
from keycensus_collector.store.tables.revocation import (
    certificate_revocation,
    list_in_force,
    revocation_entry,
    revocation_issuer,
    revocation_series,
)

REVOKED, GOOD = "revoked", "good"
_HOLD, _REMOVED = "certificateHold", "removeFromCRL"
# Longer chains of authorities are made by mistake, or to make others loop.
_LEVELS = 10
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Status:
    """What is said of a certificate. Two are equal if they say the same, whichever list says it."""

    status: str
    reason: str
    revoked_ms: int | None
    invalidity_ms: int | None
    series_no: int
    list_no: int = field(compare=False)


@dataclass(slots=True)
class _Series:
    """A series with its lists in force, the complete one first, and the keys above its signers."""

    row: Row[Any]
    lists: list[Row[Any]]
    keys: set[bytes]

    @property
    def told_ms(self) -> int:
        """As of when it speaks."""
        return max(int(each.this_update_ms) for each in self.lists)


@dataclass(frozen=True, slots=True)
class Plan:
    """What statuses were worked out: by certificate; None: nothing is known. Others stay as they are."""

    found: dict[bytes, Status | None]


def work_out(connection: Connection, certificates: Sequence[bytes]) -> Plan:
    """Return what the lists in force say of certificates (SHA-256)."""
    columns = certificate.c
    statement: Select[Any] = select(
        columns.sha256,
        columns.issuer_der_hash,
        columns.serial,
        columns.is_ca,
        columns.not_after_ms,
        columns.crl_points,
        columns.crl_issuers,
    )
    rows = [
        row
        for chunk in chunked(certificates)
        for row in connection.execute(statement.where(columns.sha256.in_(chunk)))
    ]
    parents = _parents(connection, [row.sha256 for row in rows])
    series = _series(connection, rows)
    signers = {each.signer for one in series for each in one.lists}
    above = _keys_above(connection, signers | {p for found in parents.values() for p in found})
    for one in series:
        one.keys = set().union(*(above[each.signer] for each in one.lists))
    entries = _entries(connection, rows, [each.list_no for one in series for each in one.lists])
    found: dict[bytes, Status | None] = {}
    for row in rows:
        keys = {key for parent in parents.get(row.sha256, ()) for key in above[parent]}
        telling = [one for one in series if _tells_of(one, row, keys)]
        status = _status(row, telling, entries)
        if status is not None or not _had_expired(row, telling):
            found[row.sha256] = status
    return Plan(found)


def write(connection: Connection, plan: Plan, now_ms: int) -> int:
    """Write what is said anew as intervals from now on; return how many certificates changed."""
    standing: dict[bytes, tuple[int, Status]] = {}
    for chunk in chunked(sorted(plan.found)):
        for row in connection.execute(
            select(certificate_revocation).where(
                certificate_revocation.c.certificate.in_(chunk),
                certificate_revocation.c.to_ms.is_(None),
            )
        ):
            standing[row.certificate] = (row.revocation_no, _status_of(row))
    ended: list[int] = []
    begun: list[dict[str, Any]] = []
    changed = 0
    for sha256, status in plan.found.items():
        number, before = standing.get(sha256, (0, None))
        if before == status:
            continue
        changed += 1
        if before is not None:
            ended.append(number)
        if status is not None:
            begun.append(_row(sha256, status, now_ms))
    for numbers in chunked(ended):
        connection.execute(
            update(certificate_revocation)
            .where(certificate_revocation.c.revocation_no.in_(numbers))
            .values(to_ms=now_ms)
        )
    if begun:
        connection.execute(insert(certificate_revocation), begun)
    return changed


def _row(sha256: bytes, status: Status, now_ms: int) -> dict[str, Any]:
    return {
        "certificate": sha256,
        "status": status.status,
        "reason": status.reason,
        "revoked_ms": status.revoked_ms,
        "invalidity_ms": status.invalidity_ms,
        "series_no": status.series_no,
        "list_no": status.list_no,
        "from_ms": now_ms,
    }


def _status_of(row: Row[Any]) -> Status:
    return Status(
        row.status, row.reason, row.revoked_ms, row.invalidity_ms, row.series_no, row.list_no
    )


def _parents(connection: Connection, children: Sequence[bytes]) -> dict[bytes, set[bytes]]:
    found: dict[bytes, set[bytes]] = defaultdict(set)
    for chunk in chunked(children):
        rows = connection.execute(select(issuer_edge).where(issuer_edge.c.child.in_(chunk)))
        for row in rows:
            found[row.child].add(row.parent)
    return found


def _keys_above(connection: Connection, starts: Collection[bytes]) -> dict[bytes, set[bytes]]:
    """Return for each certificate its key and those of the authorities above, as far as they are known."""
    parents: dict[bytes, set[bytes]] = {}
    level = set(starts)
    for _ in range(_LEVELS):
        new = sorted(level - parents.keys())
        if not new:
            break
        known = _parents(connection, new)
        parents |= {each: known.get(each, set()) for each in new}
        level = {parent for each in new for parent in parents[each]}
    keys: dict[bytes, bytes] = {}
    for chunk in chunked(sorted(parents.keys() | level)):
        rows = connection.execute(
            select(certificate.c.sha256, certificate.c.key_id).where(
                certificate.c.sha256.in_(chunk)
            )
        )
        keys |= {row.sha256: row.key_id for row in rows}
    return {start: _reached(start, parents, keys) for start in starts}


def _reached(
    start: bytes, parents: dict[bytes, set[bytes]], keys: dict[bytes, bytes]
) -> set[bytes]:
    seen: set[bytes] = set()
    waiting = [start]
    while waiting:
        each = waiting.pop()
        if each not in seen:
            seen.add(each)
            waiting += parents.get(each, ())
    return {keys[each] for each in seen if keys.get(each)}


def _series(connection: Connection, rows: Iterable[Row[Any]]) -> list[_Series]:
    """Return the series that may tell of some of these certificates."""
    names = {row.issuer_der_hash for row in rows}
    names |= {name for row in rows for name in _split(row.crl_issuers)}
    if not names:
        return []
    told = select(revocation_issuer.c.series_no).where(
        revocation_issuer.c.issuer_der_hash.in_(names)
    )
    series = connection.execute(
        select(revocation_series).where(
            or_(
                revocation_series.c.issuer_der_hash.in_(names),
                revocation_series.c.series_no.in_(told),
            )
        )
    ).all()
    lists: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in connection.execute(
        select(list_in_force)
        .where(
            list_in_force.c.series_no.in_([one.series_no for one in series]),
            list_in_force.c.from_ms.is_not(None),
            list_in_force.c.to_ms.is_(None),
        )
        .order_by(list_in_force.c.base_number)
    ):
        lists[row.series_no].append(row)
    return [_Series(one, lists[one.series_no], set()) for one in series if lists[one.series_no]]


def _split(hashes: bytes) -> set[bytes]:
    return {hashes[start : start + _HASH_BYTES] for start in range(0, len(hashes), _HASH_BYTES)}


_Entries = dict[tuple[int, bytes, str], Row[Any]]


def _entries(connection: Connection, rows: Sequence[Row[Any]], lists: Sequence[int]) -> _Entries:
    """Return the entries of lists for certificates: by list, issuer and serial number."""
    found: _Entries = {}
    # What was cut to be kept may be that of another one.
    known = [row for row in rows if len(row.serial) < SERIAL_CHARACTERS]
    if not lists:
        return found
    for chunk in chunked(known):
        entries = connection.execute(
            select(revocation_entry).where(
                revocation_entry.c.issuer_der_hash.in_({row.issuer_der_hash for row in chunk}),
                revocation_entry.c.serial.in_({row.serial for row in chunk}),
                revocation_entry.c.list_no.in_(lists),
            )
        )
        found |= {(row.list_no, row.issuer_der_hash, row.serial): row for row in entries}
    return found


def _tells_of(one: _Series, row: Row[Any], keys: set[bytes]) -> bool:
    own = one.row.issuer_der_hash == row.issuer_der_hash
    named = one.row.indirect and one.row.issuer_der_hash in _split(row.crl_issuers)
    return (own or named) and not one.keys.isdisjoint(keys)


def _status(row: Row[Any], telling: Sequence[_Series], entries: _Entries) -> Status | None:
    revoked: list[Status] = []
    good: list[tuple[int, Status]] = []
    for one in telling:
        key = row.issuer_der_hash, row.serial
        said = [
            entries[each.list_no, *key] for each in one.lists if (each.list_no, *key) in entries
        ]
        # The delta, which is newer, is the last.
        entry = said[-1] if said else None
        number = one.row.series_no
        if entry is not None and entry.reason != _REMOVED:
            revoked.append(
                Status(
                    REVOKED,
                    entry.reason,
                    entry.revoked_ms,
                    entry.invalidity_ms,
                    number,
                    entry.list_no,
                )
            )
        elif _covers(one, row):
            status = Status(GOOD, "", None, None, number, one.lists[0].list_no)
            good.append((one.told_ms, status))
    if revoked:
        return min(revoked, key=lambda each: (each.reason == _HOLD, each.revoked_ms))
    return max(good, key=lambda each: each[0])[1] if good else None


def _covers(one: _Series, row: Row[Any]) -> bool:
    """Whether who has no entry in the series is good."""
    scope, points = one.row, _split(one.row.points)
    return (
        not one.lists[0].base_number
        and not scope.reasons
        and scope.only_contains in ({"", "ca"} if row.is_ca else {"", "user"})
        and (not points or not points.isdisjoint(_split(row.crl_points)))
        and not _is_behind(one, row)
    )


def _is_behind(one: _Series, row: Row[Any]) -> bool:
    """Whether a certificate had expired when the series last spoke."""
    return row.not_after_ms is not None and row.not_after_ms < one.told_ms


def _had_expired(row: Row[Any], telling: Sequence[_Series]) -> bool:
    return bool(telling) and all(_is_behind(one, row) for one in telling)
