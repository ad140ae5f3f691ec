from __future__ import annotations

import pytest
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.model import Status
from keycensus_agent.parser.derivation import IterationBudget, Pkcs12Derivation
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import bks

STORES = [(FILES / name).read_bytes() for name in ("keystore.bks", "keystore-v1.bks")]
CERTIFICATE = (FILES / "certificate.cer").read_bytes()
KEY = (FILES / "pkcs8.der").read_bytes()
PUBLIC = (FILES / "public.der").read_bytes()


def read(data: bytes, *passwords: str) -> FormatResult:
    return bks.parse(data, Request(Hint(b"x.bks"), passwords))


def kinds(result: FormatResult) -> list[tuple[str, str]]:
    return [(item.entry.kind.value, item.entry.member.decode()) for item in result.found]


def counted(value: bytes, size: int = 4) -> bytes:
    return len(value).to_bytes(size, "big") + value


def x509() -> bytes:
    return counted(b"X.509", 2) + counted(CERTIFICATE)


def store(*entries: bytes, version: int = 2, iterations: int = 1024) -> bytes:
    head = version.to_bytes(4, "big") + counted(bytes(20)) + iterations.to_bytes(4, "big")
    return head + b"".join(entries) + b"\0" + bytes(20)


def entry(kind: int, content: bytes, chain: int = 0) -> bytes:
    head = bytes([kind]) + counted(b"a", 2) + bytes(8) + chain.to_bytes(4, "big")
    return head + x509() * chain + content


def sealed(plain: bytes) -> bytes:
    """Do what Bouncy Castle does, under the password "p"."""
    derive = Pkcs12Derivation(b"\0p\0\0", b"salt", 1, IterationBudget())
    encryptor = Cipher(TripleDES(derive(1, 24)), modes.CBC(derive(2, 8))).encryptor()
    padding = 8 - len(plain) % 8
    body = encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()
    return counted(b"salt") + b"\0\0\0\1" + body


def key(kind: int, data: bytes) -> bytes:
    return bytes([kind]) + counted(b"PKCS#8", 2) + counted(b"EC", 2) + counted(data)


@pytest.mark.parametrize("data", STORES)
def test_it_lists_all_but_secret_keys_without_its_password_and_opens_with_it(data: bytes) -> None:
    listed = [
        ("certificate", "trusted"),
        ("sealed-key", "server"),
        ("certificate", "server"),
        ("certificate", "server"),
    ]
    assert bks.recognise(data, Hint()) is Confidence.SURE
    assert sorted(kinds(read(data))) == sorted(listed)
    assert (read(data).status, read(data).reason) == (Status.READ, "")
    assert read(data, "wrong").reason == "integrity-unverified"
    opened = read(data, "wrong", PASSWORD)
    assert ("private-key", "server") in kinds(opened)
    assert opened.reason == ""


@pytest.mark.parametrize(
    ("data", "confidence"),
    [
        (store(), Confidence.SURE),
        (store() + b"more", Confidence.NO),
        (store(entry(1, x509())), Confidence.SURE),
        (store(entry(9, x509())), Confidence.NO),
        (store(b"\1" + counted(bytes(2000), 2) + bytes(8)), Confidence.NO),
        (store(b"\1\0\1a" + b"\x7f" * 8), Confidence.NO),
        (store(version=3), Confidence.NO),
        (store(iterations=0), Confidence.NO),
        (bytes(8), Confidence.NO),
        (b"\0\0\0\2" + counted(bytes(20)), Confidence.NO),
    ],
)
def test_numbers_that_can_not_be_true_are_no_store(data: bytes, confidence: Confidence) -> None:
    assert bks.recognise(data, Hint()) is confidence


def test_keys_that_stand_in_the_clear_are_found_without_a_password() -> None:
    result = read(
        store(entry(2, key(0, KEY), chain=1), entry(2, key(1, PUBLIC)), entry(2, key(2, b"aes")))
    )
    assert kinds(result) == [("private-key", "a"), ("certificate", "a"), ("public-key", "a")]
    assert not result.found[0].entry.encrypted


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (entry(2, key(0, b"none"), chain=1), "malformed-private-key"),
        (entry(7, b""), "unknown-entry"),
        (b"\1\0\1a", "malformed-certificate"),
    ],
)
def test_a_broken_entry_does_not_cost_the_others(content: bytes, reason: str) -> None:
    result = read(store(entry(1, x509()), content, entry(1, x509())))
    assert (result.status, result.reason) == (Status.PARTIAL, reason)
    assert {item.public for item in result.found} == {CERTIFICATE}
    assert len(result.found) >= 2


@pytest.mark.parametrize(
    ("kind", "protected", "reason"),
    [
        (3, b"\x30\x00", "unknown-encryption"),
        (3, (FILES / "encrypted.p8").read_bytes(), "password-needed"),
        (4, b"\0\0\0\x09", "malformed-sealed-key"),
        (4, counted(b"salt") + b"\x7f\xff\xff\xff" + bytes(16), "limit-iterations"),
        (4, counted(b"salt") + b"\0\0\0\1" + bytes(16), "password-needed"),
        (4, sealed(b"\0\0\x09"), "password-needed"),
        (4, sealed(key(0, b"none")), "malformed-private-key"),
    ],
)
def test_keys_that_stay_sealed_say_why(kind: int, protected: bytes, reason: str) -> None:
    result = read(store(entry(kind, counted(protected), chain=1)), "p")
    assert [item.entry.kind.value for item in result.found] == ["sealed-key", "certificate"]
    assert result.found[0].entry.reason == reason


def test_a_protected_key_opens_as_in_pkcs8() -> None:
    sealed = (FILES / "encrypted.p8").read_bytes()
    result = read(store(entry(3, counted(sealed), chain=1)), PASSWORD)
    assert result.found[0].entry.kind.value == "private-key"


def test_a_store_cut_or_lengthened_says_so() -> None:
    assert read(STORES[0][:-5]).reason == "truncated"
    assert read(store(version=3)).found == ()
    assert read(store(iterations=7_000_000), "p").reason == "integrity-unverified"
