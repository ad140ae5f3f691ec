"""Read certificates, requests and revocation lists without giving up on odd ones.

Parser side: pure, on hostile bytes. Only the skeleton must be right; a name, a date or an extension
that is malformed costs itself and nothing else. Sources: RFC 5280, RFC 2986.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from keycensus_agent.parser import der

_VERSION = 0xA0
_EXTENSIONS = 0xA3
_REQUEST_ATTRIBUTES = 0xA0

SUBJECT_KEY_IDENTIFIER = "2.5.29.14"
SUBJECT_ALTERNATIVE_NAME = "2.5.29.17"
BASIC_CONSTRAINTS = "2.5.29.19"
EXTENDED_KEY_USAGE = "2.5.29.37"
AUTHORITY_KEY_IDENTIFIER = "2.5.29.35"
_EXTENSION_REQUEST = "1.2.840.113549.1.9.14"


class CertificateFields(NamedTuple):
    """Where the parts of a certificate or request stand in its DER."""

    subject: der.Element
    spki: der.Element
    signature_algorithm: der.Element
    issuer: der.Element | None
    serial: der.Element | None
    validity: der.Element | None
    extensions: der.Element | None


@lru_cache(maxsize=4)
def certificate_fields(data: bytes) -> CertificateFields:
    """Return the parts of a certificate (RFC 5280, 4.1); DerError if the skeleton is not one.

    Asked three times in a row about each: whether it is one, what its entry is, what it says.
    """
    body, algorithm = _signed(data)
    fields = der.children(data, body)
    if fields and fields[0].tag == _VERSION:
        del fields[0]
    expected = (der.INTEGER, *[der.SEQUENCE] * 5)
    if tuple(field.tag for field in fields[:6]) != expected:
        raise der.DerError("no certificate")
    serial, _, issuer, validity, subject, spki = fields[:6]
    _require_spki(data, spki)
    extensions = next((field for field in fields[6:] if field.tag == _EXTENSIONS), None)
    return CertificateFields(subject, spki, algorithm, issuer, serial, validity, extensions)


def request_fields(data: bytes) -> CertificateFields:
    """Return the parts of a certification request (RFC 2986, 4.1); DerError if it is none."""
    body, algorithm = _signed(data)
    fields = der.expect(data, body, der.INTEGER, der.SEQUENCE, der.SEQUENCE)
    _, subject, spki = fields[:3]
    if len(fields) > 3 and fields[3].tag != _REQUEST_ATTRIBUTES:
        raise der.DerError("no request")
    _require_spki(data, spki)
    extensions = _requested_extensions(data, fields[3]) if len(fields) > 3 else None
    return CertificateFields(subject, spki, algorithm, None, None, None, extensions)


def check_revocation_list(data: bytes) -> None:
    """Raise DerError unless `data` has the skeleton of a CertificateList (RFC 5280, 5.1)."""
    body, _ = _signed(data)
    position = body.body
    tags: list[int] = []
    # Only the first fields are read: the list of revoked certificates may be very long.
    while position < body.body_end and len(tags) < 4:
        field = der.read(data, position, body.body_end)
        tags.append(field.tag)
        position = field.end
    if tags[:1] == [der.INTEGER]:
        del tags[0]
    times = {der.UTC_TIME, der.GENERALIZED_TIME}
    if tags[:2] != [der.SEQUENCE] * 2 or len(tags) < 3 or tags[2] not in times:
        raise der.DerError("no revocation list")


def _signed(data: bytes) -> tuple[der.Element, der.Element]:
    """Return the signed part and the algorithm of SIGNED{…} (RFC 5280, 4.1.1)."""
    parts = der.expect(data, der.read_whole(data), der.SEQUENCE, der.SEQUENCE, der.BIT_STRING)
    if len(parts) != 3:
        raise der.DerError("unexpected structure")
    return parts[0], parts[1]


def _require_spki(data: bytes, spki: der.Element) -> None:
    algorithm = der.expect(data, spki, der.SEQUENCE, der.BIT_STRING)[0]
    der.expect(data, algorithm, der.OBJECT_IDENTIFIER)


def _requested_extensions(data: bytes, attributes: der.Element) -> der.Element | None:
    """Return the wrapper of the extensions that a request asks for (RFC 2985, 5.4.2)."""
    try:
        for attribute in der.children(data, attributes):
            kind, values = der.expect(data, attribute, der.OBJECT_IDENTIFIER, der.SET)[:2]
            if der.dotted(data, kind) == _EXTENSION_REQUEST:
                return values
    except der.DerError:
        pass
    return None


def extension_values(data: bytes, extensions: der.Element | None) -> dict[str, bytes]:
    """Return the extensions' values by dotted OID; of several with one OID the first.

    Reading stops quietly where the structure breaks: what came before is still true.
    """
    values: dict[str, bytes] = {}
    if extensions is None:
        return values
    try:
        wrapped = der.read(data, extensions.body, extensions.body_end)
        for extension in der.children(data, wrapped):
            fields = der.expect(data, extension, der.OBJECT_IDENTIFIER)
            if fields[-1].tag == der.OCTET_STRING:
                values.setdefault(der.dotted(data, fields[0]), der.content(data, fields[-1]))
    except der.DerError:
        pass
    return values
