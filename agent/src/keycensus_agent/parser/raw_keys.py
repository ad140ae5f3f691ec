"""Public halves of keys that are given as bare numbers: in JWK, XML, DNSSEC's files, age, WireGuard.

Parser side: computing on hostile bytes that may be secret; nothing private is kept or told. What is
given twice must agree, or it is no key. Sources: RFC 8017, RFC 7748, RFC 8032, RFC 5480.
"""

from __future__ import annotations

from typing import NamedTuple

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, mldsa, x448, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keycensus_agent.parser import der
from keycensus_agent.parser.curves import CURVE_NAMES
from keycensus_agent.parser.private_key import MalformedKeyError, derived_point
from keycensus_agent.parser.public_key import ec_spki, raw_spki, rsa_spki_from_numbers

# Largest modulus that is tried by an exponentiation, in bits: some tenths of a second.
_MAXIMUM_BITS = 8192
_ON_CURVE: dict[str, type[ec.EllipticCurve]] = {
    "secp256r1": ec.SECP256R1,
    "secp384r1": ec.SECP384R1,
    "secp521r1": ec.SECP521R1,
    "secp256k1": ec.SECP256K1,
}
_CURVE_OIDS = {name: oid for oid, (name, _) in CURVE_NAMES.items()}

_Raw = (
    type[ed25519.Ed25519PrivateKey]
    | type[ed448.Ed448PrivateKey]
    | type[x25519.X25519PrivateKey]
    | type[x448.X448PrivateKey]
)
_RAW: dict[str, tuple[str, int, _Raw]] = {
    "ed25519": ("1.3.101.112", 32, ed25519.Ed25519PrivateKey),
    "ed448": ("1.3.101.113", 57, ed448.Ed448PrivateKey),
    "x25519": ("1.3.101.110", 32, x25519.X25519PrivateKey),
    "x448": ("1.3.101.111", 56, x448.X448PrivateKey),
}
_SEEDED: dict[
    str, type[mldsa.MLDSA44PrivateKey | mldsa.MLDSA65PrivateKey | mldsa.MLDSA87PrivateKey]
] = {
    "ml-dsa-44": mldsa.MLDSA44PrivateKey,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey,
}


class RsaNumbers(NamedTuple):
    """An RSA key in numbers; 0 for those that are not given."""

    modulus: int
    exponent: int
    private: int = 0
    p: int = 0
    q: int = 0

    def __repr__(self) -> str:
        """Show no number: they are secret."""
        return "RsaNumbers(…)"


def rsa_public_half(key: RsaNumbers) -> bytes:
    """Return the SPKI of a private RSA key whose numbers agree; else MalformedKeyError."""
    size = key.modulus.bit_length()
    if key.modulus <= 3 or key.exponent <= 1 or size > _MAXIMUM_BITS or key.exponent >= key.modulus:
        raise MalformedKeyError("malformed-private-key")
    if key.p and key.q:
        fits = abs(key.p.bit_length() + key.q.bit_length() - size) <= 1
        agrees = fits and key.p * key.q == key.modulus
    else:
        fits = 0 < key.private < key.modulus
        agrees = fits and pow(pow(2, key.exponent, key.modulus), key.private, key.modulus) == 2
    if not agrees:
        raise MalformedKeyError("malformed-private-key")
    return rsa_spki_from_numbers(key.modulus, key.exponent)


def ec_public_half(curve: str, scalar: bytes) -> bytes:
    """Return the SPKI of a private scalar on a curve given by name; else MalformedKeyError."""
    if curve not in _CURVE_OIDS or not 0 < len(scalar) <= 80:
        raise MalformedKeyError("malformed-private-key")
    parameters = der.encode_oid(_CURVE_OIDS[curve])
    try:
        point = derived_point(parameters, scalar)
    except der.DerError:
        point = b""
    if not point:
        raise MalformedKeyError("malformed-private-key")
    return ec_spki(parameters, point)


def raw_public_half(algorithm: str, secret: bytes) -> bytes:
    """Return the SPKI of an Edwards, Montgomery or seeded ML-DSA key; else MalformedKeyError."""
    try:
        if algorithm in _SEEDED:
            seeded = _SEEDED[algorithm].from_seed_bytes(secret).public_key()
            return seeded.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        oid, size, make = _RAW[algorithm]
        if len(secret) == size:
            public = make.from_private_bytes(secret).public_key()
            return raw_spki(oid, public.public_bytes(Encoding.Raw, PublicFormat.Raw))
    except (KeyError, ValueError, UnsupportedAlgorithm):
        pass
    raise MalformedKeyError("malformed-private-key")


def ec_public_key(curve: str, x: bytes, y: bytes) -> bytes:
    """Return the SPKI of a point given by its coordinates; ValueError if it is not on its curve."""
    if curve not in _ON_CURVE:
        raise ValueError("unknown curve")
    numbers = ec.EllipticCurvePublicNumbers(
        int.from_bytes(x, "big"), int.from_bytes(y, "big"), _ON_CURVE[curve]()
    )
    point = numbers.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return ec_spki(der.encode_oid(_CURVE_OIDS[curve]), point)


def raw_public_key(algorithm: str, key: bytes) -> bytes:
    """Return the SPKI of an Edwards or Montgomery key; ValueError if its length is wrong."""
    if algorithm not in _RAW or len(key) != _RAW[algorithm][1]:
        raise ValueError("no key")
    return raw_spki(_RAW[algorithm][0], key)
