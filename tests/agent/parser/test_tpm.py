from __future__ import annotations

import base64

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.parser import der
from keycensus_agent.parser.private_key import MalformedKeyError
from keycensus_agent.parser.tpm import read_tpm_key


def _key(name: str) -> bytes:
    return base64.b64decode((FILES / name).read_bytes().split(b"-----")[2])


def _with_area(area: bytes, kind: str = "2.23.133.10.1.3") -> bytes:
    parts = (
        der.encode_oid(kind),
        der.encode(0xA0, der.encode(der.BOOLEAN, b"\xff")),
        der.encode_integer(0x40000001),
        der.encode(der.OCTET_STRING, len(area).to_bytes(2, "big") + area),
        der.encode(der.OCTET_STRING, b"wrapped"),
    )
    return der.encode(der.SEQUENCE, *parts)


@pytest.mark.parametrize(("name", "algorithm"), [("tpm.pem", "ec"), ("tpm-rsa.pem", "rsa")])
def test_the_key_is_external_and_its_public_half_is_told(name: str, algorithm: str) -> None:
    key, public = read_tpm_key(_key(name))
    assert (key.entry.kind, key.entry.algorithm) == ("external-key", algorithm)
    assert key.entry.location == "tpm2:parent=0x40000001"
    assert (public.entry.kind, public.entry.algorithm) == ("public-key", algorithm)


def test_sealed_data_is_no_key() -> None:
    assert read_tpm_key(_with_area(b"", "2.23.133.10.1.5")) == []


@pytest.mark.parametrize(
    "area",
    [
        # A keyed hash; and curves that nobody here knows, with a scheme and a key derivation.
        bytes.fromhex("0008000b000000000000"),
        bytes.fromhex("0023000b0000000000000010001a000b000000100010000101000101"),
        bytes.fromhex("0023000b000000000000000600800043001000100020000b00010100010100"),
    ],
)
def test_what_is_not_known_is_external_without_a_public_half(area: bytes) -> None:
    (key,) = read_tpm_key(_with_area(area))
    assert (key.entry.kind, key.entry.algorithm) == ("external-key", "")


@pytest.mark.parametrize("data", [b"", b"\x30\x00", _with_area(b"\0\1"), _with_area(b"")[:-4]])
def test_damage_is_told(data: bytes) -> None:
    with pytest.raises(MalformedKeyError):
        read_tpm_key(data)
