from __future__ import annotations

import hashlib

import pytest
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import jks

KEYSTORE = (FILES / "keystore.jks").read_bytes()
CERTIFICATE = (FILES / "certificate.cer").read_bytes()
PROTECTOR = "1.3.6.1.4.1.42.2.17.1.1"


def read(data: bytes, *passwords: str) -> FormatResult:
    return jks.parse(data, Request(Hint(b"x.jks"), passwords))


def number(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "big")


def store(*entries: bytes, version: int = 2, count: int | None = None) -> bytes:
    head = b"\xfe\xed\xfe\xed" + number(version) + number(len(entries) if count is None else count)
    return head + b"".join(entries) + bytes(20)


def trusted(alias: bytes, data: bytes = CERTIFICATE, *, kind: bytes = b"\0\x05X.509") -> bytes:
    return number(2) + number(len(alias), 2) + alias + bytes(8) + kind + number(len(data)) + data


def private(protected: bytes) -> bytes:
    return number(1) + b"\0\1k" + bytes(8) + number(len(protected)) + protected + number(0)


def protect(plain: bytes, password: str) -> bytes:
    """Do what KeyProtector does, written down a second time."""
    secret = password.encode("utf-16-be")
    salt = digest = bytes(range(20))
    stream = b""
    while len(stream) < len(plain):
        digest = hashlib.sha1(secret + digest).digest()  # noqa: S324 - the format's hash
        stream += digest
    masked = bytes(a ^ b for a, b in zip(plain, stream, strict=False))
    check = hashlib.sha1(secret + plain).digest()  # noqa: S324 - the format's hash
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(PROTECTOR), b"\x05\0")
    return der.encode(der.SEQUENCE, algorithm, der.encode(4, salt + masked + check))


def test_it_is_told_by_its_magic() -> None:
    assert jks.recognise(KEYSTORE, Hint()) is Confidence.SURE
    assert jks.recognise(b"\xce\xce\xce\xce", Hint()) is Confidence.NO
    assert jks.recognise(b"\xca\xfe\xba\xbe", Hint()) is Confidence.NO


def test_the_right_password_opens_keys_and_verifies_the_store() -> None:
    assert read(KEYSTORE, "wrong", PASSWORD).reason == ""
    wrong = read(KEYSTORE, "wrong")
    assert (wrong.status, wrong.reason) == (Status.READ, "integrity-unverified")
    assert wrong.found[0].entry.kind.value == "sealed-key"


def test_the_first_version_has_no_certificate_type() -> None:
    result = read(store(trusted(b"a", kind=b""), version=1))
    assert [item.public for item in result.found] == [CERTIFICATE]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (store(version=3), "unknown-version"),
        (store(number(4) + b"\0\0" + bytes(8)), "unknown-entry"),
        (store(number(3) + b"\0\0" + bytes(8)), "malformed-secret-key"),
        (store(count=2**32 - 1), "unknown-entry"),
        (store() + b"more", "truncated"),
        (b"\xfe\xed\xfe\xed", "truncated"),
    ],
)
def test_a_broken_store_says_how(data: bytes, reason: str) -> None:
    assert (read(data).status, read(data).reason) == (Status.MALFORMED, reason)


def test_what_stands_before_the_break_is_kept() -> None:
    result = read(store(trusted(b"a"), trusted(b"b"))[:-30])
    assert [item.entry.member for item in result.found] == [b"a"]
    assert (result.status, result.reason) == (Status.PARTIAL, "truncated")


@pytest.mark.parametrize(
    ("alias", "member"),
    [
        (b"plain", "plain"),
        ("größe".encode(), "größe"),
        (b"\xed\xa0\xbd\xed\xb8\x80", "\U0001f600"),
        (b"a\xc0\x80b", "a\0b"),
    ],
)
def test_aliases_in_modified_utf8_become_utf8(alias: bytes, member: str) -> None:
    (found,) = read(store(trusted(alias))).found
    assert found.entry.member.decode() == member


@pytest.mark.parametrize("alias", [b"\xff", b"\xed\xa0\xbd"])
def test_aliases_that_are_no_text_stay_as_they_are(alias: bytes) -> None:
    assert read(store(trusted(alias))).found[0].entry.member == alias


@pytest.mark.parametrize(
    ("protected", "reason"),
    [
        (b"nothing", "malformed-sealed-key"),
        (
            der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, der.encode_oid("1.2.3")), b"\x04\1x"),
            "unknown-encryption",
        ),
        (protect(b"no key at all", PASSWORD), "malformed-private-key"),
        (protect(b"", "other"), "password-needed"),
    ],
)
def test_a_key_that_can_not_be_opened_stays_sealed_with_the_reason(
    protected: bytes, reason: str
) -> None:
    (found,) = read(store(private(protected)), PASSWORD).found
    assert (found.entry.kind.value, found.entry.reason) == ("sealed-key", reason)


def test_a_key_with_a_password_of_its_own_is_opened() -> None:
    key = (FILES / "pkcs8.der").read_bytes()
    (found,) = read(store(private(protect(key, "ключ"))), "store", "ключ").found
    assert found.entry.kind.value == "private-key"
    assert found.entry.encrypted
