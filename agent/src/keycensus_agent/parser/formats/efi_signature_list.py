"""UEFI's signature lists: the certificates that firmware trusts, or distrusts, to start programs.

Pure, on hostile bytes. Lists stand one behind another, each of one type and with entries of one size, as
files (.esl), as signed updates of a variable (.auth), and behind a variable's attributes. Hashes, which most
of a list of what is forbidden are, are passed over. Source: UEFI Specification 2.10, 8.2.2 and 32.4.1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from keycensus_agent.parser import der, findings
from keycensus_agent.parser.cursor import Cursor, CutError
from keycensus_agent.parser.findings import Confidence, FormatResult, Found, Hint, Request, conclude
from keycensus_agent.parser.formats import pkcs7
from keycensus_agent.parser.public_key import rsa_spki_from_numbers
from keycensus_agent.parser.rescue import rescued_certificates
from keycensus_agent.parser.store_magic import (
    EFI_RSA_2048,
    EFI_X509,
    efi_value_at,
    starts_as_authenticated,
)

NAME = "efi-signature-list"
DESCRIPTION = "UEFI signature lists and signed updates of them: every certificate with its owner"
SUFFIXES = ("esl", "auth")

_TIME_BYTES = 16
# Length, revision, type and GUID, which the length counts.
_SIGNATURE_HEADER_BYTES = 24
_LIST_HEADER_BYTES = 28
_OWNER_BYTES = 16
_NOBODY = bytes(_OWNER_BYTES)
# What firmware or a tool fills up with.
_PADDING = b"\0\xff"
# Lists, and entries of those that are read, in one file. Firmware has some hundred KiB for all of them.
_LIMIT = 10_000
# The exponent is not stored.
_EXPONENT = 65_537
_MODULUS_BITS = 2048
_MALFORMED_LIST = "malformed-signature-list"
_Read = Callable[[bytes, bytes], Found]
_SIGNED_DATA = "1.2.840.113549.1.7.2"


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by the GUID of a list's type, or of PKCS#7 in an authenticated variable."""
    del hint
    return Confidence.NO if efi_value_at(data) is None else Confidence.SURE


def parse(data: bytes, request: Request) -> FormatResult:
    """Return who signed an update, then certificates and keys in the order of the lists.

    A certificate's member is its owner's GUID.
    """
    found: list[Found] = []
    problems: list[str] = []
    lists = Cursor(data, efi_value_at(data) or 0, "little")
    try:
        if starts_as_authenticated(data, lists.position):
            _read_signers(lists, request, found, problems)
        _read_lists(lists, found, problems)
    except CutError as error:
        problems.append(str(error))
        found.extend(rescued_certificates(data, lists.sound))
    return conclude(NAME, found, problems)


def _read_signers(
    update: Cursor, request: Request, found: list[Found], problems: list[str]
) -> None:
    update.take(_TIME_BYTES)
    size = update.number(4)
    update.take(_SIGNATURE_HEADER_BYTES - 4)
    signed = update.take(size - _SIGNATURE_HEADER_BYTES)
    if pkcs7.recognise(signed, Hint()) is Confidence.NO:
        # The standard wants SignedData alone.
        name = der.encode_oid(_SIGNED_DATA)
        signed = der.encode(der.SEQUENCE, name, der.encode(0xA0, signed))
    result = pkcs7.parse(signed, request)
    found.extend(result.found)
    if result.reason:
        problems.append(result.reason)
    update.vouch()


def _read_lists(lists: Cursor, found: list[Found], problems: list[str]) -> None:
    end = len(lists.data.rstrip(_PADDING))
    left = _LIMIT
    while lists.position < end:
        read = _READ.get(lists.take(16))
        body, each = _entries(lists)
        left -= 1 + (len(body) // each if read else 0)
        if left < 0:
            problems.append("limit-values")
            return
        if read:
            _read_entries(read, body, each, found, problems)
        lists.vouch()


def _read_entries(
    read: _Read, body: bytes, each: int, found: list[Found], problems: list[str]
) -> None:
    for at in range(0, len(body), each):
        owner, value = body[at : at + _OWNER_BYTES], body[at + _OWNER_BYTES : at + each]
        try:
            found.append(read(value, _guid(owner)))
        except CutError as error:
            problems.append(str(error))


def _entries(lists: Cursor) -> tuple[bytes, int]:
    """Return the entries of the list whose type was read, and the length of each."""
    size, header, each = (lists.number(4) for _ in range(3))
    body = lists.take(max(size - _LIST_HEADER_BYTES, 0))[header:]
    if size < _LIST_HEADER_BYTES + header or (body and each <= _OWNER_BYTES):
        raise CutError(_MALFORMED_LIST)
    if body and len(body) % each:
        raise CutError(_MALFORMED_LIST)
    return body, max(each, 1)


def _guid(octets: bytes) -> bytes:
    """Return a GUID as text; nothing if it is zero, which is nobody's."""
    if octets == _NOBODY:
        return b""
    first, second, third = struct.unpack_from("<IHH", octets)
    return f"{first:08x}-{second:04x}-{third:04x}-{octets[8:10].hex()}-{octets[10:].hex()}".encode()


def _certificate(value: bytes, owner: bytes) -> Found:
    try:
        whole = der.encoding(value, der.read(value, 0, len(value)))
    except der.DerError:
        whole = b""
    if not whole.startswith(b"0"):
        raise CutError("malformed-certificate")
    return findings.certificate(whole, owner)


def _rsa_key(value: bytes, owner: bytes) -> Found:
    """Return the entry of a modulus, which stands alone; there is one size of them."""
    modulus = int.from_bytes(value, "big")
    if modulus.bit_length() != _MODULUS_BITS:
        raise CutError("malformed-public-key")
    return findings.public_key(rsa_spki_from_numbers(modulus, _EXPONENT), owner)


_READ: dict[bytes, _Read] = {EFI_X509: _certificate, EFI_RSA_2048: _rsa_key}
