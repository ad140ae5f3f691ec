"""What a SubjectPublicKeyInfo says of its key, and the SPKIs of keys that come in other forms.

Parser side: pure computing on hostile bytes. Sources: RFC 5280 4.1.2.7, RFC 3279, RFC 5480,
RFC 8410, RFC 9802 (LMS, XMSS), RFC 9881 (ML-DSA, FIPS 204), RFC 9909 (SLH-DSA, FIPS 205), RFC 9935
(ML-KEM, FIPS 203), draft-ietf-lamps-pq-composite-sigs and -kem (composites, with the numbers that IANA gave).
"""

from __future__ import annotations

from typing import NamedTuple

from keycensus_agent.parser import der
from keycensus_agent.parser.curves import CURVE_NAMES
from keycensus_agent.parser.key_id import EC_PUBLIC_KEY, RSA_ENCRYPTION, RSASSA_PSS

DSA = "1.2.840.10040.4.1"

# Name and size in bits; 0 where the name says it all.
_FIXED: dict[str, tuple[str, int]] = {
    "1.3.101.110": ("x25519", 256),
    "1.3.101.111": ("x448", 448),
    "1.3.101.112": ("ed25519", 256),
    "1.3.101.113": ("ed448", 456),
    "2.16.840.1.101.3.4.3.17": ("ml-dsa-44", 0),
    "2.16.840.1.101.3.4.3.18": ("ml-dsa-65", 0),
    "2.16.840.1.101.3.4.3.19": ("ml-dsa-87", 0),
    "2.16.840.1.101.3.4.3.20": ("slh-dsa-sha2-128s", 0),
    "2.16.840.1.101.3.4.3.21": ("slh-dsa-sha2-128f", 0),
    "2.16.840.1.101.3.4.3.22": ("slh-dsa-sha2-192s", 0),
    "2.16.840.1.101.3.4.3.23": ("slh-dsa-sha2-192f", 0),
    "2.16.840.1.101.3.4.3.24": ("slh-dsa-sha2-256s", 0),
    "2.16.840.1.101.3.4.3.25": ("slh-dsa-sha2-256f", 0),
    "2.16.840.1.101.3.4.3.26": ("slh-dsa-shake-128s", 0),
    "2.16.840.1.101.3.4.3.27": ("slh-dsa-shake-128f", 0),
    "2.16.840.1.101.3.4.3.28": ("slh-dsa-shake-192s", 0),
    "2.16.840.1.101.3.4.3.29": ("slh-dsa-shake-192f", 0),
    "2.16.840.1.101.3.4.3.30": ("slh-dsa-shake-256s", 0),
    "2.16.840.1.101.3.4.3.31": ("slh-dsa-shake-256f", 0),
    "2.16.840.1.101.3.4.4.1": ("ml-kem-512", 0),
    "2.16.840.1.101.3.4.4.2": ("ml-kem-768", 0),
    "2.16.840.1.101.3.4.4.3": ("ml-kem-1024", 0),
    "1.2.840.113549.1.9.16.3.17": ("hss-lms", 0),
    "1.3.6.1.5.5.7.6.34": ("xmss", 0),
    "1.3.6.1.5.5.7.6.35": ("xmssmt", 0),
    "1.2.643.2.2.19": ("gost2001", 256),
    "1.2.643.7.1.1.1.1": ("gost2012-256", 256),
    "1.2.643.7.1.1.1.2": ("gost2012-512", 512),
    **{
        f"2.16.840.1.101.3.4.3.{32 + number}": (f"hash-ml-dsa-{level}", 0)
        for number, level in enumerate((44, 65, 87))
    },
    **{
        f"2.16.840.1.101.3.4.3.{35 + number}": (f"hash-slh-dsa-{name}", 0)
        for number, name in enumerate(
            f"{digest}-{level}{speed}"
            for digest in ("sha2", "shake")
            for level in (128, 192, 256)
            for speed in "sf"
        )
    },
    **{
        f"1.3.6.1.5.5.7.6.{37 + number}": (name, 0)
        for number, name in enumerate(
            (
                "mldsa44-rsa2048-pss-sha256",
                "mldsa44-rsa2048-pkcs15-sha256",
                "mldsa44-ed25519-sha512",
                "mldsa44-ecdsa-p256-sha256",
                "mldsa65-rsa3072-pss-sha512",
                "mldsa65-rsa3072-pkcs15-sha512",
                "mldsa65-rsa4096-pss-sha512",
                "mldsa65-rsa4096-pkcs15-sha512",
                "mldsa65-ecdsa-p256-sha512",
                "mldsa65-ecdsa-p384-sha512",
                "mldsa65-ecdsa-brainpoolp256r1-sha512",
                "mldsa65-ed25519-sha512",
                "mldsa87-ecdsa-p384-sha512",
                "mldsa87-ecdsa-brainpoolp384r1-sha512",
                "mldsa87-ed448-shake256",
                "mldsa87-rsa3072-pss-sha512",
                "mldsa87-rsa4096-pss-sha512",
                "mldsa87-ecdsa-p521-sha512",
                "mlkem768-rsa2048-sha3-256",
                "mlkem768-rsa3072-sha3-256",
                "mlkem768-rsa4096-sha3-256",
                "mlkem768-x25519-sha3-256",
                "mlkem768-ecdh-p256-sha3-256",
                "mlkem768-ecdh-p384-sha3-256",
                "mlkem768-ecdh-brainpoolp256r1-sha3-256",
                "mlkem1024-rsa3072-sha3-256",
                "mlkem1024-ecdh-p384-sha3-256",
                "mlkem1024-ecdh-brainpoolp384r1-sha3-256",
                "mlkem1024-x448-sha3-256",
                "mlkem1024-ecdh-p521-sha3-256",
            )
        )
    },
}
ML_DSA_OIDS = {name: oid for oid, (name, _) in _FIXED.items() if name.startswith("ml-dsa-")}
# PKCS#3 and X9.42; both begin with prime and generator.
DIFFIE_HELLMAN = {"1.2.840.113549.1.3.1", "1.2.840.10046.2.1"}


class KeyFacts(NamedTuple):
    """`algorithm`, `bits` and `curve` as the protocol's Entry explains them."""

    algorithm: str = ""
    bits: int = 0
    curve: str = ""


def key_facts(spki: bytes) -> KeyFacts:
    """Return what an SPKI says of its key; empty where the bytes are none."""
    try:
        algorithm, key = der.expect(spki, der.read_whole(spki), der.SEQUENCE, der.BIT_STRING)[:2]
        fields = der.expect(spki, algorithm, der.OBJECT_IDENTIFIER)
        name = der.dotted(spki, fields[0])
    except der.DerError:
        return KeyFacts()
    parameters = fields[1] if len(fields) > 1 else None
    try:
        return _facts(spki, name, parameters, key)
    except der.DerError:
        return KeyFacts(algorithm_name(name))


def algorithm_name(oid: str) -> str:
    """Return a key algorithm's name, or the dotted OID itself if it is not known."""
    if oid in {RSA_ENCRYPTION, RSASSA_PSS}:
        return "rsa"
    if oid in DIFFIE_HELLMAN:
        return "dh"
    if oid in _FIXED:
        return _FIXED[oid][0]
    return {EC_PUBLIC_KEY: "ec", DSA: "dsa"}.get(oid, oid)


def _facts(spki: bytes, name: str, parameters: der.Element | None, key: der.Element) -> KeyFacts:
    if name in {RSA_ENCRYPTION, RSASSA_PSS}:
        inner = der.bit_string(spki, key)
        modulus = der.expect(inner, der.read_whole(inner), der.INTEGER, der.INTEGER)[0]
        return KeyFacts("rsa", _magnitude_bits(inner, modulus))
    if name == EC_PUBLIC_KEY and parameters:
        return _curve_facts(spki, parameters)
    if name == DSA and parameters:
        prime = der.expect(spki, parameters, der.INTEGER)[0]
        return KeyFacts("dsa", _magnitude_bits(spki, prime))
    if name in DIFFIE_HELLMAN and parameters:
        prime = der.expect(spki, parameters, der.INTEGER)[0]
        return KeyFacts("dh", _magnitude_bits(spki, prime))
    if name in _FIXED:
        return KeyFacts(*_FIXED[name])
    return KeyFacts(algorithm_name(name))


def _curve_facts(spki: bytes, parameters: der.Element) -> KeyFacts:
    if parameters.tag == der.OBJECT_IDENTIFIER:
        oid = der.dotted(spki, parameters)
        curve, bits = CURVE_NAMES.get(oid, (oid, 0))
        return KeyFacts("ec", bits, curve)
    # Explicit parameters (X9.62): version, FieldID {prime-field, p}, curve, base, order.
    field = der.expect(spki, parameters, der.INTEGER, der.SEQUENCE)[1]
    prime = der.expect(spki, field, der.OBJECT_IDENTIFIER, der.INTEGER)[1]
    return KeyFacts("ec", _magnitude_bits(spki, prime), "explicit")


def _magnitude_bits(data: bytes, element: der.Element) -> int:
    """Return the length in bits of an INTEGER read as unsigned, as careless writers mean it."""
    start = element.body
    while start < element.body_end and not data[start]:
        start += 1
    if start == element.body_end:
        return 0
    return (element.body_end - start - 1) * 8 + data[start].bit_length()


def rsa_spki(public_key: bytes) -> bytes:
    """Return the SPKI of an RSAPublicKey in DER (RFC 8017, A.1.1)."""
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(RSA_ENCRYPTION), der.encode(der.NULL))
    return der.encode(der.SEQUENCE, algorithm, der.encode_bit_string(public_key))


def rsa_spki_from_numbers(modulus: int, exponent: int) -> bytes:
    """Return the SPKI of an RSA key."""
    numbers = der.encode_integer(modulus), der.encode_integer(exponent)
    return rsa_spki(der.encode(der.SEQUENCE, *numbers))


def ec_spki(parameters: bytes, point: bytes) -> bytes:
    """Return the SPKI of an EC key; `parameters` is ECParameters in DER (RFC 5480, 2.1.1)."""
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(EC_PUBLIC_KEY), parameters)
    return der.encode(der.SEQUENCE, algorithm, der.encode_bit_string(point))


def dsa_spki(p: int, q: int, g: int, y: int) -> bytes:
    """Return the SPKI of a DSA key (RFC 3279, 2.3.2)."""
    parameters = der.encode(der.SEQUENCE, *map(der.encode_integer, (p, q, g)))
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(DSA), parameters)
    return der.encode(der.SEQUENCE, algorithm, der.encode_bit_string(der.encode_integer(y)))


def dh_spki(oid: str, parameters: bytes, public: int) -> bytes:
    """Return the SPKI of a key of Diffie-Hellman; `parameters` in DER (PKCS#3, 9; RFC 3279, 2.3.3)."""
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(oid), parameters)
    return der.encode(der.SEQUENCE, algorithm, der.encode_bit_string(der.encode_integer(public)))


def raw_spki(oid: str, key: bytes) -> bytes:
    """Return the SPKI of a key whose algorithm has no parameters (RFC 8410, 4)."""
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(oid))
    return der.encode(der.SEQUENCE, algorithm, der.encode_bit_string(key))
