"""The certificate authority: what signs, and the named profiles that say what it signs.

Only this package holds the authority's key. Everything in a certificate comes from its profile;
of what a stranger asks for, only the public key counts. A hardware-held key later is another
`Authority`.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keycensus_collector.authority.peer import agent_uri
from keycensus_collector.errors import AuthorityError

AgentPublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey

AGENT_LIFETIME = timedelta(days=30)
SERVER_LIFETIME = timedelta(days=90)
AUTHORITY_LIFETIME = timedelta(days=3652)
# Clocks of hosts differ: what is issued now was valid an hour ago.
BACKDATED = timedelta(hours=1)


class Authority(Protocol):
    """What can sign certificates."""

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The signing certificate first, then its issuers; the trust anchor last."""
        ...

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Sign what a profile has built; AuthorityError if the key can't be used."""
        ...


def anchor(authority: Authority) -> x509.Certificate:
    """Return the certificate that agents trust and tokens pin."""
    return authority.chain[-1]


def intermediates(authority: Authority) -> tuple[x509.Certificate, ...]:
    """Return what a certificate of ours needs beside it to reach the anchor."""
    return authority.chain[:-1]


def spki(certificate: x509.Certificate) -> bytes:
    """Return the DER SubjectPublicKeyInfo of a certificate."""
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def from_ms(milliseconds: int) -> datetime:
    """Return a time of the collector's clock for use in certificates (whole seconds)."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC)


def to_ms(moment: datetime) -> int:
    """Return milliseconds since the epoch."""
    return int(moment.timestamp() * 1000)


def issue_agent_certificate(
    authority: Authority,
    public_key: AgentPublicKey,
    *,
    deployment: str,
    agent_id: str,
    now: datetime,
) -> x509.Certificate:
    """Issue profile "agent": client authentication under the agent's URI, 30 days."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, agent_id)])
    builder = (
        _leaf(authority, public_key, name, now, AGENT_LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.UniformResourceIdentifier(agent_uri(deployment, agent_id))]
            ),
            critical=False,
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return authority.sign(builder)


def issue_server_certificate(
    authority: Authority,
    public_key: ec.EllipticCurvePublicKey,
    *,
    names: Sequence[str],
    now: datetime,
) -> x509.Certificate:
    """Issue profile "server": server authentication for DNS names and IP addresses, 90 days."""
    common_name = names[0] if len(names[0]) <= 64 else "keycensus-collector"
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    builder = (
        _leaf(authority, public_key, name, now, SERVER_LIFETIME)
        .add_extension(
            x509.SubjectAlternativeName([general_name(text) for text in names]), critical=False
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return authority.sign(builder)


def general_name(text: str) -> x509.GeneralName:
    """Return a DNS name or an IP address as a subject alternative name."""
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _leaf(
    authority: Authority,
    public_key: AgentPublicKey,
    subject: x509.Name,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    """Begin a certificate that can issue nothing (RFC 5280, sections 4.1 and 4.2)."""
    issuer = authority.chain[0]
    end = min(now + lifetime, *(above.not_valid_after_utc for above in authority.chain))
    if end <= now:
        raise AuthorityError(
            f"the authority's certificate has expired ({end:%Y-%m-%d}); make a new one and give "
            "it to: keycensus-collector init"
        )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject)
        .public_key(public_key)
        .serial_number(_serial())
        .not_valid_before(max(now - BACKDATED, issuer.not_valid_before_utc))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_leaf_key_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(authority_key_identifier(issuer), critical=False)
    )


def _serial() -> int:
    """Return 20 random bytes, positive and of full length (RFC 5280, section 4.1.2.2)."""
    return secrets.randbits(158) | 1 << 158


def _leaf_key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the issuer's key identifier as its own certificate states it, else computed."""
    try:
        stated = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except (ValueError, x509.ExtensionNotFound):
        key_digest = hashes.Hash(hashes.SHA1())  # noqa: S303 - an identifier (RFC 5280, 4.2.1.2)
        key_digest.update(spki(issuer))
        return x509.AuthorityKeyIdentifier(key_digest.finalize(), None, None)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(stated)
