"""Revocation lists for tests, by small authorities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from fakes.pki import NOW, Issued

Reason = x509.ReasonFlags


def entry(
    issued: Issued | int,
    *,
    at: datetime = NOW,
    reason: Reason | None = None,
    extensions: Iterable[x509.ExtensionType] = (),
    critical: bool = False,
) -> x509.RevokedCertificate:
    """Return an entry of a list; of an Issued, its serial number."""
    serial = issued if isinstance(issued, int) else issued.certificate.serial_number
    builder = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(at)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    for each in extensions:
        builder = builder.add_extension(each, critical=critical)
    return builder.build()


def revocation_list(
    authority: Issued,
    *entries: x509.RevokedCertificate,
    number: int | None = 1,
    days: float = 7,
    now: datetime = NOW,
    base: int | None = None,
    signer: Issued | None = None,
    scope: Mapping[str, object] | None = None,
    extensions: Iterable[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """Return a list in DER under the authority's name, signed by `signer` if it is another key.

    `scope`: members of the issuing distribution point that are not the usual ones.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(now)
        .next_update(now + timedelta(days=days))
    )
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if base is not None:
        builder = builder.add_extension(x509.DeltaCRLIndicator(base), critical=True)
    if scope is not None:
        members: dict[str, object] = {
            "full_name": None,
            "relative_name": None,
            "only_contains_user_certs": False,
            "only_contains_ca_certs": False,
            "only_some_reasons": None,
            "indirect_crl": False,
            "only_contains_attribute_certs": False,
        }
        point = x509.IssuingDistributionPoint(**(members | dict(scope)))  # type: ignore[arg-type]
        builder = builder.add_extension(point, critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    for each in entries:
        builder = builder.add_revoked_certificate(each)
    signed = builder.sign((signer or authority).key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)
