"""NSS databases before 2009 (cert8.db, key3.db): certificates with nicknames, and sealed keys.

Pure, on hostile bytes, through `hash_database`. A key's public half can't be told: of an RSA key the
modulus is there without the exponent, of an EC key the point without the curve. Sources:
lib/softoken/legacydb/pcertdb.c, keydb.c and pcertt.h of NSS.
"""

from __future__ import annotations

from keycensus_agent.parser import der
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
    sealed_key,
)
from keycensus_agent.parser.hash_database import is_hash_database, pairs

NAME = "nss-legacy"
DESCRIPTION = "NSS databases of Berkeley DB: certificates, and private keys as sealed ones"
SUFFIXES = ("db",)

_CERTIFICATE_DATABASE, _KEY_DATABASE = b"\0Version\0", b"global-salt"
_VERSION, _CERTIFICATE, _REVOCATION_LISTS = 8, 1, (4, 5)
# Trust flags and lengths before the certificate; before a CRL the lengths alone.
_TRUST_BYTES = 6
_KEY_VERSION = 3
# Records of a key database that are no keys.
_OTHERS = {b"Version", b"global-salt", b"password-check", b"fake-password-check"}


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by a hash database with one of the records that all of NSS's have."""
    del hint
    if not is_hash_database(data):
        return Confidence.NO
    ours = _CERTIFICATE_DATABASE in data or _KEY_DATABASE in data
    return Confidence.SURE if ours else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return certificates, CRLs and sealed keys, each with its nickname, in the order of the pages."""
    del request
    read = _key if _KEY_DATABASE in data else _public
    found: list[Found] = []
    problems: list[str] = []
    for name, value in pairs(data):
        try:
            entry = read(name, value)
        except (CutError, der.DerError):
            problems.append("malformed-nss")
        else:
            found += [entry] if entry else []
    return conclude(NAME, found, problems)


def _public(name: bytes, value: bytes) -> Found | None:
    """Read one record of a certificate database: version, kind, flags, then what the kind says."""
    record = Cursor(value)
    if not name or name[0] not in {_CERTIFICATE, *_REVOCATION_LISTS}:
        return None
    version, kind = record.number(1), record.number(1)
    record.take(1)
    if version > _VERSION or kind != name[0]:
        raise CutError("malformed-nss")
    if kind == _CERTIFICATE:
        record.take(_TRUST_BYTES)
    size, name_size = record.number(2), record.number(2)
    whole = record.take(size)
    member = record.take(name_size).rstrip(b"\0")
    return certificate(whole, member) if kind == _CERTIFICATE else revocation_list(whole)


def _key(name: bytes, value: bytes) -> Found | None:
    """Read one record of a key database: version, lengths, salt, nickname, the encrypted key."""
    if name in _OTHERS:
        return None
    record = Cursor(value)
    if record.number(1) != _KEY_VERSION:
        raise CutError("malformed-nss")
    salt_size, name_size = record.number(1), record.number(1)
    record.take(salt_size)
    member = record.take(name_size).rstrip(b"\0")
    sealed = record.take(record.left)
    fields = der.expect(sealed, der.read(sealed, 0, len(sealed)), der.SEQUENCE, der.OCTET_STRING)
    return sealed_key(der.content(sealed, fields[1]), member)
