"""Lists of certificates as they stand, and what they name: for people."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, select, true

from keycensus_collector.errors import MissingError
from keycensus_collector.inventory.results import ListedAs
from keycensus_collector.inventory.values import time_text
from keycensus_collector.store.tables.imports import import_record
from keycensus_collector.store.tables.listed import certificate_list, listed_certificate
from keycensus_collector.text import safe_text

_LISTS = 1_000
_TIMES = 100


@dataclass(frozen=True, slots=True)
class ListOfCertificates:
    """A list that was imported. `by`, `since`: of its newest file; null to those who see teams only."""

    name: str
    kind: str  # "ca-list", "certificates"
    entries: int
    found: int  # entries whose certificate is in the inventory
    by: str
    since: str | None


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `certificate`: its SHA-256 in the inventory; empty: it was not found yet."""

    number: int
    certificate: str
    serial: str
    subject: str
    not_after: str | None
    sha256: str
    sha1: str
    state: str  # as the list has it: "valid", "revoked", "expired"; empty: it does not say
    since: str | None


def list_no(connection: Connection, kind: str, name: str) -> int:
    """Return the number of a list, by its name as lists are told, or as it was given; else MissingError."""
    given, listed = name.strip(), certificate_list.c
    told = {safe_text(given), *([given] if given.isprintable() else [])}
    rows = connection.execute(
        select(listed.name, listed.list_no).where(listed.kind == kind, listed.name.in_(told))
    )
    numbers = {row.name: row.list_no for row in rows}
    found = numbers.get(given, numbers.get(safe_text(given)))
    if found is None:
        raise MissingError(
            f"there is no list {safe_text(given)!r}: GET /certificate-lists, or keycensus imports --lists, has all"
        )
    return int(found)


def list_lists(connection: Connection, number: int | None = None) -> list[ListOfCertificates]:
    """Return lists by name, or the one of a number."""
    counts = (
        select(
            listed_certificate.c.list_no,
            func.count().label("entries"),
            func.count(listed_certificate.c.certificate).label("found"),
        )
        .where(listed_certificate.c.to_ms.is_(None))
        .group_by(listed_certificate.c.list_no)
        .subquery("counts")
    )
    same = and_(
        import_record.c.kind == certificate_list.c.kind,
        import_record.c.source == certificate_list.c.name,
        import_record.c.to_ms.is_(None),
    )
    rows = connection.execute(
        select(
            certificate_list,
            counts.c.entries,
            counts.c.found,
            import_record.c.imported_by,
            import_record.c.from_ms,
        )
        .outerjoin(counts, counts.c.list_no == certificate_list.c.list_no)
        .outerjoin(import_record, same)
        .where(true() if number is None else certificate_list.c.list_no == number)
        .order_by(certificate_list.c.name, certificate_list.c.kind)
        .limit(_LISTS)
    )
    return [
        ListOfCertificates(
            row.name,
            row.kind,
            row.entries or 0,
            row.found or 0,
            row.imported_by or "",
            time_text(row.from_ms),
        )
        for row in rows
    ]


def entries_of(
    connection: Connection,
    number: int,
    *,
    without_certificate: bool,
    after: int,
    limit: int,
) -> list[Entry]:
    """Return entries of the list `number` that stand, in the order of their numbers."""
    listed = listed_certificate.c
    statement = (
        select(listed_certificate)
        .where(
            listed.list_no == number,
            listed.to_ms.is_(None),
            listed.listed_no > after,
        )
        .order_by(listed.listed_no)
        .limit(limit)
    )
    if without_certificate:
        statement = statement.where(listed.certificate.is_(None))
    return [
        Entry(
            number=row.listed_no,
            certificate=(row.certificate or b"").hex(),
            serial=row.serial,
            subject=row.subject,
            not_after=time_text(row.not_after_ms),
            sha256=row.sha256.hex(),
            sha1=row.sha1.hex(),
            state=row.state,
            since=time_text(row.from_ms),
        )
        for row in connection.execute(statement)
    ]


def lists_naming(connection: Connection, sha256: bytes) -> list[ListedAs]:
    """Return which lists name a certificate, or named it, the newest first."""
    listed = listed_certificate.c
    same = and_(
        import_record.c.kind == certificate_list.c.kind,
        import_record.c.source == certificate_list.c.name,
        import_record.c.from_ms == listed.from_ms,
    )
    rows = connection.execute(
        select(
            certificate_list.c.name,
            certificate_list.c.kind,
            listed.state,
            listed.from_ms,
            listed.to_ms,
            import_record.c.imported_by,
        )
        .join(certificate_list, certificate_list.c.list_no == listed.list_no)
        .outerjoin(import_record, same)
        .where(listed.certificate == sha256)
        .order_by(listed.listed_no.desc())
        .limit(_TIMES)
    )
    return [
        ListedAs(
            row.name,
            row.kind,
            row.state,
            row.imported_by or "",
            time_text(row.from_ms),
            time_text(row.to_ms),
        )
        for row in rows
    ]
