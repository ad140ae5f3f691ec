"""From a private key to the public half that it is known by, whatever its encoding.

Parser side: computing on hostile bytes that may be secret. Private numbers live in local variables
only, never in results, errors or logs. Where the public half stands in the file as part of the
private key (RSA) it is read from there, with a check that the two belong together; where it does
not it is computed. Sources: RFC 8017 A.1.2, RFC 5915, RFC 5958, RFC 8410, FIPS 186-4.
"""

from __future__ import annotations

import hashlib
import re
import warnings

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)

from keycensus_agent.parser import der
from keycensus_agent.parser.curves import CURVE_NAMES
from keycensus_agent.parser.findings import Found, opaque_key, private_key
from keycensus_agent.parser.key_id import EC_PUBLIC_KEY, RSA_ENCRYPTION, RSASSA_PSS
from keycensus_agent.parser.public_key import (
    DIFFIE_HELLMAN,
    DSA,
    ML_DSA_OIDS,
    algorithm_name,
    dh_spki,
    dsa_spki,
    ec_spki,
    raw_spki,
    rsa_spki_from_numbers,
)

# Largest modulus or prime whose arithmetic is tried, in bits: beyond any key in use, and a
# multiplication of this size is still done in microseconds, a power in a second.
_MAXIMUM_BITS = 16_384
# A prime of so many bits, and a power of it that agrees, are no chance.
_CERTAIN_BITS = 512
_USUAL_EXPONENTS = (65_537, 3, 17, 257)
# Seeds of private keys of ML-DSA and ML-KEM, in bytes, and their tag (RFC 9881, 6; RFC 9935, 6).
_ML_DSA_SEED_BYTES, _ML_KEM_SEED_BYTES = 32, 64
_SEED = 0x80
# Bytes of an expanded private key and of a public one (FIPS 204, table 2).
_ML_DSA_BYTES = {"ml-dsa-44": (2560, 1312), "ml-dsa-65": (4032, 1952), "ml-dsa-87": (4896, 2592)}
_ML_KEM_RANKS = {"ml-kem-512": 2, "ml-kem-768": 3, "ml-kem-1024": 4}
# Public key of a OneAsymmetricKey (RFC 5958, 2).
_PUBLIC_KEY = 0x81
_EC_PARAMETERS = 0xA0
_EC_PUBLIC = 0xA1
_CURVES: dict[str, type[ec.EllipticCurve]] = {
    curve.name: curve
    for curve in (
        ec.SECP192R1,
        ec.SECP224R1,
        ec.SECP256R1,
        ec.SECP384R1,
        ec.SECP521R1,
        ec.SECP256K1,
        ec.BrainpoolP256R1,
        ec.BrainpoolP384R1,
        ec.BrainpoolP512R1,
    )
}


class MalformedKeyError(ValueError):
    """The bytes are labelled as a private key and are none. Carries no byte of them."""


def read_private_key(data: bytes, member: bytes = b"", *, encrypted: bool = False) -> Found:
    """Return the entry of a private key in DER: PKCS#8, PKCS#1, SEC 1 or OpenSSL's DSA form.

    An algorithm that nobody here knows gives an opaque key with its OID. MalformedKeyError if the
    structure is none of these, or if its parts contradict each other.
    """
    try:
        spki = _public_half(data)
    except der.DerError:
        raise MalformedKeyError("malformed-private-key") from None
    if isinstance(spki, str):
        name = algorithm_name(spki)
        known = "unknown-curve" if spki == EC_PUBLIC_KEY else "no-public-half"
        return opaque_key(name, member, "unknown-algorithm" if name == spki else known)
    return private_key(spki, member, encrypted=encrypted)


def _public_half(data: bytes) -> bytes | str:
    """Return the SPKI, or the OID of the algorithm that would have to be known for it."""
    outer = der.read_whole(data)
    fields = der.children(data, outer)
    tags = tuple(field.tag for field in fields)
    if tags[:3] == (der.INTEGER, der.SEQUENCE, der.OCTET_STRING):
        return _pkcs8(data, fields)
    if tags[:2] == (der.INTEGER, der.OCTET_STRING):
        return _sec1(data, fields, b"")
    if tags[:9] == (der.INTEGER,) * 9:
        return _pkcs1(data, fields)
    if tags == (der.INTEGER,) * 6:
        return _dsa(data, fields)
    raise der.DerError("no private key")


def _pkcs8(data: bytes, fields: list[der.Element]) -> bytes | str:
    algorithm = der.expect(data, fields[1], der.OBJECT_IDENTIFIER)
    oid = der.dotted(data, algorithm[0])
    parameters = der.encoding(data, algorithm[1]) if len(algorithm) > 1 else b""
    inner = der.octets(data, fields[2])
    if oid in {RSA_ENCRYPTION, RSASSA_PSS}:
        return _pkcs1(inner, der.expect(inner, der.read_whole(inner), *[der.INTEGER] * 9))
    if oid == EC_PUBLIC_KEY:
        key = der.expect(inner, der.read_whole(inner), der.INTEGER, der.OCTET_STRING)
        return _sec1(inner, key, parameters)
    if oid == DSA:
        return _dsa_from_pkcs8(parameters, inner)
    written = _written_spki(data, fields[3:], oid)
    # wolfSSL writes the public key behind the private one in a way of its own, which cryptography refuses.
    alone = (der.encoding(data, field) for field in fields[:3])
    computed = _computed_spki(data) or _computed_spki(der.encode(der.SEQUENCE, *alone))
    if written and computed and not parameters and written != computed:
        raise der.DerError("inconsistent key")
    return computed or written or _public_inside(oid, parameters, inner) or oid


def _written_spki(data: bytes, additions: list[der.Element], oid: str) -> bytes:
    """Return the SPKI of the public key that stands beside a private one (RFC 5958, 2); nothing if there is none."""
    for field in additions:
        if field.tag == _PUBLIC_KEY and field.body < field.body_end and not data[field.body]:
            return raw_spki(oid, data[field.body + 1 : field.body_end])
    return b""


def _public_inside(oid: str, parameters: bytes, inner: bytes) -> bytes:
    """Return the SPKI of a key that cryptography does not read, if its private half tells it."""
    if oid in DIFFIE_HELLMAN:
        return _dh_from_pkcs8(oid, parameters, inner)
    name = algorithm_name(oid)
    level = re.fullmatch(r"(?:hash-)?slh-dsa-(?:sha2|shake)-(128|192|256)[sf]", name)
    if level and len(inner) * 2 == int(
        level[1]
    ):  # four strings of n bytes; the last two are public
        return raw_spki(oid, inner[len(inner) // 2 :])
    if name in _ML_KEM_RANKS:
        return _ml_kem_public(oid, _ML_KEM_RANKS[name], inner)
    if name in ML_DSA_OIDS:
        return _ml_dsa_public(oid, inner) or _ml_dsa_behind(oid, _ML_DSA_BYTES[name], inner)
    return b""


def _ml_dsa_public(oid: str, inner: bytes) -> bytes:
    """Return the SPKI of a key with its seed and its expanded form, as OpenSSL writes both (RFC 9881, 6).

    Or with the seed alone, as drafts of it had it and Bouncy Castle wrote.
    """
    if len(inner) == _ML_DSA_SEED_BYTES:
        return _spki_of_seed(oid, inner)
    try:
        both = der.expect(inner, der.read_whole(inner), der.OCTET_STRING, der.OCTET_STRING)
    except der.DerError:
        return b""
    seed = der.content(inner, both[0])
    return _spki_of_seed(oid, seed) if len(seed) == _ML_DSA_SEED_BYTES else b""


def _ml_dsa_behind(oid: str, sizes: tuple[int, int], inner: bytes) -> bytes:
    """Return the SPKI of a key whose public half stands behind its expanded form, as wolfSSL and liboqs write it.

    The expanded form has the public half's digest (FIPS 204, algorithm 24): it must fit.
    """
    expanded, public = inner[-sum(sizes) : -sizes[1]], inner[-sizes[1] :]
    fits = expanded[64:128] == hashlib.shake_256(public).digest(64)
    return raw_spki(oid, public) if fits else b""


def _spki_of_seed(oid: str, seed: bytes) -> bytes:
    """Return the SPKI that cryptography computes from the seed of a key of FIPS 203 or 204, or nothing."""
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(oid))
    alone = der.encode(der.OCTET_STRING, der.encode(_SEED, seed))
    return _computed_spki(der.encode(der.SEQUENCE, der.encode_integer(0), algorithm, alone))


def _ml_kem_public(oid: str, rank: int, inner: bytes) -> bytes:
    """Take the encapsulation key out of an expanded decapsulation key (FIPS 203, algorithm 16).

    Or compute it from the seed alone, as with ML-DSA.
    """
    if len(inner) == _ML_KEM_SEED_BYTES:
        return _spki_of_seed(oid, inner)
    element = der.read(inner, 0, len(inner))
    if element.tag == der.SEQUENCE:  # both: the seed and the expanded key
        element = der.expect(inner, element, der.OCTET_STRING, der.OCTET_STRING)[1]
    expanded = der.content(inner, element)
    start, size = 384 * rank, 384 * rank + 32
    public = expanded[start : start + size]
    digest = expanded[start + size : start + size + 32]
    agrees = len(expanded) == start + size + 64 and hashlib.sha3_256(public).digest() == digest
    return raw_spki(oid, public) if agrees else b""


def _pkcs1(data: bytes, fields: list[der.Element]) -> bytes:
    version, modulus, exponent, secret, p, q = (der.integer(data, field) for field in fields[:6])
    # Version 1 has more than two primes; there, and where p and q were left out, nothing is checked.
    checkable = version != 1 and p and q and modulus.bit_length() <= _MAXIMUM_BITS
    # A version that there is not is overlooked, as OpenSSL does, where chance can't make the numbers agree.
    certain = checkable and modulus.bit_length() >= _CERTAIN_BITS
    if (version not in {0, 1} and not certain) or modulus <= 0 or exponent < 0:
        raise der.DerError("no RSA key")
    if not exponent:
        exponent = _exponent_of(modulus, secret)
    if checkable and (
        abs(p.bit_length() + q.bit_length() - modulus.bit_length()) > 1 or p * q != modulus
    ):
        raise der.DerError("inconsistent RSA key")
    return rsa_spki_from_numbers(modulus, exponent)


def _exponent_of(modulus: int, secret: int) -> int:
    """Return the public exponent of a key whose writer, such as a token's, knew the private one alone."""
    if _CERTAIN_BITS <= modulus.bit_length() <= _MAXIMUM_BITS and 1 < secret < modulus:
        power = pow(2, secret, modulus)
        for exponent in _USUAL_EXPONENTS:
            if pow(power, exponent, modulus) == 2:
                return exponent
    raise der.DerError("no RSA key")


def _sec1(data: bytes, fields: list[der.Element], parameters: bytes) -> bytes | str:
    """Read an ECPrivateKey (RFC 5915, 3); its own parameters win over those of PKCS#8."""
    if der.integer(data, fields[0]) != 1:
        raise der.DerError("no EC key")
    point = b""
    for field in fields[2:]:
        inner = der.read(data, field.body, field.body_end)
        if field.tag == _EC_PARAMETERS:
            parameters = der.encoding(data, inner)
        elif field.tag == _EC_PUBLIC:
            point = _written_point(data, inner)
    if not parameters:
        raise der.DerError("no curve")
    derived = derived_point(parameters, der.content(data, fields[1]))
    # The first coordinate is the same whether the point is compressed or not.
    first = slice(1, 1 + len(derived) // 2)
    if derived and point and derived[first] != point[first]:
        raise der.DerError("inconsistent EC key")
    point = derived or point
    return ec_spki(parameters, point) if point else EC_PUBLIC_KEY


def _written_point(data: bytes, element: der.Element) -> bytes:
    """Return the public point that stands in a key; nothing if its writer counted bits wrongly, as OpenSSL reads it."""
    try:
        return der.bit_string(data, element)
    except der.DerError:
        return b""


def derived_point(parameters: bytes, scalar: bytes) -> bytes:
    """Return the uncompressed public point, or nothing for a curve that is not known."""
    element = der.read_whole(parameters, parameters[0])
    if element.tag != der.OBJECT_IDENTIFIER:
        return b""
    name = CURVE_NAMES.get(der.dotted(parameters, element), ("", 0))[0]
    if name not in _CURVES:
        return b""
    try:
        key = ec.derive_private_key(int.from_bytes(scalar, "big"), _CURVES[name]())
    except UnsupportedAlgorithm:
        return b""
    except ValueError:
        raise der.DerError("no EC key") from None
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _dsa(data: bytes, fields: list[der.Element]) -> bytes:
    version, p, q, g, y, x = (der.integer(data, field) for field in fields)
    # A version that there is not is overlooked, as OpenSSL does, where chance can't make the numbers agree.
    if (version and p.bit_length() < _CERTAIN_BITS) or _dsa_public(p, g, x) != y:
        raise der.DerError("inconsistent DSA key")
    return dsa_spki(p, q, g, y)


def _dsa_from_pkcs8(parameters: bytes, inner: bytes) -> bytes:
    numbers = der.expect(parameters, der.read_whole(parameters), *[der.INTEGER] * 3)
    p, q, g = (der.integer(parameters, number) for number in numbers[:3])
    x = der.integer(inner, der.read_whole(inner, der.INTEGER))
    return dsa_spki(p, q, g, _dsa_public(p, g, x))


def _dh_from_pkcs8(oid: str, parameters: bytes, inner: bytes) -> bytes:
    """Read a key that OpenSSL refuses: of small groups, or with parameters of X9.42 (RFC 3279, 2.3.3)."""
    numbers = der.expect(parameters, der.read_whole(parameters), der.INTEGER, der.INTEGER)
    p, g = (der.integer(parameters, number) for number in numbers[:2])
    x = der.integer(inner, der.read_whole(inner, der.INTEGER))
    return dh_spki(oid, parameters, _dsa_public(p, g, x))


def _dsa_public(p: int, g: int, x: int) -> int:
    if not (0 < g < p and 0 < x < p and p.bit_length() <= _MAXIMUM_BITS):
        raise der.DerError("no such key")
    return pow(g, x, p)


def _computed_spki(data: bytes) -> bytes:
    """Return the SPKI that cryptography computes for a PKCS#8 key, or nothing if it can't."""
    try:
        with warnings.catch_warnings():
            # That a key is old or weak is for the collector's policy to say.
            warnings.simplefilter("ignore")
            key = load_der_private_key(data, None)
        return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return b""
