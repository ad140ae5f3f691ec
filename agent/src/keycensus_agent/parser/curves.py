"""The named curves whose points are decompressed for `key_id`, and the names of all known ones.

Parser side: pure numbers. The list of decompressible curves is part of the identity of keys
(tests/contract/key_id_vectors.json): a curve must not join it later. Sources: SEC 2 (2.4 and 2.5),
FIPS 186-4 D.1.2, RFC 5639.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve y² = x³ + ax + b over the prime field p."""

    p: int
    a: int
    b: int

    @property
    def size(self) -> int:
        """Length of a coordinate in bytes."""
        return (self.p.bit_length() + 7) // 8

    def uncompressed(self, point: bytes) -> bytes | None:
        """Return a compressed point as 04 || x || y (SEC 1, 2.3.4); None if it is none of this curve."""
        if len(point) != 1 + self.size or point[0] not in {2, 3}:
            return None
        x = int.from_bytes(point[1:], "big")
        y = _square_root((x * x * x + self.a * x + self.b) % self.p, self.p)
        if x >= self.p or y is None:
            return None
        if y & 1 != point[0] & 1:
            y = (self.p - y) % self.p
        return b"\x04" + point[1:] + y.to_bytes(self.size, "big")


def _square_root(square: int, p: int) -> int | None:
    """Return a square root modulo the prime p, or None if there is none."""
    if pow(square, (p - 1) // 2, p) == p - 1:
        return None
    if p % 4 == 3:
        return pow(square, (p + 1) // 4, p)
    return _tonelli_shanks(square, p)


def _tonelli_shanks(square: int, p: int) -> int:
    """Return a square root of a quadratic residue modulo p ≡ 1 (mod 4): secp224r1 only."""
    odd, twos = p - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    non_residue = next(n for n in range(2, p) if pow(n, (p - 1) // 2, p) == p - 1)
    c, t, root = pow(non_residue, odd, p), pow(square, odd, p), pow(square, (odd + 1) // 2, p)
    while t > 1:
        order, power = 0, t
        while power != 1:
            order, power = order + 1, power * power % p
        step = pow(c, 1 << (twos - order - 1), p)
        twos, c = order, step * step % p
        t, root = t * c % p, root * step % p
    return root


def _a_minus_3(p: int, b: int) -> Curve:
    return Curve(p, p - 3, b)


CURVES: dict[str, Curve] = {
    "1.2.840.10045.3.1.1": _a_minus_3(  # secp192r1
        2**192 - 2**64 - 1,
        0x64210519E59C80E70FA7E9AB72243049FEB8DEECC146B9B1,
    ),
    "1.3.132.0.33": _a_minus_3(  # secp224r1
        2**224 - 2**96 + 1,
        0xB4050A850C04B3ABF54132565044B0B7D7BFD8BA270B39432355FFB4,
    ),
    "1.2.840.10045.3.1.7": _a_minus_3(  # secp256r1
        2**256 - 2**224 + 2**192 + 2**96 - 1,
        0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
    ),
    "1.3.132.0.34": _a_minus_3(  # secp384r1
        2**384 - 2**128 - 2**96 + 2**32 - 1,
        0xB3312FA7E23EE7E4988E056BE3F82D19181D9C6EFE8141120314088F5013875AC656398D8A2ED19D2A85C8EDD3EC2AEF,
    ),
    "1.3.132.0.35": _a_minus_3(  # secp521r1
        2**521 - 1,
        0x51953EB9618E1C9A1F929A21A0B68540EEA2DA725B99B315F3B8B489918EF109E156193951EC7E937B1652C0BD3BB1BF073573DF883D2C34F1EF451FD46B503F00,
    ),
    "1.3.132.0.10": Curve(2**256 - 2**32 - 977, 0, 7),  # secp256k1
    "1.3.36.3.3.2.8.1.1.1": Curve(  # brainpoolP160r1
        0xE95E4A5F737059DC60DFC7AD95B3D8139515620F,
        0x340E7BE2A280EB74E2BE61BADA745D97E8F7C300,
        0x1E589A8595423412134FAA2DBDEC95C8D8675E58,
    ),
    "1.3.36.3.3.2.8.1.1.3": Curve(  # brainpoolP192r1
        0xC302F41D932A36CDA7A3463093D18DB78FCE476DE1A86297,
        0x6A91174076B1E0E19C39C031FE8685C1CAE040E5C69A28EF,
        0x469A28EF7C28CCA3DC721D044F4496BCCA7EF4146FBF25C9,
    ),
    "1.3.36.3.3.2.8.1.1.5": Curve(  # brainpoolP224r1
        0xD7C134AA264366862A18302575D1D787B09F075797DA89F57EC8C0FF,
        0x68A5E62CA9CE6C1C299803A6C1530B514E182AD8B0042A59CAD29F43,
        0x2580F63CCFE44138870713B1A92369E33E2135D266DBB372386C400B,
    ),
    "1.3.36.3.3.2.8.1.1.7": Curve(  # brainpoolP256r1
        0xA9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377,
        0x7D5A0975FC2C3057EEF67530417AFFE7FB8055C126DC5C6CE94A4B44F330B5D9,
        0x26DC5C6CE94A4B44F330B5D9BBD77CBF958416295CF7E1CE6BCCDC18FF8C07B6,
    ),
    "1.3.36.3.3.2.8.1.1.9": Curve(  # brainpoolP320r1
        0xD35E472036BC4FB7E13C785ED201E065F98FCFA6F6F40DEF4F92B9EC7893EC28FCD412B1F1B32E27,
        0x3EE30B568FBAB0F883CCEBD46D3F3BB8A2A73513F5EB79DA66190EB085FFA9F492F375A97D860EB4,
        0x520883949DFDBC42D3AD198640688A6FE13F41349554B49ACC31DCCD884539816F5EB4AC8FB1F1A6,
    ),
    "1.3.36.3.3.2.8.1.1.11": Curve(  # brainpoolP384r1
        0x8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B412B1DA197FB71123ACD3A729901D1A71874700133107EC53,
        0x7BC382C63D8C150C3C72080ACE05AFA0C2BEA28E4FB22787139165EFBA91F90F8AA5814A503AD4EB04A8C7DD22CE2826,
        0x4A8C7DD22CE28268B39B55416F0447C2FB77DE107DCD2A62E880EA53EEB62D57CB4390295DBC9943AB78696FA504C11,
    ),
    "1.3.36.3.3.2.8.1.1.13": Curve(  # brainpoolP512r1
        0xAADD9DB8DBE9C48B3FD4E6AE33C9FC07CB308DB3B3C9D20ED6639CCA703308717D4D9B009BC66842AECDA12AE6A380E62881FF2F2D82C68528AA6056583A48F3,
        0x7830A3318B603B89E2327145AC234CC594CBDD8D3DF91610A83441CAEA9863BC2DED5D5AA8253AA10A2EF1C98B9AC8B57F1117A72BF2C7B9E7C1AC4D77FC94CA,
        0x3DF91610A83441CAEA9863BC2DED5D5AA8253AA10A2EF1C98B9AC8B57F1117A72BF2C7B9E7C1AC4D77FC94CADC083E67984050B75EBAE5DD2809BD638016F723,
    ),
}

# Name (RFC 5480, RFC 5639, else SEC 2) and field size in bits.
CURVE_NAMES: dict[str, tuple[str, int]] = {
    "1.2.840.10045.3.1.1": ("secp192r1", 192),
    "1.2.840.10045.3.1.7": ("secp256r1", 256),
    "1.3.132.0.1": ("sect163k1", 163),
    "1.3.132.0.6": ("secp112r1", 112),
    "1.3.132.0.8": ("secp160r1", 160),
    "1.3.132.0.9": ("secp160k1", 160),
    "1.3.132.0.10": ("secp256k1", 256),
    "1.3.132.0.15": ("sect163r2", 163),
    "1.3.132.0.16": ("sect283k1", 283),
    "1.3.132.0.17": ("sect283r1", 283),
    "1.3.132.0.26": ("sect233k1", 233),
    "1.3.132.0.27": ("sect233r1", 233),
    "1.3.132.0.31": ("secp192k1", 192),
    "1.3.132.0.32": ("secp224k1", 224),
    "1.3.132.0.33": ("secp224r1", 224),
    "1.3.132.0.34": ("secp384r1", 384),
    "1.3.132.0.35": ("secp521r1", 521),
    "1.3.132.0.36": ("sect409k1", 409),
    "1.3.132.0.37": ("sect409r1", 409),
    "1.3.132.0.38": ("sect571k1", 571),
    "1.3.132.0.39": ("sect571r1", 571),
    "1.3.36.3.3.2.8.1.1.1": ("brainpoolP160r1", 160),
    "1.3.36.3.3.2.8.1.1.2": ("brainpoolP160t1", 160),
    "1.3.36.3.3.2.8.1.1.3": ("brainpoolP192r1", 192),
    "1.3.36.3.3.2.8.1.1.4": ("brainpoolP192t1", 192),
    "1.3.36.3.3.2.8.1.1.5": ("brainpoolP224r1", 224),
    "1.3.36.3.3.2.8.1.1.6": ("brainpoolP224t1", 224),
    "1.3.36.3.3.2.8.1.1.7": ("brainpoolP256r1", 256),
    "1.3.36.3.3.2.8.1.1.8": ("brainpoolP256t1", 256),
    "1.3.36.3.3.2.8.1.1.9": ("brainpoolP320r1", 320),
    "1.3.36.3.3.2.8.1.1.10": ("brainpoolP320t1", 320),
    "1.3.36.3.3.2.8.1.1.11": ("brainpoolP384r1", 384),
    "1.3.36.3.3.2.8.1.1.12": ("brainpoolP384t1", 384),
    "1.3.36.3.3.2.8.1.1.13": ("brainpoolP512r1", 512),
    "1.3.36.3.3.2.8.1.1.14": ("brainpoolP512t1", 512),
    "1.2.156.10197.1.301": ("sm2", 256),
}
