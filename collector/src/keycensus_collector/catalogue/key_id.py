"""The identity of a key pair: SHA-256 of its canonical SubjectPublicKeyInfo (protos/README.md, 2).

Own DER code and own curve arithmetic, so that an identity never changes when a library learns more.
The agent has its own copy of this rule; `tests/contract/key_id_vectors.json` holds the two together.
Pure; runs on hostile bytes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from keycensus_collector.catalogue import der

RSA_ENCRYPTION = bytes.fromhex("2a864886f70d010101")
RSASSA_PSS = bytes.fromhex("2a864886f70d01010a")
EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")

_RSA_ALGORITHM = der.encode(
    der.SEQUENCE,
    der.encode(der.OBJECT_IDENTIFIER, RSA_ENCRYPTION) + der.encode(der.NULL, b""),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """y² = x³ + ax + b over the prime field p. `name` as in RFC 5480 or RFC 5639."""

    name: str
    p: int
    a: int
    b: int

    @property
    def octets(self) -> int:
        """Length of one coordinate."""
        return (self.p.bit_length() + 7) // 8


def _curve(name: str, p: str, a: str, b: str) -> Curve:
    return Curve(name, int(p, 16), int(a, 16) % int(p, 16), int(b, 16))


# By the content octets of the curve's object identifier. SEC 2 version 2; RFC 5639.
CURVES: dict[bytes, Curve] = {
    bytes.fromhex("2a8648ce3d030101"): _curve(
        "secp192r1",
        "fffffffffffffffffffffffffffffffeffffffffffffffff",
        "-3",
        "64210519e59c80e70fa7e9ab72243049feb8deecc146b9b1",
    ),
    bytes.fromhex("2b81040021"): _curve(
        "secp224r1",
        "ffffffffffffffffffffffffffffffff000000000000000000000001",
        "-3",
        "b4050a850c04b3abf54132565044b0b7d7bfd8ba270b39432355ffb4",
    ),
    bytes.fromhex("2a8648ce3d030107"): _curve(
        "secp256r1",
        "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff",
        "-3",
        "5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b",
    ),
    bytes.fromhex("2b81040022"): _curve(
        "secp384r1",
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffeffffffff0000000000000000ffffffff",
        "-3",
        "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aef",
    ),
    bytes.fromhex("2b81040023"): _curve(
        "secp521r1",
        "1ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "-3",
        "51953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef109e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
    ),
    bytes.fromhex("2b8104000a"): _curve(
        "secp256k1",
        "fffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2f",
        "0",
        "7",
    ),
    bytes.fromhex("2b2403030208010101"): _curve(
        "brainpoolP160r1",
        "e95e4a5f737059dc60dfc7ad95b3d8139515620f",
        "340e7be2a280eb74e2be61bada745d97e8f7c300",
        "1e589a8595423412134faa2dbdec95c8d8675e58",
    ),
    bytes.fromhex("2b2403030208010103"): _curve(
        "brainpoolP192r1",
        "c302f41d932a36cda7a3463093d18db78fce476de1a86297",
        "6a91174076b1e0e19c39c031fe8685c1cae040e5c69a28ef",
        "469a28ef7c28cca3dc721d044f4496bcca7ef4146fbf25c9",
    ),
    bytes.fromhex("2b2403030208010105"): _curve(
        "brainpoolP224r1",
        "d7c134aa264366862a18302575d1d787b09f075797da89f57ec8c0ff",
        "68a5e62ca9ce6c1c299803a6c1530b514e182ad8b0042a59cad29f43",
        "2580f63ccfe44138870713b1a92369e33e2135d266dbb372386c400b",
    ),
    bytes.fromhex("2b2403030208010107"): _curve(
        "brainpoolP256r1",
        "a9fb57dba1eea9bc3e660a909d838d726e3bf623d52620282013481d1f6e5377",
        "7d5a0975fc2c3057eef67530417affe7fb8055c126dc5c6ce94a4b44f330b5d9",
        "26dc5c6ce94a4b44f330b5d9bbd77cbf958416295cf7e1ce6bccdc18ff8c07b6",
    ),
    bytes.fromhex("2b2403030208010109"): _curve(
        "brainpoolP320r1",
        "d35e472036bc4fb7e13c785ed201e065f98fcfa6f6f40def4f92b9ec7893ec28fcd412b1f1b32e27",
        "3ee30b568fbab0f883ccebd46d3f3bb8a2a73513f5eb79da66190eb085ffa9f492f375a97d860eb4",
        "520883949dfdbc42d3ad198640688a6fe13f41349554b49acc31dccd884539816f5eb4ac8fb1f1a6",
    ),
    bytes.fromhex("2b240303020801010b"): _curve(
        "brainpoolP384r1",
        "8cb91e82a3386d280f5d6f7e50e641df152f7109ed5456b412b1da197fb71123acd3a729901d1a71874700133107ec53",
        "7bc382c63d8c150c3c72080ace05afa0c2bea28e4fb22787139165efba91f90f8aa5814a503ad4eb04a8c7dd22ce2826",
        "4a8c7dd22ce28268b39b55416f0447c2fb77de107dcd2a62e880ea53eeb62d57cb4390295dbc9943ab78696fa504c11",
    ),
    bytes.fromhex("2b240303020801010d"): _curve(
        "brainpoolP512r1",
        "aadd9db8dbe9c48b3fd4e6ae33c9fc07cb308db3b3c9d20ed6639cca703308717d4d9b009bc66842aecda12ae6a380e62881ff2f2d82c68528aa6056583a48f3",
        "7830a3318b603b89e2327145ac234cc594cbdd8d3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94ca",
        "3df91610a83441caea9863bc2ded5d5aa8253aa10a2ef1c98b9ac8b57f1117a72bf2c7b9e7c1ac4d77fc94cadc083e67984050b75ebae5dd2809bd638016f723",
    ),
}


def canonical_spki(spki_der: bytes) -> bytes:
    """Return the canonical form of a SubjectPublicKeyInfo: what has none is returned as it is.

    RSA: rsaEncryption with NULL parameters, also for keys marked RSASSA-PSS. EC on a named curve:
    the point uncompressed. Never raises.
    """
    try:
        return _canonical(spki_der)
    except der.DerError:
        return spki_der


def key_id(spki_der: bytes) -> bytes:
    """Return the identity of the key with this SubjectPublicKeyInfo: 32 bytes. Never raises."""
    return hashlib.sha256(canonical_spki(spki_der)).digest()


def _canonical(spki_der: bytes) -> bytes:
    algorithm, key = _two(der.read_whole(spki_der, der.SEQUENCE))
    inside = list(algorithm.expect(der.SEQUENCE).children())
    if not inside:
        return spki_der
    identifier = inside[0].expect(der.OBJECT_IDENTIFIER).content
    if identifier in {RSA_ENCRYPTION, RSASSA_PSS}:
        return der.encode(der.SEQUENCE, _RSA_ALGORITHM + key.expect(der.BIT_STRING).encoded)
    if identifier == EC_PUBLIC_KEY and len(inside) == 2:
        point = _uncompressed(inside[1], der.read_bits(key))
        if point is not None:
            bits = der.encode(der.BIT_STRING, b"\0" + point)
            return der.encode(der.SEQUENCE, algorithm.encoded + bits)
    return spki_der


def _two(element: der.Element) -> tuple[der.Element, der.Element]:
    children = list(element.children())
    if len(children) != 2:
        raise der.DerError(f"{len(children)} elements where 2 belong")
    return children[0], children[1]


def _uncompressed(curve_oid: der.Element, point: bytes) -> bytes | None:
    """Return a compressed point as 04 || x || y (SEC 1, section 2.3.4); None if it is none."""
    curve = CURVES.get(curve_oid.expect(der.OBJECT_IDENTIFIER).content)
    if curve is None or len(point) != 1 + curve.octets or point[0] not in {2, 3}:
        return None
    x = int.from_bytes(point[1:], "big")
    if x >= curve.p:
        return None
    y = _square_root((pow(x, 3, curve.p) + curve.a * x + curve.b) % curve.p, curve.p)
    if y is None:
        return None
    if y & 1 != point[0] & 1:
        y = curve.p - y
    return b"\x04" + point[1:] + y.to_bytes(curve.octets, "big")


def _square_root(value: int, p: int) -> int | None:
    """Return a square root modulo the odd prime p; None if there is none."""
    root = pow(value, (p + 1) // 4, p) if p % 4 == 3 else _tonelli_shanks(value, p)
    return root if root * root % p == value else None


def _tonelli_shanks(value: int, p: int) -> int:
    """Square root for p ≡ 1 modulo 4 (secp224r1); any number if there is none."""
    if pow(value, (p - 1) // 2, p) != 1:
        return 0
    odd, twos = p - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    non_residue = next(n for n in range(2, p) if pow(n, (p - 1) // 2, p) == p - 1)
    c, t, root = pow(non_residue, odd, p), pow(value, odd, p), pow(value, (odd + 1) // 2, p)
    while t != 1:
        order, square = 0, t
        while square != 1:
            order, square = order + 1, square * square % p
        step = pow(c, 1 << (twos - order - 1), p)
        twos, c = order, step * step % p
        t, root = t * c % p, root * step % p
    return root
