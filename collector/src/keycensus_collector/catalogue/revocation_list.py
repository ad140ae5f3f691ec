"""Read a revocation list: its facts, and its entries one after another (RFC 5280, section 5).

Pure, and on the hostile side as `parse`. A list may have a million entries, so they are gone through
and never kept. What RFC 5280 forbids to rely on is told in `unusable`: a critical extension that is
not known here, of the list or of an entry, makes all of it useless for telling a status.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from keycensus_collector.catalogue import der
from keycensus_collector.catalogue.facts import RevocationListFacts, RevokedEntry
from keycensus_collector.catalogue.parts import (
    Problems,
    authority_key_identifier,
    extension_values,
    name_of,
    serial_text,
    time_ms,
)

# CRLReason, RFC 5280 section 5.3.1.
REASONS = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}
_NUMBER, _DELTA, _SCOPE, _KEY = "2.5.29.20", "2.5.29.27", "2.5.29.28", "2.5.29.35"
# Of these what is critical is understood; the rest of a critical one is refused.
_KNOWN = frozenset({_NUMBER, _DELTA, _SCOPE, _KEY})
_REASON, _INVALIDITY, _ISSUER = "2.5.29.21", "2.5.29.24", "2.5.29.29"
_HOLD_INSTRUCTION = "2.5.29.23"
_KNOWN_OF_ENTRY = frozenset({_REASON, _INVALIDITY, _ISSUER, _HOLD_INSTRUCTION})
# Digits of a number of 20 octets, the most that RFC 5280 allows.
_NUMBER_DIGITS = 40
# Names of one distribution point, and points of one certificate, that are kept.
_POINTS = 16
_ENUMERATED = 0x0A
_DIRECTORY_NAME = 0xA4


@dataclass(frozen=True, slots=True)
class _Fields:
    """The elements of TBSCertList that are read; None: not there."""

    issuer: der.Element
    this_update: der.Element
    next_update: der.Element | None
    revoked: der.Element | None
    extensions: der.Element | None


def parse_revocation_list(data: bytes) -> RevocationListFacts:
    """Read a revocation list as far as it can be read; all of its entries are looked at."""
    problems = Problems()
    fields = problems.guard("revocation list", lambda: _fields(data), None)
    if fields is None:
        return RevocationListFacts(problem=problems.text(), unusable=problems.text())
    next_update = fields.next_update
    facts = RevocationListFacts(
        issuer=name_of("issuer", fields.issuer, problems).text,
        issuer_der_hash=hashlib.sha256(fields.issuer.encoded).digest(),
        this_update_ms=problems.guard("this update", lambda: time_ms(fields.this_update), None),
        next_update_ms=None
        if next_update is None
        else problems.guard("next update", lambda: time_ms(next_update), None),
    )
    facts = problems.guard("extensions", lambda: _with_extensions(facts, fields, problems), facts)
    count = 0
    try:
        for _ in _entries(fields):
            count += 1
    except (der.DerError, ValueError, OverflowError) as error:
        problems.add(f"entry {count + 1}", str(error))
    text = problems.text()
    return replace(facts, revoked_count=count, problem=text, unusable=text)


def revoked_entries(data: bytes) -> Iterator[RevokedEntry]:
    """Yield the entries of a list; DerError or ValueError where one can't be relied upon."""
    yield from _entries(_fields(data))


def _fields(data: bytes) -> _Fields:
    fields = list(der.read_whole(data, der.SEQUENCE).first_child().expect(der.SEQUENCE).children())
    if fields and fields[0].tag == der.INTEGER:
        del fields[0]
    if len(fields) < 3:
        raise der.DerError("fields are missing")
    issuer, this_update, *rest = fields[1:]
    next_update = revoked = extensions = None
    if rest and rest[0].tag in {der.UTC_TIME, der.GENERALIZED_TIME}:
        next_update = rest.pop(0)
    if rest and rest[0].tag == der.SEQUENCE:
        revoked = rest.pop(0)
    if rest and rest[0].tag == 0xA0:
        extensions = rest.pop(0)
    if rest:
        raise der.DerError(f"tag 0x{rest[0].tag:02x} behind its end")
    return _Fields(issuer.expect(der.SEQUENCE), this_update, next_update, revoked, extensions)


def _with_extensions(
    facts: RevocationListFacts, fields: _Fields, problems: Problems
) -> RevocationListFacts:
    if fields.extensions is None:
        return facts
    _refuse_critical(fields.extensions.first_child(), _KNOWN)
    values = extension_values(fields.extensions, problems)
    facts = replace(
        facts,
        number=_number(values.get(_NUMBER)),
        base_number=_number(values.get(_DELTA)),
        authority_key_identifier=authority_key_identifier(values.get(_KEY), problems),
    )
    scope = values.get(_SCOPE)
    return facts if scope is None else _with_scope(facts, scope)


def _refuse_critical(extensions: der.Element, known: frozenset[str]) -> None:
    """Raise DerError if there is a critical extension that is not understood here."""
    for extension in extensions.expect(der.SEQUENCE).children():
        parts = list(extension.expect(der.SEQUENCE).children())
        if len(parts) == 3 and parts[1].expect(der.BOOLEAN).content != b"\0":
            oid = der.read_oid(parts[0])
            if oid not in known:
                raise der.DerError(f"{oid} is critical and not understood")


def _number(extension: der.Element | None) -> str:
    if extension is None:
        return ""
    value = der.read_integer(der.read_whole(extension.content, der.INTEGER))
    text = f"{value:x}"
    if value < 0 or len(text) > _NUMBER_DIGITS:
        raise der.DerError("a number that is negative or longer than 20 octets")
    return text.rjust(_NUMBER_DIGITS, "0")


def _with_scope(facts: RevocationListFacts, extension: der.Element) -> RevocationListFacts:
    """Read the issuing distribution point (RFC 5280, section 5.2.5)."""
    kinds = {0x81: "user", 0x82: "ca", 0x85: "attribute"}
    for field in der.read_whole(extension.content, der.SEQUENCE).children():
        if field.tag == 0xA0:
            facts = replace(facts, points=_point_names(field))
        elif field.tag == 0x83:
            facts = replace(facts, reasons=field.content)
        elif field.content != b"\0" and field.tag == 0x84:
            facts = replace(facts, indirect=True)
        elif field.content != b"\0" and field.tag in kinds:
            if facts.only_contains:
                raise der.DerError("only of two kinds of certificates at once")
            facts = replace(facts, only_contains=kinds[field.tag])
        elif field.tag not in {*kinds, 0x84}:
            raise der.DerError(f"scope with tag 0x{field.tag:02x}")
    return facts


def _point_names(point: der.Element) -> bytes:
    """Return the SHA-256 of each name of a DistributionPointName.

    One that is relative to its issuer is kept as it is, and equals that of no certificate.
    """
    names = point.first_child()
    if names.tag != 0xA0:
        return hashlib.sha256(names.encoded).digest()
    return _hashes(names)


def _hashes(names: der.Element) -> bytes:
    found = [hashlib.sha256(name.encoded).digest() for name in names.children()]
    return b"".join(found[:_POINTS])


def points_of(extension: der.Element) -> tuple[bytes, bytes]:
    """Return hashes of the names of a certificate's CRL distribution points, and of its CRL issuers.

    A point without a name has those of its CRL issuer (RFC 5280, sections 4.2.1.13 and 6.3.3 b).
    """
    points: list[bytes] = []
    issuers: list[bytes] = []
    for point in der.read_whole(extension.content, der.SEQUENCE).children():
        fields = {field.tag: field for field in point.expect(der.SEQUENCE).children()}
        name, issuer = fields.get(0xA0), fields.get(0xA2)
        if name is not None:
            points.append(_point_names(name))
        if issuer is not None:
            issuers += _directory_names(issuer)
            if name is None:
                points.append(_hashes(issuer))
    return b"".join(points[:_POINTS]), b"".join(issuers[:_POINTS])


def _directory_names(names: der.Element) -> list[bytes]:
    return [
        hashlib.sha256(name.first_child().encoded).digest()
        for name in names.children()
        if name.tag == _DIRECTORY_NAME
    ]


def _entries(fields: _Fields) -> Iterator[RevokedEntry]:
    if fields.revoked is None:
        return
    # A certificate issuer holds for the entries behind it, too (RFC 5280, section 5.3.3).
    issuer = hashlib.sha256(fields.issuer.encoded).digest()
    for element in fields.revoked.children():
        parts = list(element.expect(der.SEQUENCE).children())
        if len(parts) not in {2, 3}:
            raise der.DerError("not a serial number and a time")
        reason, invalidity_ms = "", None
        if len(parts) == 3:
            reason, invalidity_ms, other = _entry_extensions(parts[2].encoded)
            issuer = other or issuer
        revoked_ms = _moment(parts[1].encoded)
        yield RevokedEntry(issuer, serial_text(parts[0]), revoked_ms, reason, invalidity_ms)


# Most entries of a list say one of a few things, many of them at the same second.
@lru_cache(maxsize=4_096)
def _moment(encoded: bytes) -> int:
    return time_ms(der.read_element(encoded, 0, len(encoded)))


@lru_cache(maxsize=4_096)
def _entry_extensions(encoded: bytes) -> tuple[str, int | None, bytes]:
    """Return reason, invalidity date and issuer of an entry (RFC 5280, section 5.3)."""
    whole = der.read_whole(encoded, der.SEQUENCE)
    _refuse_critical(whole, _KNOWN_OF_ENTRY)
    reason, invalidity_ms, issuer = "", None, b""
    for extension in whole.children():
        parts = list(extension.children())
        oid, value = der.read_oid(parts[0]), parts[-1].expect(der.OCTET_STRING).content
        if oid == _REASON:
            number = int.from_bytes(der.read_whole(value, _ENUMERATED).content, "big")
            reason = REASONS.get(number, "")
            if not reason:
                raise der.DerError(f"reason {number} that there is not")
        elif oid == _INVALIDITY:
            invalidity_ms = time_ms(der.read_whole(value, der.GENERALIZED_TIME))
        elif oid == _ISSUER:
            names = _directory_names(der.read_whole(value, der.SEQUENCE))
            if not names:
                raise der.DerError("an issuer without a directory name")
            issuer = names[0]
    return reason, invalidity_ms, issuer
