"""OpenSSH's own private-key format: the public half stands in the clear, also when encrypted.

Parser side: pure, on hostile bytes; the private part is not looked at. Sources: PROTOCOL.key and
PROTOCOL.u2f of OpenSSH, RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4.
"""

from __future__ import annotations

from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Found, opaque_key, private_key, security_key
from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.public_key import dsa_spki, ec_spki, raw_spki, rsa_spki_from_numbers

_MAGIC = b"openssh-key-v1\0"
# More keys than any file has: ssh-keygen writes one.
_KEYS_LIMIT = 64
_CURVES = {
    b"nistp256": "1.2.840.10045.3.1.7",
    b"nistp384": "1.3.132.0.34",
    b"nistp521": "1.3.132.0.35",
}
_RAW = {b"ssh-ed25519": "1.3.101.112", b"ssh-ed448": "1.3.101.113"}
_SECURITY_KEYS = {
    b"sk-ssh-ed25519@openssh.com": ("ed25519", ""),
    b"sk-ecdsa-sha2-nistp256@openssh.com": ("ec", "secp256r1"),
}


class _Wire:
    """Strings and numbers as SSH writes them (RFC 4251, 5)."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def number(self) -> int:
        return int.from_bytes(self._take(4), "big")

    def string(self) -> bytes:
        return self._take(self.number())

    def big_integer(self) -> int:
        return int.from_bytes(self.string(), "big")

    def _take(self, size: int) -> bytes:
        taken = self._data[self._position : self._position + size]
        if len(taken) != size:
            raise MalformedKeyError("malformed-private-key")
        self._position += size
        return taken


def read_openssh_key(data: bytes) -> list[Found]:
    """Return an entry for each key of the file; MalformedKeyError if it is none."""
    if not data.startswith(_MAGIC):
        raise MalformedKeyError("malformed-private-key")
    wire = _Wire(data[len(_MAGIC) :])
    cipher, _derivation, _options = wire.string(), wire.string(), wire.string()
    count = wire.number()
    if not 0 < count <= _KEYS_LIMIT:
        raise MalformedKeyError("malformed-private-key")
    keys = [wire.string() for _ in range(count)]
    # The private part must be there, or this is no private key.
    wire.string()
    return [_entry(key, encrypted=cipher != b"none") for key in keys]


def _entry(blob: bytes, *, encrypted: bool) -> Found:
    wire = _Wire(blob)
    kind = wire.string()
    if kind in _SECURITY_KEYS:
        return security_key(*_SECURITY_KEYS[kind])
    spki = _spki(kind, wire)
    if spki is None:
        return opaque_key(kind.decode("ascii", "replace")[:64])
    return private_key(spki, encrypted=encrypted)


def _spki(kind: bytes, wire: _Wire) -> bytes | None:
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
        return ec_spki(der.encode_oid(curve), wire.string()) if curve else None
    return None
