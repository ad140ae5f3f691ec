"""An authority whose key is a file in the state directory: our own CA, or the company's.

The key file is for the collector's user alone. A company's CA may be a root or an intermediate; it
comes with every certificate above it, because agents and people's tools need the root as anchor.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from keycensus_collector.authority.authority import AUTHORITY_LIFETIME, BACKDATED, spki
from keycensus_collector.authority.peer import UNREADABLE
from keycensus_collector.errors import AuthorityError
from keycensus_collector.files import write_private

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)
_SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

KEY_FILE = "key.pem"
CHAIN_FILE = "chain.pem"
_RSA_LEAST_BITS = 2048
# A file of certificates longer than this is not a CA's.
_FILE_LIMIT = 1024 * 1024


class LocalAuthority:
    """Signs with a key that this process holds. Nothing of the key shows in `repr`."""

    def __init__(self, key: _SigningKey, chain: tuple[x509.Certificate, ...]) -> None:
        self._key = key
        self._chain = chain

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The signing certificate first, then its issuers; the trust anchor last."""
        return self._chain

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Sign what a profile has built."""
        return builder.sign(self._key, _digest_for(self._key))

    def save(self, directory: Path) -> None:
        """Write key and chain into `directory`, each mode 0600; AuthorityError if it can't be."""
        key = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = b"".join(certificate.public_bytes(Encoding.PEM) for certificate in self._chain)
        try:
            write_private(directory / CHAIN_FILE, chain)
            write_private(directory / KEY_FILE, key)
        except OSError as error:
            raise AuthorityError(
                f"the authority's files can't be written to {directory}: {error.strerror}"
            ) from error


def create_own(deployment: str, now: datetime) -> LocalAuthority:
    """Make a new CA for a deployment: EC P-256, ten years, issues no further CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"keycensus {deployment} CA"[:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_authority_key_usage(), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return LocalAuthority(key, (certificate,))


def load(directory: Path, now: datetime) -> LocalAuthority:
    """Load the authority that `save` wrote; AuthorityError names the file and what to do."""
    return adopt(directory / CHAIN_FILE, directory / KEY_FILE, None, now)


def adopt(
    certificate_file: Path, key_file: Path, passphrase: bytes | None, now: datetime
) -> LocalAuthority:
    """Take a CA from PEM files, after checking that it can do what is asked of it.

    `certificate_file` holds the CA's certificate first and, if that is no root, its issuers up to
    the root. `passphrase` opens an encrypted key. Raises AuthorityError.
    """
    certificates = _read_certificates(certificate_file)
    key = _read_key(key_file, passphrase)
    own = certificates[0]
    if key.public_key() != own.public_key():
        raise AuthorityError(f"the key in {key_file} is not that of {certificate_file}")
    chain = _chain(certificates, certificate_file)
    for certificate in chain:
        _check_authority(certificate, certificate_file, now)
    return LocalAuthority(key, chain)


def _digest_for(key: _SigningKey) -> hashes.SHA256 | hashes.SHA384:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.key_size > 256:
        return hashes.SHA384()
    return hashes.SHA256()


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise AuthorityError(f"{file} can't be read: {error.strerror}") from None
    if len(data) > _FILE_LIMIT:
        raise AuthorityError(f"{file} is too big for a CA's certificates or key")
    return data


def _read_certificates(file: Path) -> list[x509.Certificate]:
    try:
        certificates = x509.load_pem_x509_certificates(_read(file))
        for certificate in certificates:
            spki(certificate)
    except UNREADABLE:
        raise AuthorityError(
            f"{file} holds no certificate that can be read; give the CA's certificate as PEM"
        ) from None
    return certificates


def _read_key(file: Path, passphrase: bytes | None) -> _SigningKey:
    data = _read(file)
    try:
        key = load_pem_private_key(data, passphrase)
    except TypeError:
        if passphrase is None:
            text = f"the key in {file} is encrypted; name a file with its passphrase"
            raise AuthorityError(f"{text}: --ca-passphrase-file FILE") from None
        return _read_key(file, None)  # a passphrase for a key that needs none
    except (ValueError, UnsupportedAlgorithm):
        raise AuthorityError(
            f"{file} holds no private key that can be read, or the passphrase is wrong; give the "
            "CA's key as PEM"
        ) from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= _RSA_LEAST_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in (
        "secp256r1",
        "secp384r1",
        "secp521r1",
    ):
        return key
    raise AuthorityError(
        f"the key in {file} can't be used; a CA key is RSA of {_RSA_LEAST_BITS} bits or more, or "
        "EC on P-256, P-384 or P-521"
    )


def _chain(certificates: list[x509.Certificate], file: Path) -> tuple[x509.Certificate, ...]:
    """Order a CA's certificate and those above it, up to a root."""
    chain = [certificates[0]]
    while not _issued(chain[-1], chain[-1]):
        above = next(
            (each for each in certificates if each not in chain and _issued(chain[-1], each)), None
        )
        if above is None:
            raise AuthorityError(
                f"{file}: the issuer of {chain[-1].subject.rfc4514_string()} is missing; append "
                "the certificates above the CA, up to the root, to this file"
            )
        chain.append(above)
    return tuple(chain)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*UNREADABLE, InvalidSignature):
        return False
    return True


def _check_authority(certificate: x509.Certificate, file: Path, now: datetime) -> None:
    name = f"{file}: {certificate.subject.rfc4514_string()}"
    if now >= certificate.not_valid_after_utc:
        end = certificate.not_valid_after_utc
        raise AuthorityError(f"{name} expired on {end:%Y-%m-%d}; give one that is valid")
    if now < certificate.not_valid_before_utc:
        start = certificate.not_valid_before_utc
        raise AuthorityError(
            f"{name} is not valid before {start:%Y-%m-%d %H:%M} UTC; check the clock"
        )
    try:
        extensions = certificate.extensions
    except UNREADABLE:
        raise AuthorityError(f"{name} has extensions that can't be read") from None
    constraints = _value(extensions, x509.BasicConstraints)
    if constraints is None or not constraints.ca:
        raise AuthorityError(f"{name} is no CA certificate (basic constraints lack CA:TRUE)")
    usage = _value(extensions, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        raise AuthorityError(f"{name} may not sign certificates (key usage lacks keyCertSign)")
    purposes = _value(extensions, x509.ExtendedKeyUsage)
    needed = {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    if (
        purposes is not None
        and not needed <= set(purposes)
        and ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE not in purposes
    ):
        raise AuthorityError(
            f"{name} may not issue for both clients and servers (extended key usage lacks "
            "clientAuth or serverAuth)"
        )


def _value(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _authority_key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
