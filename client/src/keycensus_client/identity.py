"""What people give as an ID that the collector can't know: a file here, or a server that answers.

Both become a fingerprint before anything is asked. A private key is read only to name its public half;
nothing of it is sent.
"""

from __future__ import annotations

import hashlib
import re
import socket
import ssl
from pathlib import Path
from typing import NamedTuple

from keycensus_client.errors import UsageError
from keycensus_client.text import safe_text

FILE_BYTES = 8 * 1024 * 1024
_SECONDS = 10.0
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})")
# A serial or fingerprint of two octets: "0a:1f". Hosts of two letters with such a port are rare.
_TWO_OCTETS = re.compile(r"[0-9A-Fa-f]{2}:[0-9A-Fa-f]{2}")
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)


class Identity(NamedTuple):
    """An ID for the collector; `kind` is empty if any kind may be meant."""

    id: str
    kind: str = ""


def resolve(text: str) -> Identity:
    """Return what to ask the collector for; UsageError if a file or server does not help."""
    path = Path(text)
    if "/" in text or (path.suffix and path.is_file()):
        return of_file(path)
    match = _HOST_PORT.fullmatch(text)
    if match and not _TWO_OCTETS.fullmatch(text):
        return of_server(match[1].strip("[]"), int(match[2]))
    return Identity(text)


def of_file(path: Path) -> Identity:
    """Return the identity of the first certificate, key, request or list in a file, PEM or DER."""
    shown = safe_text(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{shown}: {error.strerror}") from None
    if len(data) > FILE_BYTES:
        raise UsageError(f"{shown} is over {FILE_BYTES >> 20} MiB: give its fingerprint instead")
    identity = _of_pem(data) if b"-----BEGIN " in data else _of_der(data)
    if identity is None:
        raise UsageError(
            f"{shown} holds no certificate, key without password, request or revocation list in"
            " PEM or DER: give a fingerprint instead"
        )
    return identity


def _of_pem(data: bytes) -> Identity | None:
    """Take the first certificate of a file, or if there is none the first of anything else."""
    import base64

    blocks: dict[str, bytes] = {}
    for found in _BLOCK.finditer(data):
        blocks.setdefault(found[1].decode(), found[0])
    for label in ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"):
        if label in blocks:
            body = _BLOCK.fullmatch(blocks[label])
            der = base64.b64decode(body[2]) if body else b""
            return _certificate(der)
    for label, block in blocks.items():
        if label.endswith("PRIVATE KEY") or label == "PUBLIC KEY":
            return _key(block, pem=True)
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        if "X509 CRL" in blocks:
            crl = x509.load_pem_x509_crl(blocks["X509 CRL"])
            return Identity(_sha256(crl.public_bytes(Encoding.DER)), "revocation-list")
        request = blocks.get("CERTIFICATE REQUEST") or blocks.get("NEW CERTIFICATE REQUEST")
        if request is not None:
            der = x509.load_pem_x509_csr(request).public_bytes(Encoding.DER)
            return Identity(_sha256(der), "request")
    except ValueError:
        return None
    return None


def _certificate(der: bytes) -> Identity:
    """Name a certificate by its own bytes: what OpenSSL adds behind a trusted one is cut off."""
    if len(der) > 4 and der[0] == 0x30 and der[1] & 0x80:
        octets = der[1] & 0x7F
        der = der[: 2 + octets + int.from_bytes(der[2 : 2 + octets], "big")]
    return Identity(_sha256(der), "certificate")


def _of_der(data: bytes) -> Identity | None:
    if data[:1] != b"\x30":
        return None
    # Certificates, requests and lists go by the hash of all bytes; a key by its public half.
    return _key(data, pem=False) or Identity(_sha256(data))


def _key(data: bytes, *, pem: bool) -> Identity | None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    load_private = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    load_public = serialization.load_pem_public_key if pem else serialization.load_der_public_key
    for private in (True, False):
        try:
            key = load_private(data, None).public_key() if private else load_public(data)
            spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        except Exception:  # noqa: BLE001, S112 - encrypted, another form, or not known to the library
            continue
        return Identity(_sha256(spki), "key")
    return None


def of_server(host: str, port: int) -> Identity:
    """Return the identity of the certificate that a TLS server presents for its name."""
    context = ssl.create_default_context()
    # Whatever it presents is looked up, trusted or not; nothing is sent over this connection.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    where = f"{safe_text(host)}:{port}"
    try:
        with (
            socket.create_connection((host, port), _SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=host) as tls,
        ):
            der = tls.getpeercert(binary_form=True)
    except ssl.SSLError as error:
        raise UsageError(f"{where} does not speak TLS: {error.reason or error}") from None
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{where} can't be reached: {reason}") from None
    if der is None:
        raise UsageError(f"{where} presents no certificate")
    return Identity(_sha256(der), "certificate")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
