"""JSON Web Keys, alone, in sets, and inside other JSON or text: private and public ones.

Pure, on hostile bytes. A key counts as private only if its numbers agree with its public half; symmetric keys
("oct") are none of ours. Sources: RFC 7517, RFC 7518 6, RFC 8037, RFC 8812, the draft of ML-DSA for JOSE.
"""

from __future__ import annotations

import binascii
import json
import re
from collections.abc import Iterator

from keycensus_agent.parser.findings import Found, Passage, Request, private_key, public_key
from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.public_key import ML_DSA_OIDS, raw_spki, rsa_spki_from_numbers
from keycensus_agent.parser.raw_keys import (
    RsaNumbers,
    ec_public_half,
    ec_public_key,
    raw_public_half,
    raw_public_key,
    rsa_public_half,
)

NAME = "jwk"
DESCRIPTION = "JSON Web Keys and sets of them, anywhere in a text: private and public"
SUFFIXES = ("json", "jwk", "jwks")

_KIND = re.compile(rb"\"kty\\?\"\s*:")
# A key with a chain of certificates has some 20 KiB; an object before it in the same key some bytes.
_WINDOW, _BACK, _OPENINGS = 128 * 1024, 16 * 1024, 4
# More keys than any set has.
_KEYS_LIMIT = 4096
# Mentions of the word without a key around it; in a nested string each costs its window twice.
_MENTIONS_LIMIT = 1024
# Private RSA keys without primes are checked by an exponentiation each.
_COSTLY_LIMIT = 16
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{1,8192}={0,2}")
_CURVES = {
    "P-256": "secp256r1",
    "P-384": "secp384r1",
    "P-521": "secp521r1",
    "secp256k1": "secp256k1",
}
_MODULUS_BITS = range(512, 65_537)


def find(text: bytes, request: Request) -> Iterator[Passage]:
    """Yield each key; its `kid` is its member. One whose numbers contradict each other is damage."""
    del request
    position = costly = mentions = 0
    for _ in range(_KEYS_LIMIT):
        kind = _KIND.search(text, position)
        if kind is None:
            return
        position = kind.end()
        start, end, members = _object_around(text, kind)
        if not members:
            mentions += 1
            if mentions > _MENTIONS_LIMIT:
                break
            continue
        position = max(position, end)
        costly += "d" in members and "p" not in members and members["kty"] == "RSA"
        if costly > _COSTLY_LIMIT:
            yield Passage(start, end, (), "limit-values")
            return
        try:
            found = _key(members)
        except (MalformedKeyError, ValueError):
            yield Passage(start, kind.end(), (), "malformed-jwk" if "d" in members else "")
            continue
        if found:
            # Certificates inside it (x5c) are for another format to take.
            yield Passage(start, kind.end(), (found,))
    yield Passage(position, position, (), "limit-values")


def _object_around(text: bytes, kind: re.Match[bytes]) -> tuple[int, int, dict[str, str]]:
    """Return where the JSON object that names its `kty` there stands, and its members that are text."""
    start = kind.start()
    nested = text[start - 1 : start] == b"\\"  # in a string inside a string
    for _ in range(_OPENINGS):
        start = text.rfind(b"{", max(0, kind.start() - _BACK), start)
        if start < 0:
            break
        window = text[start : start + _WINDOW]
        if nested:
            window = window.replace(b'\\"', b'"').replace(b"\\\\", b"\\")
        decoded = window.decode("utf-8", "surrogateescape")
        try:
            value, size = json.JSONDecoder(strict=False).raw_decode(decoded)
        except (ValueError, RecursionError):
            continue
        read = decoded[:size].encode("utf-8", "surrogateescape")
        end = start + len(read) + (read.count(b'"') if nested else 0)
        if end > kind.start() and isinstance(value, dict) and isinstance(value.get("kty"), str):
            return start, end, {key: item for key, item in value.items() if isinstance(item, str)}
    return 0, 0, {}


def _key(members: dict[str, str]) -> Found | None:
    name = members.get("kid", "").encode("utf-8", "surrogatepass")
    make = {"RSA": _rsa, "EC": _ec, "OKP": _octet, "AKP": _algorithm}.get(members["kty"])
    if make is None:
        return None
    spki = make(members)
    secret = "priv" if members["kty"] == "AKP" else "d"
    return private_key(spki, name) if secret in members else public_key(spki, name)


def _rsa(members: dict[str, str]) -> bytes:
    modulus, exponent = _number(members, "n"), _number(members, "e")
    if "d" in members:
        primes = _number(members, "p"), _number(members, "q")
        return rsa_public_half(RsaNumbers(modulus, exponent, _number(members, "d"), *primes))
    if modulus.bit_length() not in _MODULUS_BITS or exponent < 3:
        raise ValueError("no key")
    return rsa_spki_from_numbers(modulus, exponent)


def _ec(members: dict[str, str]) -> bytes:
    curve = _CURVES.get(members.get("crv", ""), "")
    public = ec_public_key(curve, _octets(members, "x"), _octets(members, "y"))
    if "d" in members and ec_public_half(curve, _octets(members, "d")) != public:
        raise MalformedKeyError("malformed-jwk")
    return public


def _octet(members: dict[str, str]) -> bytes:
    algorithm = members.get("crv", "").lower()
    public = raw_public_key(algorithm, _octets(members, "x"))
    if "d" in members and raw_public_half(algorithm, _octets(members, "d")) != public:
        raise MalformedKeyError("malformed-jwk")
    return public


def _algorithm(members: dict[str, str]) -> bytes:
    """Read a key whose kind its algorithm says: ML-DSA, with its seed as the private half."""
    algorithm = members.get("alg", "").lower()
    if algorithm not in ML_DSA_OIDS:
        raise ValueError("unknown algorithm")
    public = raw_spki(ML_DSA_OIDS[algorithm], _octets(members, "pub"))
    if "priv" in members and raw_public_half(algorithm, _octets(members, "priv")) != public:
        raise MalformedKeyError("malformed-jwk")
    return public


def _octets(members: dict[str, str], name: str) -> bytes:
    text = members.get(name, "")
    if not _BASE64URL.fullmatch(text):
        raise ValueError("no base64url")
    text = text.rstrip("=")
    try:
        return binascii.a2b_base64(text.translate(_ALPHABET) + "=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("no base64url") from None


def _number(members: dict[str, str], name: str) -> int:
    return int.from_bytes(_octets(members, name), "big") if name in members else 0


_ALPHABET = str.maketrans("-_", "+/")
