"""Take a revocation list: whose it is, whether it is newer than what is in force, and from when on it counts.

1. The certificates that may have signed it, by the name of its issuer. The child verifies.
2. Its series, by signing key, issuer and scope; the newest number counts, else the newest time. One that
   is older never takes the place of a newer one. A delta needs the complete list that it rests on.
3. Its entries are written a piece at a time, while the former list is still in force.
4. In one transaction it comes into force and the former one ends; all that the series tells of is looked
   at again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, tuple_, update

from keycensus_collector.catalogue.facts import RevocationListFacts, RevokedEntry
from keycensus_collector.catalogue.issuers import PARENTS
from keycensus_collector.catalogue.parse import CERTIFICATE, CRL
from keycensus_collector.catalogue.rows import list_columns
from keycensus_collector.revocation import queue
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import blob, certificate, revocation_list
from keycensus_collector.store.tables.revocation import (
    list_in_force,
    revocation_entry,
    revocation_issuer,
    revocation_series,
)

IN_FORCE, REPLACED, OLDER = "in-force", "replaced", "older"
WAITING, UNVERIFIED, UNUSABLE = "waiting", "unverified", "unusable"

_OLDER = "a newer list of the same issuer and scope is in force"
_NO_BASE = "a delta, and no complete list is here that it rests on"
_NO_ISSUER = "no certificate of its issuer is here"
_NOT_SIGNED = "no certificate of its issuer that is here verifies its signature and may sign lists"
_NO_TIME = "it does not say of when it is"
# Entries removed in one transaction.
_FORGOTTEN = 5_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """A list to be verified, and the certificates (SHA-256 and DER) that may have signed it."""

    sha256: bytes
    data: bytes
    signers: Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Taken:
    """A list whose entries are to be written."""

    list_no: int
    series_no: int
    is_delta: bool


def load(connection: Connection, sha256: bytes) -> Waiting | None:
    """Return a list with whom to ask about its signature; None if it is gone."""
    row = connection.execute(
        select(revocation_list.c.issuer_der_hash, revocation_list.c.authority_key_identifier, blob)
        .join(blob, blob.c.hash == revocation_list.c.sha256)
        .where(revocation_list.c.sha256 == sha256, blob.c.kind == CRL)
    ).one_or_none()
    return None if row is None else Waiting(sha256, row.data, _signers(connection, row))


def _signers(connection: Connection, row: Row[Any]) -> list[tuple[bytes, bytes]]:
    columns = certificate.c
    statement = (
        select(columns.sha256, blob.c.data)
        .join(blob, blob.c.hash == columns.sha256)
        .where(columns.subject_der_hash == row.issuer_der_hash, blob.c.kind == CERTIFICATE)
        .order_by(columns.is_ca.desc(), columns.not_after_ms.desc(), columns.sha256)
        .limit(PARENTS)
    )
    if row.authority_key_identifier:
        own = columns.subject_key_identifier
        statement = statement.where(own.in_((row.authority_key_identifier, b"")))
    return [(found.sha256, found.data) for found in connection.execute(statement)]


def decide(
    connection: Connection,
    waiting: Waiting,
    facts: RevocationListFacts,
    signed: Sequence[bool | None],
) -> Taken | None:
    """Write what a list says and what becomes of it; None if none of its entries is to be written."""
    sha256 = waiting.sha256
    columns = list_columns(facts)
    connection.execute(
        update(revocation_list).where(revocation_list.c.sha256 == sha256).values(columns)
    )
    known = connection.execute(
        select(list_in_force).where(list_in_force.c.sha256 == sha256)
    ).one_or_none()
    if known is not None and known.from_ms is not None:
        return None
    signer = next(
        (each for (each, _), verdict in zip(waiting.signers, signed, strict=True) if verdict), None
    )
    if facts.unusable or facts.this_update_ms is None:
        _tell(connection, sha256, UNUSABLE, facts.unusable or _NO_TIME)
        return None
    if signer is None:
        _tell(connection, sha256, UNVERIFIED, _NOT_SIGNED if waiting.signers else _NO_ISSUER)
        return None
    series_no = _series_no(connection, facts, signer)
    refused = _refused(connection, series_no, facts)
    if refused is not None:
        _tell(connection, sha256, *refused)
        return None
    is_delta = bool(facts.base_number)
    if known is not None:
        return Taken(known.list_no, known.series_no, is_delta)
    number = connection.execute(
        insert(list_in_force)
        .values(
            sha256=sha256,
            series_no=series_no,
            signer=signer,
            number=facts.number,
            base_number=facts.base_number,
            this_update_ms=facts.this_update_ms,
            next_update_ms=facts.next_update_ms,
        )
        .returning(list_in_force.c.list_no)
    ).scalar_one()
    return Taken(int(number), series_no, is_delta)


def _tell(connection: Connection, sha256: bytes, state: str, why: str) -> None:
    connection.execute(
        update(revocation_list)
        .where(revocation_list.c.sha256 == sha256)
        .values(state=state, why=why)
    )


def _series_no(connection: Connection, facts: RevocationListFacts, signer: bytes) -> int:
    key = connection.execute(
        select(certificate.c.key_id).where(certificate.c.sha256 == signer)
    ).scalar_one()
    scope = {
        "signer_key": key or signer,
        "issuer_der_hash": facts.issuer_der_hash,
        "only_contains": facts.only_contains,
        "reasons": facts.reasons,
        "indirect": facts.indirect,
        "points": facts.points,
    }
    identity = hashlib.sha256(repr(sorted(scope.items())).encode()).digest()
    connection.execute(
        upsert(connection, revocation_series)
        .values(identity=identity, **scope)
        .on_conflict_do_nothing(index_elements=["identity"])
    )
    number = connection.execute(
        select(revocation_series.c.series_no).where(revocation_series.c.identity == identity)
    ).scalar_one()
    return int(number)


def _refused(
    connection: Connection, series_no: int, facts: RevocationListFacts
) -> tuple[str, str] | None:
    """Return why a list does not come into force, as a state and a reason; None if it does."""
    current = _in_force(connection, series_no)
    base, delta = current.get(False), current.get(True)
    if not facts.base_number:
        return (OLDER, _OLDER) if base is not None and not _is_newer(facts, base) else None
    if base is None or base.number < facts.base_number:
        return WAITING, _NO_BASE
    newest = delta or base
    return None if _is_newer(facts, newest) and facts.number > base.number else (OLDER, _OLDER)


def _is_newer(facts: RevocationListFacts, than: Row[Any]) -> bool:
    """Compare by number if both have one, else by time (RFC 5280, section 5.2.3)."""
    if facts.number and than.number and facts.number != than.number:
        return bool(facts.number > than.number)
    return bool((facts.this_update_ms or 0) > than.this_update_ms)


def _in_force(connection: Connection, series_no: int) -> dict[bool, Row[Any]]:
    """Return the complete list (False) and the delta (True) of a series that are in force."""
    rows = connection.execute(
        select(list_in_force).where(
            list_in_force.c.series_no == series_no,
            list_in_force.c.from_ms.is_not(None),
            list_in_force.c.to_ms.is_(None),
        )
    )
    return {bool(row.base_number): row for row in rows}


def write_entries(
    connection: Connection, taken: Taken, entries: Iterable[RevokedEntry]
) -> set[bytes]:
    """Write entries of a list that is to come into force; return whose certificates they name."""
    rows: dict[tuple[bytes, str], Mapping[str, Any]] = {}
    for each in entries:
        rows[each.issuer, each.serial] = {
            "issuer_der_hash": each.issuer,
            "serial": each.serial,
            "list_no": taken.list_no,
            "revoked_ms": each.revoked_ms,
            "reason": each.reason,
            "invalidity_ms": each.invalidity_ms,
        }
    if rows:
        statement = upsert(connection, revocation_entry).on_conflict_do_nothing()
        connection.execute(statement, list(rows.values()))
    return {issuer for issuer, _ in rows}


def come_into_force(connection: Connection, taken: Taken, issuers: set[bytes], now_ms: int) -> None:
    """Let a list count from now on, in the place of the one before."""
    current = _in_force(connection, taken.series_no)
    row = connection.execute(
        select(list_in_force).where(list_in_force.c.list_no == taken.list_no)
    ).one()
    ended = [current[taken.is_delta]] if taken.is_delta in current else []
    delta = current.get(True)
    if not taken.is_delta and delta is not None and delta.number <= row.number:
        ended.append(delta)
    _end(connection, ended, now_ms)
    connection.execute(
        update(list_in_force).where(list_in_force.c.list_no == taken.list_no).values(from_ms=now_ms)
    )
    _tell(connection, row.sha256, IN_FORCE, "")
    named = {"series_no": taken.series_no}
    issuer = connection.execute(
        select(revocation_series.c.issuer_der_hash).where(
            revocation_series.c.series_no == taken.series_no
        )
    ).scalar_one()
    statement = upsert(connection, revocation_issuer).on_conflict_do_nothing()
    rows = [named | {"issuer_der_hash": each} for each in sorted(issuers | {issuer})]
    connection.execute(statement, rows)
    queue.note_series(connection, [taken.series_no])
    if not taken.is_delta:
        _look_again_for_deltas(connection, issuer)


def _end(connection: Connection, rows: Sequence[Row[Any]], now_ms: int) -> None:
    numbers = [row.list_no for row in rows]
    connection.execute(
        update(list_in_force).where(list_in_force.c.list_no.in_(numbers)).values(to_ms=now_ms)
    )
    for row in rows:
        _tell(connection, row.sha256, REPLACED, "a newer list took its place")
    queue.note_forgotten(connection, numbers)


def _look_again_for_deltas(connection: Connection, issuer: bytes) -> None:
    waiting = select(revocation_list.c.sha256).where(
        revocation_list.c.issuer_der_hash == issuer, revocation_list.c.state == WAITING
    )
    queue.note_lists(connection, list(connection.execute(waiting).scalars()))


def give_up(connection: Connection, taken: Taken, sha256: bytes, why: str) -> None:
    """Leave a list whose entries could not be read to the end."""
    _tell(connection, sha256, UNUSABLE, why)
    connection.execute(
        update(list_in_force)
        .where(list_in_force.c.list_no == taken.list_no)
        .values(from_ms=0, to_ms=0)
    )
    queue.note_forgotten(connection, [taken.list_no])


def forget_some(connection: Connection, list_no: int) -> bool:
    """Remove some entries of a list that is no longer in force; False if none is left."""
    entry = revocation_entry.c
    key = tuple_(entry.issuer_der_hash, entry.serial)
    some = select(entry.issuer_der_hash, entry.serial).where(entry.list_no == list_no)
    removed = connection.execute(
        delete(revocation_entry).where(entry.list_no == list_no, key.in_(some.limit(_FORGOTTEN)))
    ).rowcount
    return removed == _FORGOTTEN


def certificates_of(
    connection: Connection, series_no: int, after: bytes, limit: int
) -> list[bytes]:
    """Return certificates that a series may tell of, in the order of their hashes."""
    issuers = select(revocation_issuer.c.issuer_der_hash).where(
        revocation_issuer.c.series_no == series_no
    )
    columns = certificate.c
    names = connection.execute(issuers).scalars().all()
    found: set[bytes] = set()
    for name in names:
        found |= set(
            connection.execute(
                select(columns.sha256)
                .where(columns.issuer_der_hash == name, columns.sha256 > after)
                .order_by(columns.sha256)
                .limit(limit)
            ).scalars()
        )
    indirect = connection.execute(
        select(revocation_series.c.indirect).where(revocation_series.c.series_no == series_no)
    ).scalar_one()
    if indirect:
        found |= set(
            connection.execute(
                select(columns.sha256)
                .where(columns.crl_issuers != b"", columns.sha256 > after)
                .order_by(columns.sha256)
                .limit(limit)
            ).scalars()
        )
    return sorted(found)[:limit]
