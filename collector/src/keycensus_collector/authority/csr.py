"""Certificate requests of agents: hostile bytes until their signature has verified.

Only the public key of a request counts; subject, extensions and attributes are not even read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from keycensus_collector.authority.authority import AgentPublicKey
from keycensus_collector.authority.peer import UNREADABLE
from keycensus_collector.errors import Refusal

# An RSA 8192 request is 2 KiB; more is not asked for in earnest.
_REQUEST_LIMIT = 16 * 1024
_RSA_BITS = range(2048, 8193)
_CURVES = frozenset({"secp256r1", "secp384r1"})


@dataclass(frozen=True, slots=True)
class RequestedKey:
    """A public key whose private half the asker holds."""

    public_key: AgentPublicKey
    spki: bytes


def requested_key(request: bytes) -> RequestedKey:
    """Return the public key of a PKCS#10 request in DER (RFC 2986).

    Raises Refusal "malformed" if it can't be read or is not signed with its own key, and
    "weak-key" for a key that is none of P-256, P-384, Ed25519, RSA of 2048 to 8192 bits.
    """
    if len(request) > _REQUEST_LIMIT:
        raise Refusal("malformed", f"the certificate request is longer than {_REQUEST_LIMIT} bytes")
    try:
        parsed = x509.load_der_x509_csr(request)
        public_key = parsed.public_key()
    except UNREADABLE:
        raise Refusal("malformed", "the certificate request can't be read") from None
    if not _is_strong(public_key):
        raise Refusal(
            "weak-key", "an agent's key is P-256, P-384, Ed25519, or RSA of 2048 to 8192 bits"
        )
    try:
        signed = parsed.is_signature_valid
    except UNREADABLE:
        signed = False
    if not signed:
        raise Refusal("malformed", "the certificate request is not signed with its own key")
    encoded = public_key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return RequestedKey(public_key, encoded)


def _is_strong(public_key: object) -> TypeGuard[AgentPublicKey]:
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return public_key.curve.name in _CURVES
    if isinstance(public_key, rsa.RSAPublicKey):
        return public_key.key_size in _RSA_BITS
    return isinstance(public_key, ed25519.Ed25519PublicKey)


def verify(public_key: object, signature: bytes, message: bytes) -> bool:
    """Say whether `signature` over `message` is that of an agent's key (protos/README.md, 4.3)."""
    try:
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            public_key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(public_key, rsa.RSAPublicKey):
            public_key.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(public_key, ed25519.Ed25519PublicKey):
            public_key.verify(signature, message)
        else:
            return False
    except InvalidSignature:
        return False
    return True
