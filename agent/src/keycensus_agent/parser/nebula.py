"""Private keys of Nebula, the overlay network: bare numbers in armour whose label says what they are.

Parser side: computing on hostile bytes that are secret. Source: cert/pem.go of Nebula (labels), RFC 8032.
"""

from __future__ import annotations

from keycensus_agent.parser.findings import Found, private_key
from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.raw_keys import ec_public_half, raw_public_half

# Curve, and how many bytes the private key has; that of an authority has its public half behind the seed.
_CURVES = {
    b"NEBULA X25519 PRIVATE KEY": ("x25519", 32),
    b"NEBULA ED25519 PRIVATE KEY": ("ed25519", 64),
    b"NEBULA P256 PRIVATE KEY": ("secp256r1", 32),
    b"NEBULA ECDSA P256 PRIVATE KEY": ("secp256r1", 32),
}
LABELS = frozenset(_CURVES)
# Argon2 and AES-GCM, which are not tried.
SEALED_LABELS = frozenset(
    {b"NEBULA ED25519 ENCRYPTED PRIVATE KEY", b"NEBULA ECDSA P256 ENCRYPTED PRIVATE KEY"}
)


def read_nebula_key(label: bytes, data: bytes) -> Found:
    """Return the entry of the key in a block with one of `LABELS`; MalformedKeyError if it is none."""
    curve, size = _CURVES[label]
    if len(data) != size:
        raise MalformedKeyError("malformed-private-key")
    if curve == "secp256r1":
        return private_key(ec_public_half(curve, data), label)
    spki = raw_public_half(curve, data[:32])
    if not spki.endswith(data[32:]):
        raise MalformedKeyError("malformed-private-key")
    return private_key(spki, label)
