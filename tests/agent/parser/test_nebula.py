from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fakes.text_formats import read
from fixtures.build_fixtures import FILES

from keycensus_agent.model import EntryKind
from keycensus_agent.parser.nebula import read_nebula_key
from keycensus_agent.parser.private_key import MalformedKeyError


@pytest.mark.parametrize(
    ("name", "algorithm"), [("nebula-host.key", "x25519"), ("nebula-authority.key", "ed25519")]
)
def test_a_key_that_its_tool_wrote_is_known_by_its_public_half(name: str, algorithm: str) -> None:
    (found,) = read("pem", (FILES / name).read_bytes()).found
    assert (found.entry.kind, found.entry.algorithm) == (EntryKind.PRIVATE_KEY, algorithm)
    assert found.entry.member == b"NEBULA %s PRIVATE KEY" % algorithm.upper().encode()


@pytest.mark.parametrize("label", [b"NEBULA P256 PRIVATE KEY", b"NEBULA ECDSA P256 PRIVATE KEY"])
def test_a_key_on_p256_is_its_scalar(label: bytes) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert read_nebula_key(label, scalar).public == public


def test_an_encrypted_key_is_a_sealed_one() -> None:
    body = base64.encodebytes(b"\x0a\x10" + bytes(range(120)))
    label = b"NEBULA ED25519 ENCRYPTED PRIVATE KEY"
    text = b"-----BEGIN %s-----\n%s-----END %s-----\n" % (label, body, label)
    (found,) = read("pem", text).found
    assert (found.entry.kind, found.entry.reason) == (EntryKind.SEALED_KEY, "unknown-encryption")


def test_a_wrong_length_and_a_public_half_of_another_are_no_key() -> None:
    seed = ed25519.Ed25519PrivateKey.generate().private_bytes_raw()
    for label, data in (
        (b"NEBULA X25519 PRIVATE KEY", bytes(31)),
        (b"NEBULA ED25519 PRIVATE KEY", seed),
        (b"NEBULA ED25519 PRIVATE KEY", seed + bytes(32)),
        (b"NEBULA P256 PRIVATE KEY", bytes(32)),
    ):
        with pytest.raises(MalformedKeyError):
            read_nebula_key(label, data)
