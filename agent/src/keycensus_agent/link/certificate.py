"""The agent's own key and certificates: make, encode, and check what a collector issued.

Runs in the link. No input or output, and the time is passed in.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keycensus_agent.errors import LinkError

# A chain is leaf, intermediates, anchor; more is a mistake or an attack.
_CHAIN_LIMIT = 10
_FIELD_LENGTH_BYTES = 4


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return PKCS#8 in PEM, not encrypted: the identity directory's mode is its protection."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def key_from_pem(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the key; ValueError if it is not a P-256 key in PEM."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an elliptic-curve key")  # noqa: TRY004 - the content, not the type
    return key


def signing_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a PKCS#10 request, DER. Only its public key counts at the collector."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "keycensus-agent")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject)
    return request.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def chain_to_pem(chain: Sequence[bytes]) -> bytes:
    """Return DER certificates as PEM, in order; ValueError if one is no certificate."""
    return b"".join(
        x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM)
        for der in chain
    )


def chain_from_pem(pem: bytes) -> tuple[bytes, ...]:
    """Return the PEM certificates as DER, in order; ValueError if there is none."""
    certificates = x509.load_pem_x509_certificates(pem)
    return tuple(each.public_bytes(serialization.Encoding.DER) for each in certificates)


def spki_pin(der: bytes) -> bytes:
    """Return SHA-256 of the certificate's SubjectPublicKeyInfo as it stands in it."""
    certificate = x509.load_der_x509_certificate(der)
    public_key = certificate.public_key()
    return hashlib.sha256(
        public_key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).digest()


def find_pinned(chain: Sequence[bytes], pin: bytes) -> bytes | None:
    """Return the certificate of `chain` whose public key has the pin; None if none has."""
    for der in chain[:_CHAIN_LIMIT]:
        try:
            if spki_pin(der) == pin:
                return der
        except (ValueError, UnsupportedAlgorithm):
            continue
    return None


def validity(der: bytes) -> tuple[dt.datetime, dt.datetime]:
    """Return (not before, not after) of a DER certificate, in UTC."""
    certificate = x509.load_der_x509_certificate(der)
    return certificate.not_valid_before_utc, certificate.not_valid_after_utc


def agent_uri(deployment: str, agent_id: str) -> str:
    """Return the URI that names an agent in its certificate (protos/README.md, section 1)."""
    return f"keycensus://{deployment}/agent/{agent_id}"


def check_issued(
    chain: Sequence[bytes],
    anchors: Sequence[bytes],
    key: ec.EllipticCurvePrivateKey,
    uri: str,
) -> None:
    """Refuse (LinkError, "protocol") what a collector should not have issued to us.

    1. The chain parses, and its leaf is for our key. 2. The leaf is this agent's, for client
    authentication, and no CA. 3. Each certificate is issued by the next, the last by an anchor.
    The collector is already authenticated by TLS: this finds its mistakes before they are stored.
    """
    try:
        certificates = _load_chain(chain)
        _check_leaf(certificates[0], key, uri)
        _check_issuers(certificates, [x509.load_der_x509_certificate(der) for der in anchors])
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        detail = str(error) or "a signature that does not verify"
        raise LinkError(
            f"the collector issued a certificate that is not fit for this agent ({detail}); "
            "nothing was stored: look at the collector with `keycensus-collector doctor`",
            reason="protocol",
        ) from error


def _load_chain(chain: Sequence[bytes]) -> list[x509.Certificate]:
    if not 0 < len(chain) <= _CHAIN_LIMIT:
        raise ValueError(f"a chain of {len(chain)} certificates")
    return [x509.load_der_x509_certificate(der) for der in chain]


def _check_leaf(leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey, uri: str) -> None:
    if leaf.public_key() != key.public_key():
        raise ValueError("it is for another key")
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound as error:
        raise ValueError("it lacks its name or its usage") from error
    if names.get_values_for_type(x509.UniformResourceIdentifier) != [uri]:
        raise ValueError("it names another agent")
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("it is not for client authentication")
    if _is_authority(leaf):
        raise ValueError("it is an authority's")


def _check_issuers(chain: list[x509.Certificate], anchors: list[x509.Certificate]) -> None:
    for issued, issuer in itertools.pairwise(chain):
        if not _is_authority(issuer):
            raise ValueError("its issuer is no authority")
        issued.verify_directly_issued_by(issuer)
    last = chain[-1]
    for anchor in anchors:
        if last == anchor:
            return
        try:
            last.verify_directly_issued_by(anchor)
        except (ValueError, TypeError, InvalidSignature):
            continue
        return
    raise ValueError("no trust anchor issued it")


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def sign_recovery(
    key: ec.EllipticCurvePrivateKey, certificate: bytes, request: bytes, at_unix_ms: int
) -> bytes:
    """Return the proof of an expired certificate's key (protos/README.md, section 4.3)."""
    signed = (
        b"keycensus recover v1\0"
        + _field(hashlib.sha256(certificate).digest())
        + _field(hashlib.sha256(request).digest())
        + at_unix_ms.to_bytes(8, "big")
    )
    return key.sign(signed, ec.ECDSA(hashes.SHA256()))


def sign_rekey(
    key: ec.EllipticCurvePrivateKey,
    certificate: bytes,
    request: bytes,
    machine: tuple[bytes, bytes, bytes],
    at_unix_ms: int,
) -> bytes:
    """Return the proof of a shared identity's key (protos/README.md, section 4.4).

    `machine` is boot id, instance and encoded host facts, as in the hello.
    """
    boot_id, instance, host_facts = machine
    signed = (
        b"keycensus rekey v1\0"
        + _field(hashlib.sha256(certificate).digest())
        + _field(hashlib.sha256(request).digest())
        + _field(boot_id)
        + _field(instance)
        + _field(hashlib.sha256(host_facts).digest())
        + at_unix_ms.to_bytes(8, "big")
    )
    return key.sign(signed, ec.ECDSA(hashes.SHA256()))


def _field(value: bytes) -> bytes:
    return len(value).to_bytes(_FIELD_LENGTH_BYTES, "big") + value
