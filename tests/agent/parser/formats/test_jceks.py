from __future__ import annotations

import pytest
from agent.parser.formats.test_jks import number, protect, trusted
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import jceks

STORE = (FILES / "secret.jceks").read_bytes()
KEY = (FILES / "pkcs8.der").read_bytes()


def read(data: bytes, *passwords: str) -> FormatResult:
    return jceks.parse(data, Request(Hint(b"x.jceks"), passwords))


def kinds(result: FormatResult) -> list[tuple[str, str]]:
    return [(item.entry.kind.value, item.entry.member.decode()) for item in result.found]


def store(*entries: bytes) -> bytes:
    return b"\xce\xce\xce\xce" + number(2) + number(len(entries)) + b"".join(entries) + bytes(20)


def private(protected: bytes) -> bytes:
    return number(1) + b"\0\1k" + bytes(8) + number(len(protected)) + protected + number(0)


def test_it_is_told_by_its_magic() -> None:
    assert jceks.recognise(STORE, Hint()) is Confidence.SURE
    assert jceks.recognise(b"\xfe\xed\xfe\xed", Hint()) is Confidence.NO


def test_a_secret_key_is_passed_over_and_costs_nothing_behind_it() -> None:
    result = read(STORE)
    assert (result.status, result.reason) == (Status.READ, "")
    assert kinds(result) == [
        ("certificate", "trusted"),
        ("sealed-key", "server"),
        ("certificate", "server"),
        ("certificate", "server"),
    ]


def test_the_right_password_opens_the_key_and_verifies_the_store() -> None:
    opened = read(STORE, "wrong", PASSWORD)
    assert kinds(opened)[1] == ("private-key", "server")
    assert opened.found[1].entry.encrypted
    assert opened.reason == ""
    assert read(STORE, "wrong").reason == "integrity-unverified"


def test_a_damaged_secret_key_costs_its_aliases_but_no_certificate() -> None:
    damaged = STORE.replace(b"\xac\xed\0\5sr", b"\xac\xed\0\5??")
    result = read(damaged)
    assert (result.status, result.reason) == (Status.PARTIAL, "malformed-secret-key")
    assert kinds(result) == [("certificate", name) for name in ("trusted", "", "")]


@pytest.mark.parametrize(
    ("protected", "password", "kind", "reason"),
    [
        (protect(KEY, PASSWORD), PASSWORD, "private-key", ""),
        (protect(KEY, PASSWORD), "other", "sealed-key", "password-needed"),
        (b"\x30\x00", PASSWORD, "sealed-key", "malformed-sealed-key"),
        (
            der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, der.encode_oid("1.2.3")), b"\x04\1x"),
            PASSWORD,
            "sealed-key",
            "unknown-encryption",
        ),
    ],
)
def test_keys_of_the_first_releases_are_opened_and_others_stay_sealed_with_the_reason(
    protected: bytes, password: str, kind: str, reason: str
) -> None:
    (found,) = read(store(private(protected), trusted(b"a"))[:-20] + bytes(20), password).found[:1]
    assert (found.entry.kind.value, found.entry.reason) == (kind, reason)
