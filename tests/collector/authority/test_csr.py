from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from fakes.joining import request_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keycensus_collector.authority.csr import requested_key, verify
from keycensus_collector.errors import Refusal

P256 = ec.generate_private_key(ec.SECP256R1())
RSA_2048 = rsa.generate_private_key(65537, 2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()
REQUEST = request_of(P256)
# Where it stands how many bits of the signature's last byte are not part of it: a reader may pass
# over what is said there, and no key or signature changes by it.
UNUSED_BITS = len(REQUEST) - len(x509.load_der_x509_csr(REQUEST).signature) - 1


@pytest.mark.parametrize(
    "key",
    [P256, ec.generate_private_key(ec.SECP384R1()), ED25519, RSA_2048],
    ids=["p-256", "p-384", "ed25519", "rsa-2048"],
)
def test_the_public_key_is_taken(key: CertificateIssuerPrivateKeyTypes) -> None:
    assert requested_key(request_of(key)).public_key == key.public_key()


@pytest.mark.parametrize(
    "key",
    [
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - what must be refused
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate(),
        dsa.generate_private_key(1024),  # noqa: S505 - DSA of any length is refused
    ],
    ids=["rsa-1024", "p-521", "secp256k1", "ed448", "dsa"],
)
def test_other_keys_are_refused(key: CertificateIssuerPrivateKeyTypes) -> None:
    with pytest.raises(Refusal) as raised:
        requested_key(request_of(key))
    assert raised.value.reason == "weak-key"


def test_a_request_signed_by_another_key_is_refused() -> None:
    other = request_of(ec.generate_private_key(ec.SECP256R1()))
    forged = REQUEST[:-60] + other[-60:]
    with pytest.raises(Refusal) as raised:
        requested_key(forged)
    assert raised.value.reason == "malformed"


@pytest.mark.parametrize("request_bytes", [b"", b"\x30\x00", REQUEST[:-1], b"\x30" * 20_000])
def test_what_is_no_request_is_refused(request_bytes: bytes) -> None:
    with pytest.raises(Refusal) as raised:
        requested_key(request_bytes)
    assert raised.value.reason == "malformed"


@settings(max_examples=300, deadline=None)
@given(st.integers(0, len(REQUEST) - 1), st.integers(1, 255))
def test_a_changed_byte_never_passes_or_crashes(position: int, change: int) -> None:
    assume(position != UNUSED_BITS)
    changed = bytearray(REQUEST)
    changed[position] ^= change
    with pytest.raises(Refusal):
        requested_key(bytes(changed))


def test_extensions_that_a_request_asks_for_are_not_even_read() -> None:
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "root")]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(P256, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )
    assert requested_key(request).public_key == P256.public_key()


def test_signatures_verify_by_the_keys_own_scheme() -> None:
    message = b"message"
    signatures = (
        (P256.public_key(), P256.sign(message, ec.ECDSA(hashes.SHA256()))),
        (RSA_2048.public_key(), RSA_2048.sign(message, padding.PKCS1v15(), hashes.SHA256())),
        (ED25519.public_key(), ED25519.sign(message)),
    )
    for public_key, signature in signatures:
        assert verify(public_key, signature, message)
        assert not verify(public_key, signature, b"other")
        assert not verify(public_key, b"", message)
    assert not verify(object(), b"", message)
