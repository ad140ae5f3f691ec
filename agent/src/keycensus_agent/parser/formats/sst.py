"""Microsoft's serialized certificate store (.sst): every certificate and CRL in it.

Pure, on hostile bytes. Elements (kind, encoding, length, value) follow a header up to one of kind zero;
properties stand before the certificate that they belong to. Source: MS-OSHARED 2.3.2.5, which Office's
signatures use, and CertSaveStore.
"""

from __future__ import annotations

from keycensus_agent.parser.cursor import Cursor, CutError
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

NAME = "sst"
DESCRIPTION = "Microsoft serialized certificate store: every certificate and CRL"
SUFFIXES = ("sst",)

_MAGIC = b"\0\0\0\0CERT"
_FRIENDLY_NAME, _CERTIFICATE, _REVOCATION_LIST, _TRUST_LIST = 11, 32, 33, 34
# Properties are numbered with 16 bits.
_GREATEST = 0xFFFF


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by version and magic number, and a first element that can be one."""
    del hint
    plausible = int.from_bytes(data[8:12], "little") <= _GREATEST
    return Confidence.SURE if data.startswith(_MAGIC) and plausible else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return certificates and CRLs, each with its friendly name as member."""
    del request
    found: list[Found] = []
    problems: list[str] = []
    store = Cursor(data, len(_MAGIC), "little")
    try:
        _read(store, found)
    except CutError as error:
        problems.append(str(error))
        found.extend(rescued_certificates(data, store.sound))
    return conclude(NAME, found, problems)


def _read(store: Cursor, found: list[Found]) -> None:
    name = b""
    while kind := store.number(4):
        if kind > _GREATEST:
            raise CutError("truncated")
        store.number(4)
        value = store.counted(4)
        if kind == _FRIENDLY_NAME:
            name = value.decode("utf-16-le", "replace").rstrip("\0").encode("utf-8", "replace")
        elif kind in {_CERTIFICATE, _REVOCATION_LIST}:
            make = certificate if kind == _CERTIFICATE else revocation_list
            found.append(make(value, name))
            store.vouch()
        if kind in {_CERTIFICATE, _REVOCATION_LIST, _TRUST_LIST}:
            name = b""
