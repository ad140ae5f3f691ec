"""Take lists of certificates: what an authority says it issued, or a bundle of certificates.

1. Each entry gets its identity: by fingerprint if the list has it, else by issuer and serial number.
2. What the former list of the name had and this one lacks ends now; what both have goes on.
3. Certificates that the list holds itself go the way of all others, through the catalogue.
4. Entries join certificates of the inventory, now or when one is found (`join_listed`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, or_, select, update

from keycensus_collector.catalogue.parse import CERTIFICATE
from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.imports.ca_files import Listed
from keycensus_collector.imports.stored import record_import
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import blob, certificate, work
from keycensus_collector.store.tables.listed import (
    certificate_list,
    certificate_list_issuer,
    listed_certificate,
)
from keycensus_collector.text import safe_text

CA_LIST, CERTIFICATES = "ca-list", "certificates"


@dataclass(frozen=True, slots=True)
class ListTaken:
    """What an import of a list came to. `number` is 0 of a preview, which takes nothing."""

    number: int
    name: str
    kind: str  # "ca-list", "certificates"
    format: str
    entries: int
    new: int  # that the former list of this name had not
    gone: int  # that it had, and this one has not
    found: int  # that are certificates of the inventory, or come with the list
    columns: list[str]  # that were found in the file
    skipped: int  # rows of requests that came to no certificate
    unread_times: int  # times in no known form, which are left out


@dataclass(frozen=True, slots=True)
class ListFile:
    """A list that was read, and from where."""

    name: str
    kind: str
    format: str
    entries: Sequence[Listed]
    sha256: bytes
    size: int
    columns: tuple[str, ...] = ()
    skipped: int = 0
    unread_times: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a list changes, worked out before anything is written."""

    rows: dict[bytes, dict[str, Any]]  # entries by identity
    ended: list[int]
    new: list[bytes]
    issuers: set[bytes]
    found: int
    known: int  # whose certificates are read already


def issuers_named(connection: Connection, texts: Collection[str]) -> dict[str, bytes]:
    """Return the names of issuers as certificates have them, by what lists call them.

    A list writes a name in its own way: two are one if they have the same attributes and values, in any
    order and case.
    """
    found: dict[str, bytes] = {}
    for text in sorted(texts):
        parts = _parts(text)
        common = next((value for key, value in parts if key == "cn"), "")
        if not common:
            continue
        rows = connection.execute(
            select(certificate.c.subject, certificate.c.subject_der_hash)
            .where(certificate.c.is_ca.is_(True), certificate.c.subject.icontains(common))
            .order_by(certificate.c.subject_der_hash)
            .limit(100)
        )
        names = {row.subject_der_hash for row in rows if _parts(row.subject) == parts}
        if len(names) == 1:
            found[text] = names.pop()
    return found


def _parts(name: str) -> frozenset[tuple[str, str]]:
    text = name.replace("/", ",") if name.startswith("/") else name
    pairs = (part.partition("=") for part in text.split(","))
    return frozenset(
        (key.strip().lower(), value.strip().strip('"').lower()) for key, _, value in pairs if value
    )


def plan_list(connection: Connection, file: ListFile, issuer_hash: bytes, now_ms: int) -> Plan:
    """Work out what a list changes; UsageError if entries can't be told from those of others."""
    texts = {each.issuer for each in file.entries if each.issuer and not issuer_hash}
    named = issuers_named(connection, texts)
    rows: dict[bytes, dict[str, Any]] = {}
    for each in file.entries:
        row = _row(each, issuer_hash or named.get(each.issuer, b""), now_ms)
        identity = hashlib.sha256(
            repr(row["sha256"] or row["sha1"] or (row["issuer_der_hash"], row["serial"])).encode()
        ).digest()
        if not (row["sha256"] or row["sha1"] or row["issuer_der_hash"]):
            whose = f"; {each.issuer!r} is no authority in the inventory" if each.issuer else ""
            raise UsageError(
                f"{each.where}: a serial number without its issuer says nothing{whose}: say whose"
                " list it is (issuer=, --issuer of keycensus import), by a certificate of the inventory; nothing was taken"
            )
        rows[identity] = row | {"identity": identity}
    former = _former(connection, file)
    ended = [number for identity, number in former.items() if identity not in rows]
    new = [identity for identity in rows if identity not in former]
    _join(connection, list(rows.values()))
    issuers = {row["issuer_der_hash"] for row in rows.values() if row["issuer_der_hash"]}
    issuers |= _issuers_of(connection, [row["certificate"] for row in rows.values()])
    found = sum(row["certificate"] is not None for row in rows.values())
    known = _known(connection, [row["certificate"] for row in rows.values()])
    return Plan(rows, ended, new, issuers | ({issuer_hash} - {b""}), found, known)


def _known(connection: Connection, certificates: Iterable[bytes | None]) -> int:
    return sum(
        connection.execute(
            select(func.count()).select_from(certificate).where(certificate.c.sha256.in_(chunk))
        ).scalar_one()
        for chunk in chunked([each for each in certificates if each is not None])
    )


def _row(each: Listed, issuer: bytes, now_ms: int) -> dict[str, Any]:
    own = hashlib.sha256(each.der).digest() if each.der else b""
    return {
        "sha256": own or each.sha256,
        "sha1": each.sha1,
        "issuer_der_hash": issuer,
        "serial": each.serial,
        "subject": safe_text(each.subject),
        "not_after_ms": each.not_after_ms,
        "state": each.state,
        "from_ms": now_ms,
        "certificate": own or None,
    }


def _former(connection: Connection, file: ListFile) -> dict[bytes, int]:
    """Return the entries of the former list of this name, by identity."""
    number = _list_no(connection, file)
    rows = connection.execute(
        select(listed_certificate.c.identity, listed_certificate.c.listed_no).where(
            listed_certificate.c.list_no == number, listed_certificate.c.to_ms.is_(None)
        )
    )
    return {row.identity: row.listed_no for row in rows}


def _list_no(connection: Connection, file: ListFile) -> int:
    return (
        connection.execute(
            select(certificate_list.c.list_no).where(
                certificate_list.c.kind == file.kind,
                certificate_list.c.name == safe_text(file.name.strip()),
            )
        ).scalar()
        or 0
    )


def _join(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Set the certificate of each row that is in the inventory, by fingerprint or issuer and serial."""
    columns = certificate.c
    for chunk in chunked([row for row in rows if row["certificate"] is None]):
        known = connection.execute(
            select(columns.sha256, columns.sha1, columns.issuer_der_hash, columns.serial).where(
                or_(
                    columns.sha256.in_([row["sha256"] for row in chunk if row["sha256"]]),
                    columns.sha1.in_([row["sha1"] for row in chunk if row["sha1"]]),
                    columns.serial.in_([row["serial"] for row in chunk if row["serial"]]),
                )
            )
        ).all()
        by_print = {each: row.sha256 for row in known for each in (row.sha256, row.sha1)}
        by_serial = {(row.issuer_der_hash, row.serial): row.sha256 for row in known}
        for row in chunk:
            own = row["sha256"] or row["sha1"]
            serial = (row["issuer_der_hash"], row["serial"])
            row["certificate"] = by_print.get(own) if own else by_serial.get(serial)


def _issuers_of(connection: Connection, certificates: Iterable[bytes | None]) -> set[bytes]:
    """Return the names of the issuers of certificates of the inventory."""
    found: set[bytes] = set()
    for chunk in chunked([each for each in certificates if each is not None]):
        found |= set(
            connection.execute(
                select(certificate.c.issuer_der_hash)
                .where(certificate.c.sha256.in_(chunk), certificate.c.self_signed.is_(False))
                .distinct()
            ).scalars()
        )
    return found


def take_list(
    connection: Connection, file: ListFile, issuer_hash: bytes, *, actor: str, now_ms: int
) -> ListTaken:
    """Take a list, which replaces the former one of its kind and name."""
    plan = plan_list(connection, file, issuer_hash, now_ms)
    number = record_import(
        connection,
        kind=file.kind,
        source=file.name,
        sha256=file.sha256,
        size=file.size,
        items=len(plan.rows),
        actor=actor,
        now_ms=now_ms,
    )
    connection.execute(
        upsert(connection, certificate_list)
        .values(kind=file.kind, name=safe_text(file.name.strip()))
        .on_conflict_do_nothing()
    )
    list_no = _list_no(connection, file)
    for chunk in chunked(plan.ended):
        connection.execute(
            update(listed_certificate)
            .where(listed_certificate.c.listed_no.in_(chunk))
            .values(to_ms=now_ms)
        )
    for identities in chunked(plan.new):
        rows = [plan.rows[identity] | {"list_no": list_no} for identity in identities]
        connection.execute(insert(listed_certificate), rows)
    _note_issuers(connection, list_no, plan.issuers, now_ms)
    store_certificates(connection, [each.der for each in file.entries if each.der], now_ms)
    return taken_of(file, plan, number)


def taken_of(file: ListFile, plan: Plan, number: int = 0) -> ListTaken:
    """Return what a list comes to, as people see it."""
    return ListTaken(
        number=number,
        name=file.name,
        kind=file.kind,
        format=file.format,
        entries=len(plan.rows),
        new=len(plan.new),
        gone=len(plan.ended),
        found=plan.found,
        columns=list(file.columns),
        skipped=file.skipped,
        unread_times=file.unread_times,
    )


def _note_issuers(
    connection: Connection, list_no: int, issuers: Collection[bytes], now_ms: int
) -> None:
    rows = [
        {"list_no": list_no, "issuer_der_hash": issuer, "from_ms": now_ms} for issuer in issuers
    ]
    if rows:
        statement = upsert(connection, certificate_list_issuer).on_conflict_do_nothing()
        connection.execute(statement, rows)


def store_certificates(connection: Connection, ders: Iterable[bytes], now_ms: int) -> None:
    """Store certificates that somebody brought, and have them read as those that agents send."""
    for chunk in chunked(list(dict.fromkeys(ders))):
        hashes = {hashlib.sha256(der).digest(): der for der in chunk}
        known = set(
            connection.execute(
                select(blob.c.hash).where(blob.c.kind == CERTIFICATE, blob.c.hash.in_(hashes))
            ).scalars()
        )
        new = sorted(hashes.keys() - known)
        if new:
            connection.execute(
                insert(blob),
                [
                    {"hash": h, "kind": CERTIFICATE, "data": hashes[h], "received_ms": now_ms}
                    for h in new
                ],
            )
            connection.execute(
                insert(work),
                [
                    {"kind": "blob", "subject": h, "number": CERTIFICATE, "queued_ms": now_ms}
                    for h in new
                ],
            )


def join_listed(connection: Connection, certificates: Collection[bytes], now_ms: int) -> None:
    """Let entries that wait for one of these certificates, which were just read, join it."""
    if not certificates:
        return
    columns = certificate.c
    rows = connection.execute(
        select(columns.sha256, columns.sha1, columns.issuer_der_hash, columns.serial).where(
            columns.sha256.in_(certificates)
        )
    ).all()
    listed = listed_certificate.c
    waiting = connection.execute(
        select(listed_certificate).where(
            listed.certificate.is_(None),
            or_(
                listed.sha256.in_([row.sha256 for row in rows]),
                listed.sha1.in_([row.sha1 for row in rows]),
                listed.serial.in_([row.serial for row in rows]),
            ),
        )
    ).all()
    for entry in waiting:
        found = next((row.sha256 for row in rows if _is_meant(entry, row)), None)
        if found is not None:
            connection.execute(
                update(listed_certificate)
                .where(listed.listed_no == entry.listed_no)
                .values(certificate=found)
            )
    # A list without issuers gets them by the certificates that it names.
    brought = connection.execute(
        select(listed.list_no, columns.issuer_der_hash)
        .join(certificate, columns.sha256 == listed.certificate)
        .where(listed.certificate.in_(certificates), columns.self_signed.is_(False))
        .distinct()
    ).all()
    for list_no, issuer in brought:
        _note_issuers(connection, list_no, [issuer], now_ms)


def _is_meant(entry: Row[Any], row: Any) -> bool:  # noqa: ANN401 - a row of certificates
    if entry.sha256 or entry.sha1:
        return bool(entry.sha256 == row.sha256 or entry.sha1 == row.sha1)
    named = (entry.issuer_der_hash, entry.serial)
    return bool((row.issuer_der_hash, row.serial) == named)
