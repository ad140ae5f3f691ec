from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import openpgp
from keycensus_agent.parser.store_magic import openpgp_body
from keycensus_agent.parser.triage import HEAD_BYTES, Triage, triage

RING = (FILES / "secring.gpg").read_bytes()
ARMOUR = (FILES / "openpgp.asc").read_bytes()
SUBKEYS = (FILES / "openpgp-subkeys.asc").read_bytes()
PLAIN, SEALED = b"Plain <plain@example.com>", b"Sealed <sealed@example.com>"
KEYS = [
    ("ed25519", False, PLAIN),
    ("x25519", False, PLAIN),
    ("rsa", True, SEALED),
]


def read(data: bytes) -> FormatResult:
    return openpgp.parse(data, Request())


def told(result: FormatResult) -> list[tuple[str, bool, bytes]]:
    entries = [item.entry for item in result.found]
    return [(entry.algorithm, entry.encrypted, entry.member) for entry in entries]


def packets(data: bytes) -> list[tuple[int, bytes]]:
    position, found = 0, []
    while position < len(data):
        tag, start, size = openpgp_body(data, position)
        position = start + size
        found.append((tag, data[start:position]))
    return found


def packet(tag: int, body: bytes) -> bytes:
    return bytes((0xC0 | tag, 0xFF)) + len(body).to_bytes(4, "big") + body


def number(value: int) -> bytes:
    bits = value.bit_length()
    return bits.to_bytes(2, "big") + value.to_bytes((bits + 7) // 8, "big")


def secret_key(
    algorithm: int, public: bytes, secret: bytes = b"\0\1\1\0\2", *, version: int = 4
) -> bytes:
    """Return a packet: a key whose private numbers are `secret`, with how they are protected before."""
    validity = bytes(2) if version == 3 else b""
    counted = len(public).to_bytes(4, "big") if version > 4 else b""
    head = bytes((version,)) + bytes(4) + validity + bytes((algorithm,)) + counted
    return packet(5, head + public + secret)


NUMBERS = number((1 << 600) + 1)
RSA = number((1 << 1023) + 1) + number(65537)
CARD = b"\xff\0\x65\0GNU\2\4abcd"


def test_keys_have_their_owner_and_tell_whether_they_are_encrypted() -> None:
    assert openpgp.recognise(RING, Hint()) is Confidence.SURE
    assert triage(RING[:HEAD_BYTES], len(RING)) is Triage.CANDIDATE
    result = read(RING)
    assert told(result) == KEYS
    assert {item.entry.kind.value for item in result.found} == {"private-key"}
    assert result.status is Status.READ


def test_armour_holds_the_same_keys() -> None:
    bare, armoured = parse(RING, Hint()), parse(ARMOUR, Hint(b"a.asc"))
    assert (bare.format, armoured.format) == ("openpgp", "pem")
    assert (armoured.entries, armoured.status) == (bare.entries, Status.READ)


def test_the_identity_is_that_of_the_public_key_that_belongs_to_the_private_one() -> None:
    """Computed from the private numbers that gpg left in the clear."""
    first, second = [body for tag, body in packets(RING) if tag in {5, 7}][:2]
    seed, scalar = first[-34:-2], second[-34:-2][::-1]
    expected = (
        ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key(),
        x25519.X25519PrivateKey.from_private_bytes(scalar).public_key(),
    )
    assert [item.entry.artifact for item in read(RING).found[:2]] == [
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
        for key in expected
    ]


def test_a_key_whose_private_half_is_elsewhere_is_none() -> None:
    parsed = parse(SUBKEYS, Hint(b"a.asc"))
    assert [(entry.algorithm, entry.member) for entry in parsed.entries] == [("x25519", PLAIN)]
    assert parsed.status is Status.READ


def test_a_checksum_and_headers_of_armour_are_no_key_material() -> None:
    head, blank, rest = ARMOUR.partition(b"\n\n")
    assert parse(
        head + b"\nVersion: GnuPG v1\nComment: a\n" + blank[1:] + rest, Hint()
    ).entries == (parse(ARMOUR, Hint()).entries)
    body = base64.encodebytes(RING)
    bare = (
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n" + body + b"-----END PGP PRIVATE KEY BLOCK-----"
    )
    assert parse(bare, Hint()).entries == parse(ARMOUR, Hint()).entries


POINT = ec.derive_private_key(7, ec.SECP256R1()).public_key()
P_256 = bytes.fromhex("2a8648ce3d030107")
ON_P_256 = (
    bytes((8,))
    + P_256
    + number(
        int.from_bytes(POINT.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint), "big")
    )
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (secret_key(19, ON_P_256), ("private-key", "ec", "secp256r1", "", False)),
        (secret_key(18, ON_P_256 + b"\3\1\x08\7"), ("private-key", "ec", "secp256r1", "", False)),
        (secret_key(1, RSA, version=3), ("private-key", "rsa", "", "", False)),
        (secret_key(17, NUMBERS * 4), ("private-key", "dsa", "", "", False)),
        (secret_key(16, NUMBERS * 3), ("opaque-key", "elgamal", "", "no-public-half", False)),
        (secret_key(27, bytes(32), b"\0" + bytes(32), version=6), ("private-key", "ed25519", "", "", False)),
        (secret_key(25, bytes(32), b"\xfd\x1d\x09\2\4\4\x08" + bytes(40), version=6), ("private-key", "x25519", "", "", True)),
        (secret_key(26, bytes(56), b"\0" + bytes(56), version=6), ("private-key", "x448", "", "", False)),
        (secret_key(28, bytes(57), b"\xfe\x09\3\x08" + bytes(40), version=5), ("private-key", "ed448", "", "", True)),
        (secret_key(22, b"\x03\x2b\x65\x71" + number(1 << 440)), ("private-key", "ed448", "", "", False)),
        (secret_key(22, b"\x03\x2b\x65\x71" + number(1 << 470)), ("opaque-key", "ec", "", "no-public-half", False)),
        (secret_key(19, b"\x03\x2b\x65\x01" + number(1 << 249)), ("opaque-key", "ec", "", "no-public-half", False)),
        (secret_key(30, bytes(40)), ("opaque-key", "openpgp-30", "", "unknown-algorithm", False)),
        (secret_key(30, bytes(40), version=6), ("opaque-key", "openpgp-30", "", "unknown-algorithm", False)),
        (secret_key(1, RSA, CARD), ("external-key", "rsa", "", "smart-card", False)),
        (secret_key(1, RSA, CARD.replace(b"GNU", b"XXX")), ("private-key", "rsa", "", "", True)),
        (secret_key(1, RSA, b"\x09" + bytes(30)), ("private-key", "rsa", "", "", True)),
    ],
)  # fmt: skip
def test_each_algorithm_and_version_is_read(
    data: bytes, expected: tuple[str, str, str, str, bool]
) -> None:
    result = read(data)
    (found,) = (item.entry for item in result.found)
    seen = (found.kind.value, found.algorithm, found.curve, found.reason, found.encrypted)
    assert (seen, result.status) == (expected, Status.READ)


@pytest.mark.parametrize(
    "damaged",
    [
        secret_key(1, RSA, b"\0\1\1\0\3"),
        secret_key(1, RSA, b"\0\1"),
        secret_key(1, b"\0\0" + RSA),
        secret_key(1, b"\4\0" + bytes(128) + RSA),
        secret_key(1, RSA, version=7),
        secret_key(19, b"\1\x80" + number(1 << 250)),
    ],
)
def test_a_damaged_key_is_none_and_costs_itself_only(damaged: bytes) -> None:
    result = read(RING + damaged + RING)
    assert told(result) == KEYS * 2
    assert (result.status, result.reason) == (Status.PARTIAL, "malformed-private-key")


@pytest.mark.parametrize("rest", [b"\x95\xff\xff\4", b"\x97\1\1\1", b"\x55" * 9, b"\xc5\xe0\1\1"])
def test_behind_a_packet_that_breaks_off_nothing_is_read(rest: bytes) -> None:
    result = read(RING + rest)
    assert (told(result), result.status, result.reason) == (KEYS, Status.PARTIAL, "truncated")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x95",
        b"\x95\x04\x12\xde" + bytes(20),
        b"\x95\1\0\4" + bytes(5),
        b"\xc5\x10\4" + bytes(4) + b"\1" + bytes(9),
        b"\x99" + RING[1:],
        packet(6, secret_key(1, RSA)[6:]),
        secret_key(1, RSA)[:9],
    ],
)
def test_other_bytes_are_no_secret_keys(data: bytes) -> None:
    assert openpgp.recognise(data, Hint()) is Confidence.NO
    assert triage(data, len(data)) is not Triage.CANDIDATE


def test_lengths_of_new_packets_are_read_in_each_form() -> None:
    body = secret_key(27, bytes(32), b"\0" + bytes(32), version=6)[6:]
    longer = secret_key(1, RSA, b"\x09" + bytes(200))[6:]
    for size, content in (
        (bytes((len(body),)), body),
        (bytes(((len(longer) - 192 >> 8) + 192, len(longer) - 192 & 0xFF)), longer),
    ):
        data = b"\xc5" + size + content
        assert openpgp.recognise(data, Hint()) is Confidence.SURE
        assert len(read(data).found) == 1


def test_what_starts_so_by_chance_is_nothing() -> None:
    chance = b"\x95\1\0\4" + bytes(4) + b"\1" + bytes(300)
    assert openpgp.recognise(chance, Hint()) is Confidence.SURE
    assert read(chance) == FormatResult("openpgp")


def test_damaged_armour_is_told_and_an_example_is_not() -> None:
    begin, end = (
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n",
        b"-----END PGP PRIVATE KEY BLOCK-----\n",
    )
    cut = begin + base64.encodebytes(RING[: len(RING) // 2]) + end
    parsed = parse(cut, Hint())
    assert (parsed.status, parsed.reason, len(parsed.entries)) == (Status.PARTIAL, "truncated", 2)
    other = parse(begin + base64.encodebytes(bytes(90)) + end, Hint())
    assert (other.status, other.reason) == (Status.MALFORMED, "truncated")
    assert parse(begin + b"lQOYBF...\n" + end, Hint()).status is Status.READ
