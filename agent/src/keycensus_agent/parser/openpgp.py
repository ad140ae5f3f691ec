"""Read transferable secret keys of OpenPGP: what keys they hold, by their public halves.

Parser side: pure, on hostile bytes. The public numbers of a key are in the clear whether its private ones are
under a passphrase or not; those are only counted, where their sum tells that they are whole. Sources: RFC 9580
4.2, 5.5 and 9, doc/DETAILS of GnuPG for keys without a private half.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from keycensus_agent.parser import der
from keycensus_agent.parser.cursor import Cursor, CutError
from keycensus_agent.parser.findings import (
    MEMBER_LIMIT,
    Found,
    external_key,
    opaque_key,
    private_key,
)
from keycensus_agent.parser.public_key import (
    dsa_spki,
    ec_spki,
    key_facts,
    raw_spki,
    rsa_spki_from_numbers,
)
from keycensus_agent.parser.store_magic import OPENPGP_ALGORITHMS, openpgp_body

_SECRET_KEY, _SECRET_SUBKEY, _USER_ID = 5, 7, 13
_RSA, _ELGAMAL, _DSA = {1, 2, 3}, {16, 20}, 17
_ECDH, _ON_CURVE = 18, {18, 19, 22}
# Algorithm: OID and length of the key in bytes.
_RAW = {
    25: ("1.3.101.110", 32),
    26: ("1.3.101.111", 56),
    27: ("1.3.101.112", 32),
    28: ("1.3.101.113", 57),
}
# The same as points on "curves" that have numbers of their own in OpenPGP.
_RAW_CURVES = {
    "1.3.6.1.4.1.3029.1.5.1": _RAW[25],
    "1.3.101.111": _RAW[26],
    "1.3.6.1.4.1.11591.15.1": _RAW[27],
    "1.3.101.113": _RAW[28],
}
_PREFIXED_POINT, _UNCOMPRESSED_POINT = 0x40, 0x04
_COUNTED_VERSIONS = {5, 6}
_VERSION_3, _VERSION_4, _VERSION_6 = 3, 4, 6
# How private numbers are protected (RFC 9580, 3.7.2.1): not; by a cipher and a mode; by a cipher.
_PLAIN, _AEAD, _SHA1, _SUM = 0, 253, 254, 255
_GNU, _NO_SECRET, _ON_CARD = 101, 1, 2


class _Packet(NamedTuple):
    tag: int
    body: bytes


def read_secret_keys(data: bytes) -> tuple[list[Found], str]:
    """Return the keys, each with the first user ID of its owner as member, and what went wrong first.

    A packet that is damaged costs itself.
    """
    found: list[Found] = []
    problems: list[str] = []
    owner, name = 0, b""
    for packet in _packets(data, problems):
        if packet.tag == _SECRET_KEY:
            owner, name = len(found), b""
        if packet.tag in {_SECRET_KEY, _SECRET_SUBKEY}:
            try:
                found += _named(_key(packet.body), name)
            except (CutError, der.DerError):
                problems.append("malformed-private-key")
        elif packet.tag == _USER_ID and not name:
            name = packet.body[:MEMBER_LIMIT]
            found[owner:] = _named(found[owner:], name)
    return found, problems[0] if problems else ""


def _named(found: list[Found], name: bytes) -> list[Found]:
    return [replace(item, entry=replace(item.entry, member=name)) for item in found]


def _packets(data: bytes, problems: list[str]) -> Iterator[_Packet]:
    """Yield packets that are whole (RFC 9580, 4.2), up to one that is not."""
    position = 0
    while position < len(data):
        tag, start, size = openpgp_body(data, position)
        position = start + size
        if tag < 0 or position > len(data):
            problems.append("truncated")
            return
        yield _Packet(tag, data[start:position])


def _key(body: bytes) -> list[Found]:
    """Return the key of one packet; nothing if its private half is not there."""
    cursor = Cursor(body)
    version = cursor.number(1)
    cursor.take(6 if version == _VERSION_3 else 4)
    algorithm = cursor.number(1)
    if not _VERSION_3 <= version <= _VERSION_6:
        raise CutError("malformed-private-key")
    if version in _COUNTED_VERSIONS:
        public = Cursor(cursor.counted(4))
        spki = _public_half(algorithm, public)
    elif algorithm not in OPENPGP_ALGORITHMS:
        return [opaque_key(f"openpgp-{algorithm}")]
    else:
        spki = _public_half(algorithm, cursor)
    return _with_secret(version, algorithm, spki, cursor)


def _with_secret(version: int, algorithm: int, spki: bytes, cursor: Cursor) -> list[Found]:
    usage = cursor.number(1)
    if usage == _PLAIN and version in {_VERSION_3, _VERSION_4}:
        _check_sum(cursor)
    if usage in {_AEAD, _SHA1, _SUM}:
        where = _gnu_extension(version, usage, cursor)
        if where == _NO_SECRET:
            return []
        if where == _ON_CARD:
            return [external_key(key_facts(spki), "", "smart-card")]
    if spki:
        return [private_key(spki, encrypted=usage != _PLAIN)]
    if algorithm in OPENPGP_ALGORITHMS:
        name = "elgamal" if algorithm in _ELGAMAL else "ec"
        return [opaque_key(name, reason="no-public-half")]
    return [opaque_key(f"openpgp-{algorithm}")]


def _check_sum(cursor: Cursor) -> None:
    """Private numbers in the clear end with their sum (RFC 9580, 5.5.3)."""
    secret = cursor.take(max(cursor.left - 2, 0))
    if not secret or sum(secret) & 0xFFFF != cursor.number(2):
        raise CutError("malformed-private-key")


def _gnu_extension(version: int, usage: int, cursor: Cursor) -> int:
    """Return which of GnuPG's modes stands in place of a derivation; 0 if none does."""
    if version in _COUNTED_VERSIONS:
        cursor.take(1)
    cursor.take(2 if usage == _AEAD else 1)
    if version == _VERSION_6:
        cursor.take(1)
    kind = cursor.number(1)
    if kind != _GNU:
        return 0
    cursor.take(1)
    return cursor.number(1) if cursor.take(3) == b"GNU" else 0


# --- public halves (RFC 9580, 5.5.5) ------------------------------------------------------------------


def _public_half(algorithm: int, cursor: Cursor) -> bytes:
    """Return the SPKI, empty if the algorithm or the curve is not known."""
    if algorithm in _RSA:
        return rsa_spki_from_numbers(*_numbers(cursor, 2))
    if algorithm == _DSA:
        return dsa_spki(*_numbers(cursor, 4))
    if algorithm in _ELGAMAL:
        _numbers(cursor, 3)
    elif algorithm in _ON_CURVE:
        return _curve_key(algorithm, cursor)
    elif algorithm in _RAW:
        oid, size = _RAW[algorithm]
        return raw_spki(oid, cursor.take(size))
    return b""


def _numbers(cursor: Cursor, count: int) -> list[int]:
    return [int.from_bytes(_number(cursor), "big") for _ in range(count)]


def _number(cursor: Cursor) -> bytes:
    """Return a multiprecision integer, whose length is that of its bits; none is zero here."""
    bits = cursor.number(2)
    value = cursor.take((bits + 7) // 8)
    if not bits or int.from_bytes(value, "big").bit_length() != bits:
        raise CutError("malformed-private-key")
    return value


def _curve_key(algorithm: int, cursor: Cursor) -> bytes:
    oid_bytes = der.encode(der.OBJECT_IDENTIFIER, cursor.counted(1))
    oid = der.dotted(oid_bytes, der.read_whole(oid_bytes, der.OBJECT_IDENTIFIER))
    bits = cursor.number(2)
    point = cursor.take((bits + 7) // 8)
    if algorithm == _ECDH:
        cursor.counted(1)
    if oid in _RAW_CURVES:
        number, size = _RAW_CURVES[oid]
        # Without a prefix, zeros in front are lost.
        prefixed = len(point) == size + 1 and point[0] == _PREFIXED_POINT
        key = point[1:] if prefixed else point.rjust(size, b"\0")
        return raw_spki(number, key) if len(key) == size else b""
    return ec_spki(oid_bytes, point) if point[:1] == bytes([_UNCOMPRESSED_POINT]) else b""
