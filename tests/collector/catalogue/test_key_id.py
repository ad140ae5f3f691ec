"""The identity of a key does not depend on how its public half is written."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from keycensus_collector.catalogue import der
from keycensus_collector.catalogue.key_id import (
    CURVES,
    RSA_ENCRYPTION,
    RSASSA_PSS,
    canonical_spki,
    key_id,
)

_VECTORS = Path(__file__).parents[2] / "contract" / "key_id_vectors.json"
_CURVES = [
    ec.SECP224R1(),
    ec.SECP256R1(),
    ec.SECP384R1(),
    ec.SECP521R1(),
    ec.SECP256K1(),
    ec.BrainpoolP256R1(),
    ec.BrainpoolP384R1(),
    ec.BrainpoolP512R1(),
]


def compressed_spki(spki: bytes, point: bytes) -> bytes:
    algorithm = der.read_whole(spki, der.SEQUENCE).first_child().encoded
    return der.encode(der.SEQUENCE, algorithm + der.encode(der.BIT_STRING, b"\0" + point))


@pytest.mark.parametrize("curve", _CURVES, ids=lambda curve: curve.name)
def test_a_compressed_point_is_the_same_key(curve: ec.EllipticCurve) -> None:
    for _ in range(8):  # both signs of y, and both kinds of square roots
        key = ec.generate_private_key(curve).public_key()
        spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        assert canonical_spki(compressed_spki(spki, point)) == canonical_spki(spki) == spki


def test_every_curve_of_the_table_is_known_by_its_library_name() -> None:
    assert {curve.name for curve in _CURVES} <= {curve.name for curve in CURVES.values()} | {
        f"brainpoolP{bits}r1" for bits in (256, 384, 512)
    }


def test_an_rsa_key_is_one_key_whether_marked_for_pss_or_without_null() -> None:
    key = rsa.generate_private_key(65537, 2048).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    bits = list(der.read_whole(spki, der.SEQUENCE).children())[1].encoded
    for identifier in (RSA_ENCRYPTION, RSASSA_PSS):
        algorithm = der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, identifier))
        assert canonical_spki(der.encode(der.SEQUENCE, algorithm + bits)) == spki


def test_everything_else_is_its_own_identity() -> None:
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    for data in (spki, b"", b"no key", spki + b"x", b"\x30\x04\x30\x00\x03\x00"):
        assert canonical_spki(data) == data
        assert key_id(data) == hashlib.sha256(data).digest()


def test_a_point_that_is_on_no_curve_stays_as_it_is() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    too_big = compressed_spki(spki, b"\x02" + b"\xff" * 32)
    no_root = compressed_spki(spki, b"\x02" + bytes(31) + b"\x01")
    assert canonical_spki(too_big) == too_big
    assert len(canonical_spki(no_root)) in {len(no_root), len(spki)}


def test_the_conformance_vectors_hold() -> None:
    vectors = json.loads(_VECTORS.read_text())
    for vector in vectors if isinstance(vectors, list) else vectors["vectors"]:
        assert key_id(bytes.fromhex(vector["spki"])).hex() == vector["key_id"], vector
