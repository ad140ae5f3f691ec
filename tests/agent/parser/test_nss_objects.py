from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)
from fixtures.build_fixtures import FILES

from keycensus_agent.parser import der
from keycensus_agent.parser.database import Row
from keycensus_agent.parser.nss_objects import private_object, public_object

CERTIFICATE = (FILES / "certificate.cer").read_bytes()
EMPTY = b"\xa5\0\x5a"
P256 = der.encode_oid("1.2.840.10045.3.1.7")
POINT = b"\x04" + bytes(range(64))


def ulong(value: int) -> bytes:
    return value.to_bytes(4, "big")


def private(kind: int, **columns: bytes) -> Row:
    return {"a0": ulong(3), "a3": b"nick", "a100": ulong(kind), **columns}


def seen(row: Row) -> tuple[str, str, str]:
    found = private_object(row, encrypted=True)
    assert found is not None
    entry = found.entry
    assert entry.member == b"nick"
    return entry.kind.value, entry.algorithm, entry.reason


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"a0": ulong(1), "a11": CERTIFICATE, "a3": EMPTY}, "certificate"),
        ({"a0": ulong(0xCE534351), "a11": (FILES / "authority-der.crl").read_bytes()}, "crl"),
        ({"a0": ulong(1), "a11": EMPTY}, ""),
        ({"a0": ulong(2), "a11": CERTIFICATE}, ""),
        ({"a0": b"\1", "a11": CERTIFICATE}, ""),
        ({}, ""),
    ],
)
def test_certificates_and_crls_are_told_from_other_objects(row: Row, kind: str) -> None:
    found = public_object(row)
    assert (found.entry.kind.value if found else "") == kind
    assert found is None or found.entry.member == b""


def test_secret_keys_are_no_finding() -> None:
    assert private_object({"a0": ulong(4), "a100": ulong(0x1F)}, encrypted=True) is None


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (private(0, a120=b"\xc1" * 256, a122=b"\1\0\1"), ("private-key", "rsa", "")),
        (private(0, a120=b"\xc1" * 256), ("opaque-key", "rsa", "no-public-half")),
        (
            private(1, a130=b"\x0b", a131=b"\5", a132=b"\4", ad5a0db00=b"\3"),
            ("private-key", "dsa", ""),
        ),
        (private(1, a130=b"\x0b", ad5a0db00=b"\3"), ("opaque-key", "dsa", "no-public-half")),
        (private(2), ("opaque-key", "dh", "no-public-half")),
        (private(3, a180=P256, ad5a0db00=POINT), ("private-key", "ec", "")),
        (private(3, a180=P256, ad5a0db00=b"\x04\x41" + POINT), ("private-key", "ec", "")),
        (private(3, a180=P256), ("opaque-key", "ec", "no-public-half")),
        (private(3, a180=b"\x06", ad5a0db00=POINT), ("opaque-key", "ec", "no-public-half")),
        (private(3, a180=EMPTY, ad5a0db00=POINT), ("opaque-key", "ec", "no-public-half")),
        (
            private(0x40, a180=der.encode_oid("1.3.101.112"), ad5a0db00=bytes(32)),
            ("private-key", "ed25519", ""),
        ),
        (private(3, a180=b"\x30\0", ad5a0db00=POINT), ("private-key", "ec", "")),
        (private(0x15), ("opaque-key", "", "unknown-algorithm")),
    ],
)
def test_a_private_key_is_known_by_what_is_stored_in_the_clear(
    row: Row, told: tuple[str, str, str]
) -> None:
    assert seen(row) == told


def test_the_identity_is_that_of_the_same_key_elsewhere() -> None:
    key = load_der_private_key((FILES / "pkcs8.der").read_bytes(), None)
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found = private_object(private(3, a180=P256, ad5a0db00=point), encrypted=False)
    assert found is not None
    assert found.public == spki
    assert not found.entry.encrypted
