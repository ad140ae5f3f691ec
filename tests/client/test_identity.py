"""Files and servers become fingerprints here; everything else goes to the collector as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from fakes.pki import NOW, issue, new_key, spki_of

from keycensus_client.errors import UsageError
from keycensus_client.identity import FILE_BYTES, Identity, of_file, of_server, resolve
from keycensus_collector.catalogue.key_id import key_id

LEAF, ROOT = issue("leaf"), issue("root", is_ca=True)
KEY = new_key()
SHA256 = hashlib.sha256(LEAF.der).hexdigest()


def csr() -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(KEY, hashes.SHA256())


def crl() -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder().issuer_name(ROOT.certificate.subject)
    return builder.last_update(NOW).next_update(NOW).sign(ROOT.key, hashes.SHA256())


def private(encoding: Encoding, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return KEY.private_bytes(encoding, PrivateFormat.PKCS8, encryption)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


FILES: dict[str, tuple[Callable[[], bytes], Identity]] = {
    "certificate": (lambda: LEAF.pem, Identity(SHA256, "certificate")),
    "chain-with-text": (lambda: b"hi\n" + LEAF.pem + ROOT.pem, Identity(SHA256, "certificate")),
    "key-before-it": (
        lambda: private(Encoding.PEM) + LEAF.pem,
        Identity(SHA256, "certificate"),
    ),
    "trusted": (
        lambda: LEAF.pem.replace(b"CERTIFICATE", b"TRUSTED CERTIFICATE"),
        Identity(SHA256, "certificate"),
    ),
    "certificate-der": (lambda: LEAF.der, Identity(SHA256)),
    "key": (lambda: private(Encoding.PEM), Identity(key_id(spki_of(KEY)).hex(), "key")),
    "key-der": (lambda: private(Encoding.DER), Identity(key_id(spki_of(KEY)).hex(), "key")),
    "public": (
        lambda: KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        Identity(key_id(spki_of(KEY)).hex(), "key"),
    ),
    "crl": (
        lambda: crl().public_bytes(Encoding.PEM),
        Identity("", "revocation-list"),
    ),
    "csr": (lambda: csr().public_bytes(Encoding.PEM), Identity("", "request")),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_named_by_what_it_holds(tmp_path: Path, name: str) -> None:
    content, expected = FILES[name]
    path = tmp_path / "file.pem"
    path.write_bytes(content())
    found = resolve(str(path))
    assert found.kind == expected.kind
    assert found.id == expected.id or (not expected.id and len(found.id) == 64)


def test_an_rsa_key_has_the_collectors_identity(tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    path = tmp_path / "rsa.key"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    )
    assert of_file(path) == Identity(key_id(spki_of(key)).hex(), "key")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        b"-----BEGIN X509 CRL-----\n*\n-----END X509 CRL-----\n",
        b"-----BEGIN NOTHING-----\nAAAA\n-----END NOTHING-----\n",
        private(Encoding.PEM, b"secret"),
    ],
    ids=["empty", "text", "bad-request", "bad-list", "other", "encrypted"],
)
def test_a_file_that_helps_nobody_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.pem"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="holds no certificate"):
        of_file(path)


def test_files_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        resolve(str(tmp_path / "a\x1bb"))
    big = tmp_path / "big.pem"
    with big.open("wb") as file:
        file.truncate(FILE_BYTES + 1)
    with pytest.raises(UsageError, match="over 8 MiB"):
        of_file(big)


@pytest.mark.parametrize("text", ["web1", "0a:1f", "aa:bb:cc:dd", "A" * 64, "123456", "web.pem"])
def test_other_ids_go_to_the_collector_as_they_are(text: str) -> None:
    assert resolve(text) == Identity(text)


def test_servers_that_do_not_answer_are_named() -> None:
    for text in ("localhost:1", "[::1]:1"):
        with pytest.raises(UsageError, match="can't be reached"):
            resolve(text)
    for host, port in (("localhost", 99_999), ("a" * 70, 443)):
        with pytest.raises(UsageError, match="can't be reached"):
            of_server(host, port)
