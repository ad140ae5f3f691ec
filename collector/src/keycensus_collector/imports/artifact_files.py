"""Files of certificates and revocation lists, as people have them: PEM, DER, PKCS#7.

PEM is unwrapped here; what is inside is told apart by the limited child. A private key is refused: no
collector takes one.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from keycensus_collector.catalogue.child import LIST_BYTES
from keycensus_collector.catalogue.parse import CAPS, CERTIFICATE
from keycensus_collector.catalogue.parser import CatalogueParser
from keycensus_collector.catalogue.split import CERTIFICATE_KIND
from keycensus_collector.errors import UsageError

# Bytes of the largest file: the largest list in PEM, which is a third longer, with room.
FILE_BYTES = 96 * 1024 * 1024
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END \1-----")
_LABELS = {
    *(b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE"),
    *(b"X509 CRL", b"CRL", b"PKCS7", b"CMS"),
}
_PRIVATE = b"PRIVATE KEY-----"
# With the settings of OpenSSL's trust behind the certificate.
_TRUSTED = b"TRUSTED CERTIFICATE"


@dataclass(frozen=True, slots=True)
class Found:
    """What a file holds, in DER, each once."""

    certificates: tuple[bytes, ...]
    lists: tuple[bytes, ...]


def read_artifacts(data: bytes, parser: CatalogueParser) -> Found:
    """Return what stands in a file; UsageError if anything of it can't be taken."""
    if _PRIVATE in data and b"-----BEGIN " in data:
        raise UsageError(
            "the file holds a private key, which nobody is to send: leave it out; nothing was taken"
        )
    pieces = _unwrapped(data) if b"-----BEGIN " in data else [("the file", data)]
    found: list[tuple[str, bytes]] = []
    for where, der in pieces:
        try:
            found += parser.split(der)
        except ValueError as error:
            raise UsageError(f"{where}: {error}; nothing was taken") from None
    certificates = dict.fromkeys(each for kind, each in found if kind == CERTIFICATE_KIND)
    lists = dict.fromkeys(each for kind, each in found if kind != CERTIFICATE_KIND)
    for each in certificates:
        if len(each) > CAPS[CERTIFICATE]:
            raise UsageError(
                f"a certificate of {len(each):,} bytes: {CAPS[CERTIFICATE]:,} are read; nothing was taken"
            )
    for each in lists:
        if len(each) > LIST_BYTES:
            raise UsageError(
                f"a revocation list of {len(each):,} bytes: {LIST_BYTES:,} are read; nothing was taken"
            )
    if not found:
        raise UsageError(
            "the file holds neither a certificate nor a revocation list: nothing was taken"
        )
    return Found(tuple(certificates), tuple(lists))


def _unwrapped(data: bytes) -> list[tuple[str, bytes]]:
    pieces: list[tuple[str, bytes]] = []
    for number, block in enumerate(_BLOCK.finditer(data), 1):
        label, text = block[1], block[2]
        line = data.count(b"\n", 0, block.start()) + 1
        where = f"block {number} ({label.decode()}), line {line}"
        if label not in _LABELS:
            raise UsageError(
                f"{where}: neither a certificate nor a revocation list; nothing was taken"
            )
        try:
            der = base64.b64decode(b"".join(text.split()), validate=True)
        except binascii.Error:
            raise UsageError(f"{where}: not base64; nothing was taken") from None
        if label == _TRUSTED:
            der = der[: _first_length(der)]
        pieces.append((where, der))
    if not pieces:
        raise UsageError("PEM without a whole block: is the file cut short? nothing was taken")
    return pieces


def _first_length(der: bytes) -> int:
    """Return the length of the first element, as its header says."""
    octets = der[1] & 0x7F if len(der) > 1 and der[1] & 0x80 else 0
    length = int.from_bytes(der[2 : 2 + octets], "big") if octets else (der[1:2] or b"\0")[0]
    return 2 + octets + length
