"""What revocation lists say of certificates, as people see it, now or on a past day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from keycensus_collector.fold.chunks import chunked
from keycensus_collector.inventory.places import places_of
from keycensus_collector.inventory.results import Certificate, Revocation
from keycensus_collector.inventory.values import time_text
from keycensus_collector.ownership.intervals import at
from keycensus_collector.store.schema import certificate, revocation_list
from keycensus_collector.store.tables.revocation import certificate_revocation, list_in_force

# Lists of one issuer that are looked at to say why nothing is known, and places where one is shown.
_LISTS = 20
_PLACES = 5
_WHY = {
    "unverified": "a list of its issuer is here, but its signature is not verified: {why}",
    "unusable": "a list of its issuer is here, but can't be relied upon: {why}",
    "waiting": "of its issuer there is {why}",
}


def with_revocation(
    connection: Connection, items: Sequence[Certificate], now_ms: int, as_of_ms: int | None = None
) -> list[Certificate]:
    """Return certificates with what lists say of them at a moment."""
    moment_ms = now_ms if as_of_ms is None else as_of_ms
    found = statuses_of(connection, [bytes.fromhex(each.sha256) for each in items], as_of_ms)
    shown = []
    for each in items:
        row = found.get(bytes.fromhex(each.sha256))
        if row is None:
            shown.append(each)
            continue
        revoked = row.status == "revoked"
        shown.append(
            replace(
                each,
                revoked="yes" if revoked else "unknown" if _is_stale(row, moment_ms) else "no",
                revoked_since=time_text(row.revoked_ms),
                revocation_reason=row.reason,
                revocation_as_of=time_text(row.told_ms),
            )
        )
    return shown


def statuses_of(
    connection: Connection, certificates: Sequence[bytes], as_of_ms: int | None
) -> dict[bytes, Row[Any]]:
    """Return what is said of certificates (SHA-256), each with `told_ms` and `next_ms` of its lists."""
    lists = (
        select(
            list_in_force.c.series_no,
            func.max(list_in_force.c.this_update_ms).label("told_ms"),
            func.max(list_in_force.c.next_update_ms).label("next_ms"),
        )
        .where(list_in_force.c.from_ms.is_not(None), at(list_in_force, as_of_ms))
        .group_by(list_in_force.c.series_no)
        .subquery("lists")
    )
    found: dict[bytes, Row[Any]] = {}
    for chunk in chunked(certificates):
        rows = connection.execute(
            select(certificate_revocation, lists.c.told_ms, lists.c.next_ms)
            .outerjoin(lists, lists.c.series_no == certificate_revocation.c.series_no)
            .where(
                certificate_revocation.c.certificate.in_(chunk),
                at(certificate_revocation, as_of_ms),
            )
        )
        found |= {row.certificate: row for row in rows}
    return found


def _is_stale(row: Row[Any], moment_ms: int) -> bool:
    """Whether the lists that a status rests on should have been followed by others."""
    return row.told_ms is None or (row.next_ms is not None and row.next_ms <= moment_ms)


def revocation_of(connection: Connection, sha256: bytes, now_ms: int) -> Revocation:
    """Return what lists say of a certificate, by which list, and where that was found."""
    row = statuses_of(connection, [sha256], None).get(sha256)
    if row is None:
        return Revocation("unknown", _why_unknown(connection, sha256))
    stale = _is_stale(row, now_ms)
    latest = connection.execute(
        select(revocation_list.c.sha256, revocation_list.c.issuer, revocation_list.c.origin)
        .join(list_in_force, list_in_force.c.sha256 == revocation_list.c.sha256)
        .where(
            list_in_force.c.series_no == row.series_no,
            or_(
                list_in_force.c.list_no == row.list_no if row.status == "revoked" else False,
                list_in_force.c.to_ms.is_(None),
            ),
            list_in_force.c.from_ms.is_not(None),
        )
        .order_by(list_in_force.c.to_ms.is_not(None), list_in_force.c.list_no.desc())
        .limit(1)
    ).one_or_none()
    status = "yes" if row.status == "revoked" else "unknown" if stale else "no"
    why = ""
    if stale and status == "unknown":
        why = "the list by which it was good is stale: a newer one was due"
    return Revocation(
        status,
        why,
        reason=row.reason,
        since=time_text(row.revoked_ms),
        invalid_since=time_text(row.invalidity_ms),
        known_since=time_text(row.from_ms),
        as_of=time_text(row.told_ms),
        until=time_text(row.next_ms),
        stale=stale,
        list_sha256=latest.sha256.hex() if latest else "",
        list_issuer=latest.issuer if latest else "",
        found=_found(connection, latest.sha256, latest.origin) if latest else [],
    )


def _found(connection: Connection, sha256: bytes, origin: str) -> list[str]:
    places = places_of(connection, [sha256], ("crl",), each=_PLACES).get(sha256, [])
    return [*([origin] if origin else []), *(f"{each.host}:{each.path}" for each in places)]


def _why_unknown(connection: Connection, sha256: bytes) -> str:
    own = connection.execute(
        select(certificate.c.issuer_der_hash, certificate.c.self_signed).where(
            certificate.c.sha256 == sha256
        )
    ).one_or_none()
    if own is None or own.self_signed:
        return "it is self-signed: no list tells of it"
    rows = connection.execute(
        select(revocation_list.c.state, revocation_list.c.why)
        .where(revocation_list.c.issuer_der_hash == own.issuer_der_hash)
        .order_by(revocation_list.c.first_seen_ms.desc())
        .limit(_LISTS)
    ).all()
    if not rows:
        return "no revocation list of its issuer is here"
    if any(row.state == "in-force" for row in rows):
        return "the lists of its issuer that are here do not cover it"
    row = next((row for row in rows if row.state in _WHY), None)
    return (
        "a list of its issuer is being read" if row is None else _WHY[row.state].format(why=row.why)
    )
