"""Public keys as SSH writes them, which OpenSSH, PuTTY and RFC 4716 share.

Parser side: pure, on hostile bytes. Sources: RFC 4251 5, RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4;
PROTOCOL.u2f and PROTOCOL.certkeys of OpenSSH.
"""

from __future__ import annotations

from typing import NamedTuple

from keycensus_agent.parser import der
from keycensus_agent.parser.public_key import dsa_spki, ec_spki, raw_spki, rsa_spki_from_numbers

_CERTIFICATE = b"-cert-v01@openssh.com"
_CURVES = {
    b"nistp256": "1.2.840.10045.3.1.7",
    b"nistp384": "1.3.132.0.34",
    b"nistp521": "1.3.132.0.35",
}
_RAW = {b"ssh-ed25519": "1.3.101.112", b"ssh-ed448": "1.3.101.113"}
# What a key in a FIDO token is without its token (the certificate's name has no second "@…").
_SECURITY_KEYS = {
    b"sk-ssh-ed25519": b"ssh-ed25519",
    b"sk-ecdsa-sha2-nistp256": b"ecdsa-sha2-nistp256",
}


class WireError(ValueError):
    """The bytes are not what SSH writes. Carries no byte of them."""


class Wire:
    """Strings and numbers as SSH writes them (RFC 4251, 5)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def number(self) -> int:
        """Return a uint32."""
        return int.from_bytes(self._take(4), "big")

    def string(self) -> bytes:
        """Return a string."""
        return self._take(self.number())

    def big_integer(self) -> int:
        """Return an mpint, read as unsigned."""
        return int.from_bytes(self.string(), "big")

    def _take(self, size: int) -> bytes:
        taken = self._data[self._position : self._position + size]
        if len(taken) != size:
            raise WireError("truncated")
        self._position += size
        return taken


class SshKey(NamedTuple):
    """A public key: its name, its SPKI (empty if its kind is not known), and what stands around it."""

    kind: bytes
    spki: bytes
    in_token: bool
    certified: bool


def read_public(blob: bytes) -> SshKey:
    """Return the key of a public-key blob; WireError if it is none."""
    wire = Wire(blob)
    kind = wire.string()
    base, certified = kind, kind.endswith(_CERTIFICATE)
    if certified:
        base = kind.removesuffix(_CERTIFICATE)
        wire.string()  # the nonce that stands before the key (PROTOCOL.certkeys)
    base = base.removesuffix(b"@openssh.com")
    in_token = base in _SECURITY_KEYS
    return SshKey(kind, _spki(_SECURITY_KEYS.get(base, base), wire), in_token, certified)


def _spki(kind: bytes, wire: Wire) -> bytes:
    if kind == b"ssh-rsa":
        exponent, modulus = wire.big_integer(), wire.big_integer()
        return rsa_spki_from_numbers(modulus, exponent)
    if kind == b"ssh-dss":
        p, q, g, y = (wire.big_integer() for _ in range(4))
        return dsa_spki(p, q, g, y)
    if kind in _RAW:
        return raw_spki(_RAW[kind], wire.string())
    if kind.startswith(b"ecdsa-sha2-"):
        curve = _CURVES.get(wire.string())
        return ec_spki(der.encode_oid(curve), wire.string()) if curve else b""
    return b""
