"""Read one public blob: certificate, public key, request or revocation list in, facts out.

Pure and on the hostile side: it runs in the limited catalogue child. Everything is read with our own
DER code: of odd certificates in the wild a library refuses to load some and raises on the names or
extensions of many, and each of them still stands on somebody's server. What can't be read is named
in `problem`, and the rest is kept. The bytes were hashed before they came here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from keycensus_collector.catalogue import der
from keycensus_collector.catalogue.algorithms import (
    KEY_ALGORITHMS,
    KEY_PURPOSES,
    OTHER_CURVES,
    SIGNATURE_ALGORITHMS,
)
from keycensus_collector.catalogue.facts import (
    CertificateFacts,
    Facts,
    PublicKeyFacts,
    RequestFacts,
    RevocationListFacts,
)
from keycensus_collector.catalogue.key_id import CURVES, key_id
from keycensus_collector.catalogue.names import (
    NAMES_PER_CERTIFICATE,
    DistinguishedName,
    NameFact,
    read_general_names,
    read_name,
)
from keycensus_collector.text import safe_text

# Values of keycensus.v1.BlobKind.
CERTIFICATE, SPKI, CSR, CRL = 2, 3, 4, 5
# Bytes of the largest blob of each kind that is read (protos/README.md, section 8).
CAPS = {CERTIFICATE: 256 * 1024, SPKI: 256 * 1024, CSR: 1024 * 1024, CRL: 1024 * 1024}

_PROBLEM_CHARACTERS = 500
# RFC 5280 allows 20 octets; what is longer still has a value, of which this much is kept.
_SERIAL_CHARACTERS = 256
_PURPOSES = 64
# Key identifiers are 20 bytes as a rule; ones this long do not fit into an index.
_KEY_IDENTIFIER_BYTES = 512
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC_TIME = re.compile(rb"(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(Z|[+-]\d{4})", re.ASCII)
_GENERALIZED_TIME = re.compile(
    rb"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})?(?:\.\d+)?(Z|[+-]\d{4})", re.ASCII
)
_EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
_SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"

_Value = TypeVar("_Value")
_Otherwise = TypeVar("_Otherwise")


class _Problems:
    """Collects what could not be read, each part by its name."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def add(self, part: str, reason: str) -> None:
        self._parts.append(f"{part}: {reason}")

    def guard(
        self, part: str, read: Callable[[], _Value], otherwise: _Otherwise
    ) -> _Value | _Otherwise:
        """Return what `read` does, or `otherwise` and note why."""
        try:
            return read()
        except (der.DerError, ValueError, OverflowError) as error:
            self.add(part, str(error))
            return otherwise

    def text(self) -> str:
        return safe_text("; ".join(self._parts))[:_PROBLEM_CHARACTERS]


def parse(kind: int, data: bytes) -> Facts:
    """Return what a blob of `kind` (BlobKind's value) says; never raises for odd bytes."""
    if kind == CERTIFICATE:
        return parse_certificate(data)
    if kind == SPKI:
        return parse_public_key(data)
    return parse_request(data) if kind == CSR else parse_revocation_list(data)


def unread(kind: int, problem: str) -> Facts:
    """Return facts that say nothing but why: for blobs over the cap and those that kill the child."""
    if kind == CERTIFICATE:
        return CertificateFacts(problem=problem)
    if kind == SPKI:
        return PublicKeyFacts(problem=problem)
    return RequestFacts(problem=problem) if kind == CSR else RevocationListFacts(problem=problem)


def parse_public_key(spki_der: bytes) -> PublicKeyFacts:
    """Read a SubjectPublicKeyInfo (RFC 5280, section 4.1.2.7)."""
    problems = _Problems()
    algorithm, bits, curve = problems.guard("public key", lambda: _key_type(spki_der), ("", 0, ""))
    return PublicKeyFacts(key_id(spki_der), algorithm, bits, curve, problems.text())


def _key_type(spki_der: bytes) -> tuple[str, int, str]:
    children = list(der.read_whole(spki_der, der.SEQUENCE).children())
    if len(children) != 2:
        raise der.DerError("not a SubjectPublicKeyInfo")
    inside = list(children[0].expect(der.SEQUENCE).children())
    if not inside:
        raise der.DerError("no algorithm")
    oid = der.read_oid(inside[0])
    name, bits = KEY_ALGORITHMS.get(oid, (oid, 0))
    key = der.read_bits(children[1])
    if name == "rsa":
        modulus = der.read_whole(key, der.SEQUENCE).first_child()
        return name, der.read_magnitude_bits(modulus), ""
    if name in {"dsa", "dh"} and len(inside) > 1:
        prime = inside[1].expect(der.SEQUENCE).first_child()
        return name, der.read_magnitude_bits(prime), ""
    if name == "ec" and len(inside) > 1:
        return name, *_curve(inside[1])
    return name, bits, ""


def _curve(parameters: der.Element) -> tuple[int, str]:
    """Return bits and name of a curve: a named one, or explicit parameters (X9.62)."""
    if parameters.tag == der.OBJECT_IDENTIFIER:
        curve = CURVES.get(parameters.content)
        if curve is not None:
            return curve.p.bit_length(), curve.name
        oid = der.read_oid(parameters)
        name, bits = OTHER_CURVES.get(oid, (oid, 0))
        return bits, name
    field = list(parameters.expect(der.SEQUENCE).children())[1:2]
    prime = list(field[0].expect(der.SEQUENCE).children())[1:2] if field else []
    return (der.read_magnitude_bits(prime[0]) if prime else 0), "explicit"


def parse_certificate(data: bytes) -> CertificateFacts:
    """Read a certificate as far as it can be read."""
    problems = _Problems()
    fields = problems.guard("certificate", lambda: _tbs_fields(data), None)
    if fields is None:
        return CertificateFacts(problem=problems.text())
    serial, algorithm, issuer, validity, subject, spki, *rest = fields
    issuer_name, subject_name = (
        _name("issuer", issuer, problems),
        _name("subject", subject, problems),
    )
    not_before, not_after = problems.guard("validity", lambda: _validity(validity), (None, None))
    extensions = _extensions(rest, problems)
    key = parse_public_key(spki.encoded)
    if key.problem:
        problems.add("", key.problem)
    return CertificateFacts(
        key=key,
        subject=subject_name.text,
        subject_der_hash=hashlib.sha256(subject.encoded).digest(),
        common_name=subject_name.common_name,
        issuer=issuer_name.text,
        issuer_der_hash=hashlib.sha256(issuer.encoded).digest(),
        serial=problems.guard("serial", lambda: _serial(serial), ""),
        not_before_ms=not_before,
        not_after_ms=not_after,
        names=_alternative_names(extensions.get(_SUBJECT_ALTERNATIVE_NAME), problems),
        is_ca=_is_ca(extensions.get("2.5.29.19"), problems),
        self_signed=False,
        signature_algorithm=problems.guard(
            "signature algorithm", lambda: _signature_algorithm(algorithm), ""
        ),
        subject_key_identifier=_subject_key_identifier(extensions.get("2.5.29.14"), problems),
        authority_key_identifier=_authority_key_identifier(extensions.get("2.5.29.35"), problems),
        extended_key_usage=_extended_key_usage(extensions.get("2.5.29.37"), problems),
        problem=problems.text(),
    )


def _tbs_fields(data: bytes) -> list[der.Element]:
    """Return TBSCertificate's elements from the serial number on (RFC 5280, section 4.1)."""
    tbs = der.read_whole(data, der.SEQUENCE).first_child().expect(der.SEQUENCE)
    fields = list(tbs.children())
    if fields and fields[0].tag == 0xA0:
        del fields[0]
    if len(fields) < 6:
        raise der.DerError("fields are missing")
    for field, tag in zip(fields, (der.INTEGER, *[der.SEQUENCE] * 5), strict=False):
        field.expect(tag)
    return fields


def _name(part: str, element: der.Element, problems: _Problems) -> DistinguishedName:
    return problems.guard(part, lambda: read_name(element), DistinguishedName("", ""))


def _serial(element: der.Element) -> str:
    text = f"{der.read_integer(element):x}"
    return text[:_SERIAL_CHARACTERS]


def _signature_algorithm(element: der.Element) -> str:
    oid = der.read_oid(element.expect(der.SEQUENCE).first_child())
    return SIGNATURE_ALGORITHMS.get(oid, oid)


def _validity(element: der.Element) -> tuple[int | None, int | None]:
    times = list(element.children())
    if len(times) != 2:
        raise der.DerError("not two times")
    return _time_ms(times[0]), _time_ms(times[1])


def _time_ms(element: der.Element) -> int:
    """Return a Time (RFC 5280, section 4.1.2.5), also in the older forms with offset or no seconds."""
    pattern = _UTC_TIME if element.tag == der.UTC_TIME else _GENERALIZED_TIME
    if element.tag not in {der.UTC_TIME, der.GENERALIZED_TIME}:
        raise der.DerError("not a time")
    match = pattern.fullmatch(element.content)
    if match is None:
        raise der.DerError("time in no known form")
    year, month, day, hour, minute, second = (int(group or 0) for group in match.groups()[:6])
    if element.tag == der.UTC_TIME:
        year += 2000 if year < 50 else 1900
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    offset = match.group(7)
    if offset == b"Z":
        return milliseconds
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return milliseconds + (minutes if offset.startswith(b"-") else -minutes) * 60_000


def _extensions(rest: list[der.Element], problems: _Problems) -> dict[str, der.Element]:
    """Return extension values by identifier; of one that stands twice, the first."""
    for element in rest:
        if element.tag == 0xA3:
            return _extension_list(element, problems)
    return {}


def _extension_list(wrapper: der.Element, problems: _Problems) -> dict[str, der.Element]:
    found: dict[str, der.Element] = {}
    try:
        for extension in wrapper.first_child().expect(der.SEQUENCE).children():
            parts = list(extension.expect(der.SEQUENCE).children())
            oid = der.read_oid(parts[0]) if parts else ""
            if len(parts) not in {2, 3} or oid in found:
                problems.add("extensions", f"{oid or 'one'} is malformed or there twice")
                continue
            found[oid] = parts[-1].expect(der.OCTET_STRING)
    except der.DerError as error:
        problems.add("extensions", str(error))
    return found


def _alternative_names(extension: der.Element | None, problems: _Problems) -> tuple[NameFact, ...]:
    if extension is None:
        return ()
    names = problems.guard(
        "alternative names",
        lambda: read_general_names(der.read_whole(extension.content, der.SEQUENCE)),
        (),
    )
    if len(names) == NAMES_PER_CERTIFICATE:
        problems.add("alternative names", f"only the first {NAMES_PER_CERTIFICATE} are kept")
    return tuple(names)


def _is_ca(extension: der.Element | None, problems: _Problems) -> bool:
    if extension is None:
        return False

    def read() -> bool:
        fields = list(der.read_whole(extension.content, der.SEQUENCE).children())
        return bool(fields) and fields[0].tag == der.BOOLEAN and fields[0].content != b"\0"

    return problems.guard("basic constraints", read, otherwise=False)


def _subject_key_identifier(extension: der.Element | None, problems: _Problems) -> bytes:
    if extension is None:
        return b""
    return problems.guard(
        "subject key identifier",
        lambda: der.read_whole(extension.content, der.OCTET_STRING).content,
        b"",
    )[:_KEY_IDENTIFIER_BYTES]


def _authority_key_identifier(extension: der.Element | None, problems: _Problems) -> bytes:
    if extension is None:
        return b""

    def read() -> bytes:
        for field in der.read_whole(extension.content, der.SEQUENCE).children():
            if field.tag == 0x80:
                return field.content
        return b""

    return problems.guard("authority key identifier", read, b"")[:_KEY_IDENTIFIER_BYTES]


def _extended_key_usage(extension: der.Element | None, problems: _Problems) -> str:
    if extension is None:
        return ""

    def read() -> str:
        purposes = list(der.read_whole(extension.content, der.SEQUENCE).children())[:_PURPOSES]
        oids = [der.read_oid(purpose) for purpose in purposes]
        return " ".join(KEY_PURPOSES.get(oid, oid) for oid in oids)

    return problems.guard("extended key usage", read, "")


def parse_request(data: bytes) -> RequestFacts:
    """Read a certification request (RFC 2986, section 4) as far as it can be read."""
    problems = _Problems()

    def read() -> list[der.Element]:
        information = der.read_whole(data, der.SEQUENCE).first_child().expect(der.SEQUENCE)
        fields = list(information.children())
        if len(fields) < 3:
            raise der.DerError("fields are missing")
        return fields

    fields = problems.guard("request", read, None)
    if fields is None:
        return RequestFacts(problem=problems.text())
    key = parse_public_key(fields[2].encoded)
    if key.problem:
        problems.add("", key.problem)
    extensions = _requested_extensions(fields[3:], problems)
    return RequestFacts(
        key=key,
        subject=_name("subject", fields[1], problems).text,
        names=_alternative_names(extensions.get(_SUBJECT_ALTERNATIVE_NAME), problems),
        problem=problems.text(),
    )


def _requested_extensions(
    attributes: list[der.Element], problems: _Problems
) -> dict[str, der.Element]:
    """Return the extensions of the extensionRequest attribute (RFC 2985, section 5.4.2)."""

    def read() -> der.Element | None:
        for attribute in attributes[0].children() if attributes else ():
            parts = list(attribute.expect(der.SEQUENCE).children())
            if len(parts) == 2 and der.read_oid(parts[0]) == _EXTENSION_REQUEST:
                return parts[1]
        return None

    wrapper = problems.guard("attributes", read, None)
    return {} if wrapper is None else _extension_list(wrapper, problems)


def parse_revocation_list(data: bytes) -> RevocationListFacts:
    """Read a revocation list (RFC 5280, section 5.1) as far as it can be read."""
    problems = _Problems()

    def read() -> list[der.Element]:
        fields = list(der.read_whole(data, der.SEQUENCE).first_child().children())
        if fields and fields[0].tag == der.INTEGER:
            del fields[0]
        if len(fields) < 3:
            raise der.DerError("fields are missing")
        return fields

    fields = problems.guard("revocation list", read, None)
    if fields is None:
        return RevocationListFacts(problem=problems.text())
    issuer, this_update, *rest = fields[1:]
    next_update = None
    if rest and rest[0].tag in {der.UTC_TIME, der.GENERALIZED_TIME}:
        element = rest.pop(0)
        next_update = problems.guard("next update", lambda: _time_ms(element), None)
    revoked = rest[0] if rest and rest[0].tag == der.SEQUENCE else None
    return RevocationListFacts(
        issuer=_name("issuer", issuer, problems).text,
        issuer_der_hash=hashlib.sha256(issuer.encoded).digest(),
        this_update_ms=problems.guard("this update", lambda: _time_ms(this_update), None),
        next_update_ms=next_update,
        revoked_count=problems.guard("revoked", lambda: _count(revoked), 0),
        problem=problems.text(),
    )


def _count(sequence: der.Element | None) -> int:
    return 0 if sequence is None else sum(1 for _ in sequence.children())
