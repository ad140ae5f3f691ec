"""From the attributes of NSS's PKCS#11 objects to what they are: certificates, CRLs, private keys.

Parser side: pure, on hostile bytes. Only what NSS stores in the clear is looked at, which is the public
half of every RSA, DSA and EC key. Sources: PKCS#11 2.40, lib/softoken/sdb.c and sftkdb.c of NSS.
"""

from __future__ import annotations

from keycensus_agent.parser import der
from keycensus_agent.parser.database import Row
from keycensus_agent.parser.findings import (
    Found,
    certificate,
    opaque_key,
    private_key,
    revocation_list,
)
from keycensus_agent.parser.public_key import (
    algorithm_name,
    dsa_spki,
    ec_spki,
    raw_spki,
    rsa_spki_from_numbers,
)

# Columns are named by the number of the attribute they hold.
CLASS, LABEL, VALUE, KEY_TYPE = "a0", "a3", "a11", "a100"
_MODULUS, _EXPONENT = "a120", "a122"
_PRIME, _SUBPRIME, _BASE = "a130", "a131", "a132"
_EC_PARAMETERS, _PUBLIC_VALUE = "a180", "ad5a0db00"
COLUMNS = (
    *(CLASS, LABEL, VALUE, KEY_TYPE, _MODULUS, _EXPONENT, _PRIME, _SUBPRIME, _BASE),
    *(_EC_PARAMETERS, _PUBLIC_VALUE),
)

_CERTIFICATE, _PRIVATE_KEY, _REVOCATION_LIST = 1, 3, 0xCE534351
_RSA, _DSA, _DIFFIE_HELLMAN, _EC = range(4)
_EDWARDS, _MONTGOMERY = 0x40, 0x41
_EC_TYPES = {_EC, _EDWARDS, _MONTGOMERY}
_NAMES = {_RSA: "rsa", _DSA: "dsa", _DIFFIE_HELLMAN: "dh", _EC: "ec"}
# An attribute that is there and empty.
_EMPTY = b"\xa5\0\x5a"
# Curves that have key types of their own elsewhere (RFC 8410, 3).
_OWN_ALGORITHM = "1.3.101."


def public_object(row: Row) -> Found | None:
    """Return the certificate or CRL of a row of nssPublic; None for keys, trust and others."""
    value = _attribute(row, VALUE)
    kind = _number(row, CLASS)
    if not value or kind not in {_CERTIFICATE, _REVOCATION_LIST}:
        return None
    make = certificate if kind == _CERTIFICATE else revocation_list
    return make(value, _attribute(row, LABEL))


def private_object(row: Row, *, encrypted: bool) -> Found | None:
    """Return the private key of a row of nssPrivate; None for secret keys and others."""
    if _number(row, CLASS) != _PRIVATE_KEY:
        return None
    label, kind = _attribute(row, LABEL), _number(row, KEY_TYPE)
    try:
        spki = _public_half(row, kind)
    except der.DerError:
        spki = b""
    if not spki:
        name = _NAMES.get(kind, "")
        return opaque_key(name, label, "no-public-half" if name else "unknown-algorithm")
    return private_key(spki, label, encrypted=encrypted)


def _public_half(row: Row, kind: int) -> bytes:
    """Return the SPKI, empty if something is missing for it."""
    public = _attribute(row, _PUBLIC_VALUE)
    if kind == _RSA:
        modulus = _unsigned(row, _MODULUS)
        exponent = _unsigned(row, _EXPONENT)
        return rsa_spki_from_numbers(modulus, exponent) if modulus and exponent else b""
    if kind == _DSA:
        p, q, g = (_unsigned(row, column) for column in (_PRIME, _SUBPRIME, _BASE))
        y = int.from_bytes(public, "big")
        return dsa_spki(p, q, g, y) if all((p, q, g, y)) else b""
    if kind in _EC_TYPES and public:
        return _curve_key(_attribute(row, _EC_PARAMETERS), public)
    return b""


def _curve_key(parameters: bytes, public: bytes) -> bytes:
    named = der.read_whole(parameters, parameters[0] if parameters else 0)
    if public[0] == der.OCTET_STRING and len(public) == public[1] + 2:
        # As PKCS#11 has a point; NSS itself stores it bare.
        public = public[2:]
    if named.tag == der.OBJECT_IDENTIFIER:
        oid = der.dotted(parameters, named)
        if oid.startswith(_OWN_ALGORITHM) and algorithm_name(oid) != oid:
            return raw_spki(oid, public)
    return ec_spki(parameters, public)


def _attribute(row: Row, column: str) -> bytes:
    value = row.get(column, b"")
    return b"" if value == _EMPTY else value


def _number(row: Row, column: str) -> int:
    """Return an unsigned long, which NSS stores in four bytes; -1 if it is none."""
    value = row.get(column, b"")
    return int.from_bytes(value, "big") if len(value) == 4 else -1


def _unsigned(row: Row, column: str) -> int:
    return int.from_bytes(_attribute(row, column), "big")
