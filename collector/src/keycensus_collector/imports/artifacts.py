"""Take a file of certificates and revocation lists that somebody brought."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from keycensus_collector.catalogue.facts import CertificateFacts
from keycensus_collector.catalogue.parse import CAPS, CERTIFICATE
from keycensus_collector.catalogue.parser import CatalogueParser
from keycensus_collector.catalogue.split import CERTIFICATE_KIND
from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.imports.artifact_files import read_artifacts
from keycensus_collector.imports.ca_files import Listed
from keycensus_collector.imports.lists import CERTIFICATES, ListFile, plan_list, take_list
from keycensus_collector.imports.stored import record_import
from keycensus_collector.inventory.values import time_text
from keycensus_collector.revocation.bringing import Brought, bring, read_brought
from keycensus_collector.text import safe_text

LISTS = "revocation-lists"


@dataclass(frozen=True, slots=True)
class ListBrought:
    """A revocation list of the file; what becomes of it is told by `show`."""

    sha256: str
    issuer: str
    number: str  # hexadecimal; empty: none
    this_update: str | None
    next_update: str | None
    revoked: int


@dataclass(frozen=True, slots=True)
class ArtifactsTaken:
    """What an import of a file came to. `number` is 0 of a preview, which takes nothing."""

    number: int
    name: str
    certificates: int
    new: int  # that the former file of this name had not
    gone: int  # that it had, and this one has not
    found: int  # that are in the inventory already
    revocation_lists: list[ListBrought]


@dataclass(frozen=True, slots=True)
class Read:
    """A file that was read: certificates as entries of a list, and revocation lists."""

    certificates: Sequence[Listed]
    lists: Sequence[Brought]
    sha256: bytes
    size: int


def read_file(data: bytes, parser: CatalogueParser) -> Read:
    """Read PEM, DER or PKCS#7; UsageError says what of it can't be taken."""
    found = read_artifacts(data, parser)
    certificates = []
    for number, der in enumerate(found.certificates, 1):
        facts = parser.parse(CERTIFICATE, der)
        if not isinstance(facts, CertificateFacts) or not facts.serial:
            raise UsageError(
                f"certificate {number} can't be read: {facts.problem}; nothing was taken"
            )
        certificates.append(
            Listed(
                f"certificate {number}",
                serial=facts.serial,
                subject=facts.subject,
                not_after_ms=facts.not_after_ms,
                der=der,
            )
        )
    try:
        lists = read_brought(found.lists, parser)
    except ValueError as error:
        raise UsageError(f"{error}; nothing was taken") from None
    return Read(certificates, lists, hashlib.sha256(data).digest(), len(data))


def check_certificates(entries: Sequence[Listed], parser: CatalogueParser) -> None:
    """Raise UsageError if what an entry has as its certificate is none, or too long to be taken."""
    given = [each for each in entries if each.der]
    for chunk in chunked(given):
        whole = b"".join(each.der for each in chunk)
        try:
            found = parser.split(whole)
        except ValueError:
            found = []
        if found == [(CERTIFICATE_KIND, each.der) for each in chunk]:
            continue
        for each in chunk:
            try:
                alone = parser.split(each.der)
            except ValueError as error:
                raise UsageError(
                    f"{each.where}: its certificate: {error}; nothing was taken"
                ) from None
            if alone != [(CERTIFICATE_KIND, each.der)]:
                raise UsageError(f"{each.where}: its certificate is none; nothing was taken")
    for each in given:
        if len(each.der) > CAPS[CERTIFICATE]:
            raise UsageError(
                f"{each.where}: a certificate of {len(each.der):,} bytes is not read; nothing was taken"
            )


def take_artifacts(
    connection: Connection, read: Read, name: str, *, actor: str, now_ms: int, preview: bool
) -> ArtifactsTaken:
    """Take a file that was read, or with `preview` only say what it comes to."""
    number = new = gone = known = 0
    if read.certificates:
        file = ListFile(name, CERTIFICATES, "pem", read.certificates, read.sha256, read.size)
        plan = plan_list(connection, file, b"", now_ms)
        new, gone, known = len(plan.new), len(plan.ended), plan.known
        if not preview:
            number = take_list(connection, file, b"", actor=actor, now_ms=now_ms).number
    elif not preview:
        number = record_import(
            connection,
            kind=LISTS,
            source=name,
            sha256=read.sha256,
            size=read.size,
            items=len(read.lists),
            actor=actor,
            now_ms=now_ms,
        )
    if not preview:
        origin = f"imported by {safe_text(actor)} from {safe_text(name)}"
        bring(connection, read.lists, origin, now_ms)
    return ArtifactsTaken(
        number, name, len(read.certificates), new, gone, known, list(map(_told, read.lists))
    )


def _told(brought: Brought) -> ListBrought:
    facts = brought.facts
    return ListBrought(
        sha256=brought.sha256.hex(),
        issuer=facts.issuer,
        number=facts.number.lstrip("0") or facts.number[:1],
        this_update=time_text(facts.this_update_ms),
        next_update=time_text(facts.next_update_ms),
        revoked=facts.revoked_count,
    )
