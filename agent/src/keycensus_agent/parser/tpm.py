"""Keys that live in a TPM 2.0: the file holds them wrapped, for one TPM alone; their public half is in the clear.

Parser side: pure, on hostile bytes; the wrapped half is not looked at. Sources: the ASN.1
specification for TPM 2.0 key files (TPMKey), TPM 2.0 Library part 2, 12.2 (TPMT_PUBLIC).
"""

from __future__ import annotations

from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Found, external_key, public_key
from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.public_key import KeyFacts, ec_spki, key_facts, rsa_spki_from_numbers

# Loadable and importable keys; the third type of the specification is sealed data, and no key.
_KEY_TYPES = {"2.23.133.10.1.3", "2.23.133.10.1.4"}
_RSA, _ECC, _NULL = 0x0001, 0x0023, 0x0010
# Schemes with an algorithm of their own behind them, a hash (TPM 2.0 Library part 2, 11.2).
_PLAIN_SCHEMES = {_NULL, 0x0015}
_COUNTED_SCHEME = 0x001A
_CURVES = {
    0x0001: "1.2.840.10045.3.1.1",
    0x0002: "1.3.132.0.33",
    0x0003: "1.2.840.10045.3.1.7",
    0x0004: "1.3.132.0.34",
    0x0005: "1.3.132.0.35",
    0x0020: "1.2.156.10197.1.301",
}
_DEFAULT_EXPONENT = 65_537


def read_tpm_key(data: bytes) -> list[Found]:
    """Return the entry of the key, and one of its public half; MalformedKeyError if it is none."""
    try:
        fields = der.expect(data, der.read_whole(data), der.OBJECT_IDENTIFIER)
        if der.dotted(data, fields[0]) not in _KEY_TYPES:
            return []
        plain = [field for field in fields if not field.tag & 0x80]
        parent, area, _wrapped = plain[1:4]
        location = f"tpm2:parent=0x{der.integer(data, parent) & 0xFFFFFFFF:08x}"
        spki = _public_half(der.content(data, area))
    except (der.DerError, ValueError):
        raise MalformedKeyError("malformed-private-key") from None
    facts = key_facts(spki) if spki else KeyFacts()
    key = external_key(facts, location, "tpm2-key")
    return [key, public_key(spki)] if spki else [key]


class _Area:
    """A TPM2B_PUBLIC, read field by field."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def number(self, size: int = 2) -> int:
        taken = self._data[self._position : self._position + size]
        if len(taken) != size:
            raise der.DerError("truncated")
        self._position += size
        return int.from_bytes(taken, "big")

    def string(self) -> bytes:
        size = self.number()
        return self.number(size).to_bytes(size, "big")


def _public_half(data: bytes) -> bytes:
    """Return the SPKI of a TPM2B_PUBLIC; nothing for a kind of key that is not known."""
    area = _Area(data)
    area.number()
    kind, _name_hash, _attributes = area.number(), area.number(), area.number(4)
    area.string()  # the policy
    if kind not in {_RSA, _ECC}:
        return b""
    if area.number() != _NULL:  # a parent's symmetric algorithm: with key size and mode
        area.number(4)
    _skip_scheme(area)
    if kind == _RSA:
        area.number()  # key size in bits
        exponent = area.number(4) or _DEFAULT_EXPONENT
        return rsa_spki_from_numbers(int.from_bytes(area.string(), "big"), exponent)
    curve = _CURVES.get(area.number())
    if area.number() != _NULL:  # key derivation
        area.number()
    x, y = area.string(), area.string()
    if curve is None:
        return b""
    size = max(len(x), len(y))
    return ec_spki(der.encode_oid(curve), b"\4" + x.rjust(size, b"\0") + y.rjust(size, b"\0"))


def _skip_scheme(area: _Area) -> None:
    scheme = area.number()
    if scheme not in _PLAIN_SCHEMES:
        area.number()  # the hash
    if scheme == _COUNTED_SCHEME:
        area.number()
