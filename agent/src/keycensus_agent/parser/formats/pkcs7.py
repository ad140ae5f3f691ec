"""PKCS#7 and CMS: every certificate and revocation list of signed data, in DER or BER.

Pure, on hostile bytes. Own reader: libraries refuse indefinite lengths, odd versions, or a single
odd certificate among good ones. Sources: RFC 2315, RFC 5652, GM/T 0010 (the same with numbers of China's).
"""

from __future__ import annotations

from keycensus_agent.parser import der
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
    certificate,
    conclude,
    revocation_list,
)
from keycensus_agent.parser.rescue import rescued_certificates

NAME = "pkcs7"
DESCRIPTION = "PKCS#7 and CMS signed data, DER or BER: every certificate and CRL"
SUFFIXES = ("p7b", "p7c", "p7s", "p7m", "spc")

_SIGNED_DATA = {"1.2.840.113549.1.7.2", "1.2.156.10197.6.1.4.2.2"}
_EXPLICIT = 0xA0
_CERTIFICATES, _REVOCATION_LISTS = 0xA0, 0xA1
# Data, signed, enveloped, digested, encrypted, time-stamped data, and others; those of GM/T 0010.
_PKCS7_ARCS = ("1.2.840.113549.1.", "1.2.156.10197.6.1.4.2.")


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the start of a ContentInfo whose type is one of PKCS#7 or CMS."""
    del hint
    try:
        name = der.read(data, _body(data), len(data))
        sure = der.dotted(data, name).startswith(_PKCS7_ARCS)
    except der.DerError:
        return Confidence.NO
    return Confidence.SURE if sure else Confidence.NO


def _body(data: bytes) -> int:
    """Return where the content of the outer SEQUENCE starts, without looking for its end."""
    if data[:1] != b"\x30" or len(data) < 2:
        raise der.DerError("no sequence")
    return 2 + (data[1] & 0x7F if data[1] > 0x80 else 0)


def parse(data: bytes, request: Request) -> FormatResult:
    """Return the certificates, then the revocation lists, in the order of the file.

    Behind them stand the certificates of what is inside: of a time stamp on a signature (RFC 3161), of
    who sealed a message to others, of signed content.
    """
    del request
    found: list[Found] = []
    problems: list[str] = []
    try:
        _signed_data(data, found)
    except der.DerError:
        problems.append("malformed-pkcs7")
    known = {item.entry.artifact for item in found}
    for item in rescued_certificates(data):
        if item.entry.artifact not in known:
            known.add(item.entry.artifact)
            found.append(item)
    return conclude(NAME, found, problems)


def _signed_data(data: bytes, found: list[Found]) -> None:
    info = der.children(data, der.read(data, 0, len(data)))
    if not info or der.dotted(data, info[0]) not in _SIGNED_DATA:
        return
    if len(info) < 2 or info[1].tag != _EXPLICIT:
        raise der.DerError("no content")
    signed = der.read(data, info[1].body, info[1].body_end)
    fields = der.expect(data, signed, der.INTEGER, der.SET, der.SEQUENCE)
    for field in fields[3:]:
        if field.tag not in {_CERTIFICATES, _REVOCATION_LISTS}:
            continue
        make = certificate if field.tag == _CERTIFICATES else revocation_list
        # Other tags are attribute certificates and formats of others (RFC 5652, 10.2.1, 10.2.2).
        items = (item for item in der.children(data, field) if item.tag == der.SEQUENCE)
        found.extend(make(der.encoding(data, item)) for item in items)
