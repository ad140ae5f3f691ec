"""DER without armour: certificates, keys, requests and revocation lists, one after another.

Pure, on hostile bytes. What an element is follows from its structure alone, with checks that a
chance match does not pass; the file's name is only used to tell damage from other people's data.
Of a structure that is not known the certificates inside it are taken.
"""

from __future__ import annotations

import re

from keycensus_agent.parser import der, findings
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Found,
    Hint,
    Request,
    conclude,
)
from keycensus_agent.parser.other_der import holds_nothing
from keycensus_agent.parser.private_key import MalformedKeyError, read_private_key
from keycensus_agent.parser.public_key import rsa_spki
from keycensus_agent.parser.rescue import rescued_certificates
from keycensus_agent.parser.sealed_key import read_sealed_key
from keycensus_agent.parser.sealing import IterationBudget
from keycensus_agent.parser.store_magic import starts_as_description

NAME = "der"
DESCRIPTION = "DER certificates, keys, requests and CRLs, also several in one file"
SUFFIXES = ("der", "cer", "crt", "cert", "key", "p8", "pk8", "csr", "p10", "req", "crl", "pub")

_VERSION = 0xA0
# Of certificates, keys and requests; then of an answer of OCSP (RFC 6960, 4.2.1), and of a pair of
# cross-certificates (RFC 4523, 2.3): `issuedToThisCA [0]`, `issuedByThisCA [1]`, of which one may lack.
_FIRST_TAGS = frozenset((der.SEQUENCE, der.INTEGER, der.ENUMERATED, 0xA0, 0xA1))
_PADDING = b"\0\r\n\t "
# How much of a file is looked at to tell text from DER, whose lengths, numbers and hashes are not ASCII.
_TEXT_BYTES = 64
# Behind OpenSSL's description in words, where the DER stands on a line of its own.
_BEHIND_TEXT = re.compile(rb"\n(?=0[\x81\x82])")
# A pair of integers is taken for an RSA public key only in these ranges: ECDSA signatures and
# Diffie-Hellman parameters have the same structure.
_MODULUS_BITS = range(512, 65_537)
_SMALL_EXPONENTS = {3, 17, 257}
_EXPONENTS = range(65_537, 1 << 33)


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by a whole SEQUENCE at the start that begins as certificates and keys do.

    Or behind a description in words. One that breaks off may be the rest of a certificate, if the file's name
    says so.
    """
    start = _start(data)
    try:
        outer = der.read(data, start, len(data))
        first = der.read(data, outer.body, outer.body_end)
    except der.DerError:
        # A digit of a text is the same octet.
        begins = data[:1] == b"\x30" and not data[:_TEXT_BYTES].isascii()
        broken = begins and hint.suffix.decode("latin-1") in SUFFIXES
        return Confidence.MAYBE if broken else Confidence.NO
    sure = outer.tag == der.SEQUENCE and first.tag in _FIRST_TAGS
    return Confidence.SURE if sure else Confidence.NO


def _start(data: bytes) -> int:
    """Return where the DER starts: behind a description in words if that comes first, as `openssl x509 -text` writes it."""
    text = _BEHIND_TEXT.search(data) if starts_as_description(data) else None
    return text.end() if text else 0


def parse(data: bytes, request: Request) -> FormatResult:
    """Return what each element of the file is; trailing blanks and zeros are no damage."""
    found: list[Found] = []
    problems: list[str] = []
    budget = IterationBudget()
    position = _start(data)
    while position < len(data):
        if data[position] in _PADDING and not data[position:].strip(_PADDING):
            break
        try:
            element = der.read(data, position, len(data))
            entry = _entry(der.encoding(data, element), request, budget)
        except der.DerError:
            inside = list(rescued_certificates(data, position))
            if not _is_known(data, position, inside):
                problems.append("trailing-data" if found else "unknown-structure")
            found.extend(inside)
            break
        except MalformedKeyError as error:
            problems.append(str(error))
        else:
            found.append(entry)
        position = element.end
    if not found and request.hint.suffix.decode("latin-1") not in SUFFIXES:
        # Other data that happens to be ASN.1: nothing to report.
        return FormatResult(NAME)
    return conclude(NAME, found, problems)


def _is_known(data: bytes, position: int, inside: list[Found]) -> bool:
    """Tell whether what is left is one whole structure of others, with certificates in it or a known one."""
    try:
        outer = der.read(data, position, len(data))
        der.read(data, outer.body, outer.body_end)
        if data[outer.end :].strip(_PADDING):
            return False
        return bool(inside) or holds_nothing(data, outer)
    except der.DerError:
        return False


def _entry(data: bytes, request: Request, budget: IterationBudget) -> Found:
    fields = der.children(data, der.read_whole(data))
    tags = tuple(field.tag for field in fields)
    if tags == (der.SEQUENCE, der.SEQUENCE, der.BIT_STRING):
        return _signed(data, fields[0])
    if tags == (der.SEQUENCE, der.BIT_STRING):
        der.dotted(data, der.expect(data, fields[0], der.OBJECT_IDENTIFIER)[0])
        return findings.public_key(data)
    if tags == (der.SEQUENCE, der.OCTET_STRING):
        return _sealed_key(data, fields[0], request, budget)
    if tags == (der.INTEGER, der.INTEGER):
        return _rsa_public_key(data, fields)
    return _private_key(data, tags)


def _signed(data: bytes, body: der.Element) -> Found:
    """Tell certificate, request and revocation list apart by the fields of what is signed."""
    head: list[int] = []
    position = body.body
    while position < body.body_end and len(head) < 5:
        field = der.read(data, position, body.body_end)
        head.append(field.tag)
        position = field.end
    if head[:1] == [_VERSION]:
        return findings.certificate(data)
    optional_version = head[1:] if head[:1] == [der.INTEGER] else head
    if optional_version[2:3] in ([der.UTC_TIME], [der.GENERALIZED_TIME]):
        return findings.revocation_list(data)
    if head[:3] == [der.INTEGER, der.SEQUENCE, der.SEQUENCE]:
        if head[3:4] != [der.SEQUENCE]:
            return findings.request(data)
        if head[4:] == [der.SEQUENCE]:  # an attribute certificate has its serial number there
            return findings.certificate(data)
    raise der.DerError("unexpected structure")


def _sealed_key(
    data: bytes, algorithm: der.Element, request: Request, budget: IterationBudget
) -> Found:
    # The same structure is a DigestInfo: what encrypts always has parameters that are a SEQUENCE.
    der.expect(data, algorithm, der.OBJECT_IDENTIFIER, der.SEQUENCE)
    return read_sealed_key(data, request.passwords, budget)


def _rsa_public_key(data: bytes, fields: list[der.Element]) -> Found:
    modulus, exponent = (der.integer(data, field) for field in fields)
    plausible = exponent in _SMALL_EXPONENTS or exponent in _EXPONENTS
    if not plausible or modulus < 0 or modulus.bit_length() not in _MODULUS_BITS:
        raise der.DerError("no RSA key")
    return findings.public_key(rsa_spki(data))


def _private_key(data: bytes, tags: tuple[int, ...]) -> Found:
    if tags[:3] == (der.INTEGER, der.SEQUENCE, der.OCTET_STRING):
        return read_private_key(data)
    try:
        return read_private_key(data)
    except MalformedKeyError:
        # Integers alone are too common to call a mismatch damage.
        raise der.DerError("no private key") from None
