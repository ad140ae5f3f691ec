"""Read one public blob: certificate, public key, request or revocation list in, facts out.

Pure and on the hostile side: it runs in the limited catalogue child. Everything is read with our own
DER code: of odd certificates in the wild a library refuses to load some and raises on the names or
extensions of many, and each of them still stands on somebody's server. What can't be read is named
in `problem`, and the rest is kept. The bytes were hashed before they came here.
"""

from __future__ import annotations

import hashlib

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
    NameFact,
    read_general_names,
)
from keycensus_collector.catalogue.parts import (
    KEY_IDENTIFIER_BYTES,
    Problems,
    authority_key_identifier,
    extension_values,
    name_of,
    serial_text,
    time_ms,
)
from keycensus_collector.catalogue.revocation_list import parse_revocation_list, points_of

# Values of keycensus.v1.BlobKind.
CERTIFICATE, SPKI, CSR, CRL = 2, 3, 4, 5
# Bytes of the largest blob of each kind that is read (protos/README.md, section 8).
CAPS = {CERTIFICATE: 256 * 1024, SPKI: 256 * 1024, CSR: 1024 * 1024, CRL: 1024 * 1024}

_PURPOSES = 64
_EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
_SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"


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
    problems = Problems()
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
    problems = Problems()
    fields = problems.guard("certificate", lambda: _tbs_fields(data), None)
    if fields is None:
        return CertificateFacts(problem=problems.text())
    serial, algorithm, issuer, validity, subject, spki, *rest = fields
    issuer_name, subject_name = (
        name_of("issuer", issuer, problems),
        name_of("subject", subject, problems),
    )
    not_before, not_after = problems.guard("validity", lambda: _validity(validity), (None, None))
    extensions = _extensions(rest, problems)
    points, issuers = _distribution_points(extensions.get("2.5.29.31"), problems)
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
        serial=problems.guard("serial", lambda: serial_text(serial), ""),
        not_before_ms=not_before,
        not_after_ms=not_after,
        names=_alternative_names(extensions.get(_SUBJECT_ALTERNATIVE_NAME), problems),
        is_ca=_is_ca(extensions.get("2.5.29.19"), problems),
        self_signed=False,
        signature_algorithm=problems.guard(
            "signature algorithm", lambda: _signature_algorithm(algorithm), ""
        ),
        subject_key_identifier=_subject_key_identifier(extensions.get("2.5.29.14"), problems),
        authority_key_identifier=authority_key_identifier(extensions.get("2.5.29.35"), problems),
        extended_key_usage=_extended_key_usage(extensions.get("2.5.29.37"), problems),
        crl_points=points,
        crl_issuers=issuers,
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


def _signature_algorithm(element: der.Element) -> str:
    oid = der.read_oid(element.expect(der.SEQUENCE).first_child())
    return SIGNATURE_ALGORITHMS.get(oid, oid)


def _validity(element: der.Element) -> tuple[int | None, int | None]:
    times = list(element.children())
    if len(times) != 2:
        raise der.DerError("not two times")
    return time_ms(times[0]), time_ms(times[1])


def _extensions(rest: list[der.Element], problems: Problems) -> dict[str, der.Element]:
    """Return extension values by identifier; of one that stands twice, the first."""
    for element in rest:
        if element.tag == 0xA3:
            return extension_values(element, problems)
    return {}


def _alternative_names(extension: der.Element | None, problems: Problems) -> tuple[NameFact, ...]:
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


def _is_ca(extension: der.Element | None, problems: Problems) -> bool:
    if extension is None:
        return False

    def read() -> bool:
        fields = list(der.read_whole(extension.content, der.SEQUENCE).children())
        return bool(fields) and fields[0].tag == der.BOOLEAN and fields[0].content != b"\0"

    return problems.guard("basic constraints", read, otherwise=False)


def _subject_key_identifier(extension: der.Element | None, problems: Problems) -> bytes:
    if extension is None:
        return b""
    return problems.guard(
        "subject key identifier",
        lambda: der.read_whole(extension.content, der.OCTET_STRING).content,
        b"",
    )[:KEY_IDENTIFIER_BYTES]


def _extended_key_usage(extension: der.Element | None, problems: Problems) -> str:
    if extension is None:
        return ""

    def read() -> str:
        purposes = list(der.read_whole(extension.content, der.SEQUENCE).children())[:_PURPOSES]
        oids = [der.read_oid(purpose) for purpose in purposes]
        return " ".join(KEY_PURPOSES.get(oid, oid) for oid in oids)

    return problems.guard("extended key usage", read, "")


def parse_request(data: bytes) -> RequestFacts:
    """Read a certification request (RFC 2986, section 4) as far as it can be read."""
    problems = Problems()

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
        subject=name_of("subject", fields[1], problems).text,
        names=_alternative_names(extensions.get(_SUBJECT_ALTERNATIVE_NAME), problems),
        problem=problems.text(),
    )


def _requested_extensions(
    attributes: list[der.Element], problems: Problems
) -> dict[str, der.Element]:
    """Return the extensions of the extensionRequest attribute (RFC 2985, section 5.4.2)."""

    def read() -> der.Element | None:
        for attribute in attributes[0].children() if attributes else ():
            parts = list(attribute.expect(der.SEQUENCE).children())
            if len(parts) == 2 and der.read_oid(parts[0]) == _EXTENSION_REQUEST:
                return parts[1]
        return None

    wrapper = problems.guard("attributes", read, None)
    return {} if wrapper is None else extension_values(wrapper, problems)


def _distribution_points(extension: der.Element | None, problems: Problems) -> tuple[bytes, bytes]:
    """Return where its revocation lists are and who else may issue them (RFC 5280, section 4.2.1.13)."""
    if extension is None:
        return b"", b""
    return problems.guard("CRL distribution points", lambda: points_of(extension), (b"", b""))
