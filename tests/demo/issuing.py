"""A small certificate authority for sample hosts and tests: a root, an intermediate, leaves.

Not the collector's authority, and no model for one: keys stay in memory, nothing is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SampleKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def ec_key() -> ec.EllipticCurvePrivateKey:
    """Return a new P-256 key: the quickest to make that people really use."""
    return ec.generate_private_key(ec.SECP256R1())


def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return a new RSA key of `bits`."""
    return rsa.generate_private_key(65537, bits)


def certificate_pem(*certificates: x509.Certificate) -> bytes:
    """Return the certificates as one PEM file, in order."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def key_pem(key: SampleKey) -> bytes:
    """Return the key as unencrypted PKCS#8 in PEM, as certbot writes it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class Issuer:
    """A certificate with its key: what signs."""

    certificate: x509.Certificate
    key: SampleKey


@dataclass(frozen=True, slots=True)
class SampleAuthority:
    """A root and the intermediate that signs the leaves."""

    root: Issuer
    intermediate: Issuer

    def issue(
        self,
        names: list[str],
        key: SampleKey,
        *,
        not_before: datetime,
        not_after: datetime,
    ) -> x509.Certificate:
        """Sign a server certificate for `names`; the first one is its common name."""
        builder = _builder(names[0], key, self.intermediate.certificate.subject)
        builder = builder.not_valid_before(not_before).not_valid_after(not_after)
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
        builder = builder.add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        builder = builder.add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False
        )
        return builder.sign(self.intermediate.key, SHA256())


def make_authority(name: str, now: datetime) -> SampleAuthority:
    """Return a new authority: a root for 15 years and an intermediate for 5, both begun already."""
    root_key, intermediate_key = ec_key(), ec_key()
    root = _authority_certificate(
        f"{name} Root", root_key, None, not_before=now - timedelta(days=1900), years=15
    )
    intermediate = _authority_certificate(
        f"{name} R1",
        intermediate_key,
        Issuer(root, root_key),
        not_before=now - timedelta(days=700),
        years=5,
    )
    return SampleAuthority(Issuer(root, root_key), Issuer(intermediate, intermediate_key))


def _authority_certificate(
    name: str, key: SampleKey, issuer: Issuer | None, *, not_before: datetime, years: int
) -> x509.Certificate:
    subject = _name(name)
    builder = _builder(name, key, issuer.certificate.subject if issuer else subject)
    builder = builder.not_valid_before(not_before)
    builder = builder.not_valid_after(not_before + timedelta(days=365 * years))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(issuer.key if issuer else key, SHA256())


def _builder(name: str, key: SampleKey, issuer: x509.Name) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(_name(name)).issuer_name(issuer)
    return builder.public_key(key.public_key()).serial_number(x509.random_serial_number())


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example Ltd"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
