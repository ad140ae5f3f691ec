"""The collector's own certificate: who it is to agents and to people's browsers and tools.

Issued by the authority, kept beside its key in the state directory, and issued anew when a third
of its life is left, when the names or the authority have changed, or when a file is damaged.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from keycensus_collector.authority.authority import Authority, issue_server_certificate
from keycensus_collector.authority.peer import UNREADABLE
from keycensus_collector.errors import AuthorityError
from keycensus_collector.files import write_private

KEY_FILE = "key.pem"
CHAIN_FILE = "chain.pem"
# The collector's own agent, and commands on the same machine, reach it by these.
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, repr=False)
class ServerIdentity:
    """Key and certificates as PEM; the chain ends with the anchor, whose pin agents compare."""

    key_pem: bytes
    chain_pem: bytes
    certificate: x509.Certificate


def ensure(
    directory: Path, authority: Authority, names: Sequence[str], now: datetime
) -> ServerIdentity:
    """Return the identity in `directory`, issuing one if there is none that is still good.

    Raises AuthorityError if a new one can't be issued or written.
    """
    wanted = tuple(dict.fromkeys((*names, *LOCAL_NAMES)))
    identity = _load(directory)
    if identity is not None and _is_good(identity.certificate, authority, wanted, now):
        return identity
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = issue_server_certificate(authority, key.public_key(), names=wanted, now=now)
    identity = ServerIdentity(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        b"".join(each.public_bytes(Encoding.PEM) for each in (certificate, *authority.chain)),
        certificate,
    )
    try:
        write_private(directory / KEY_FILE, identity.key_pem)
        write_private(directory / CHAIN_FILE, identity.chain_pem)
    except OSError as error:
        raise AuthorityError(
            f"the server's certificate can't be written to {directory}: {error.strerror}"
        ) from error
    return identity


def _load(directory: Path) -> ServerIdentity | None:
    """Return what is in the files if they belong together; a damaged pair is made anew."""
    try:
        key_pem = (directory / KEY_FILE).read_bytes()
        chain_pem = (directory / CHAIN_FILE).read_bytes()
        certificate = x509.load_pem_x509_certificate(chain_pem)
        key = load_pem_private_key(key_pem, None)
        if key.public_key() != certificate.public_key():
            return None
    except (OSError, *UNREADABLE):
        return None
    return ServerIdentity(key_pem, chain_pem, certificate)


def _is_good(
    certificate: x509.Certificate, authority: Authority, names: tuple[str, ...], now: datetime
) -> bool:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not start <= now < end - (end - start) / 3:
        return False
    try:
        certificate.verify_directly_issued_by(authority.chain[0])
        stated = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (*UNREADABLE, InvalidSignature, x509.ExtensionNotFound):
        return False
    return {str(name.value) for name in stated} == {_normal(name) for name in names}


def _normal(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name
