from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES, PASSWORD
from fixtures.store_writer import key_database, record

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import ibm_kdb

STORE = (FILES / "key.kdb").read_bytes()
CERTIFICATE = (FILES / "certificate.cer").read_bytes()
REQUEST = (FILES / "request.p10").read_bytes()
CRL = (FILES / "authority-der.crl").read_bytes()
SEALED = (FILES / "encrypted.p8").read_bytes()


def read(data: bytes, *passwords: str) -> FormatResult:
    return ibm_kdb.parse(data, Request(Hint(b"x.kdb"), passwords))


def kinds(result: FormatResult) -> list[tuple[str, str]]:
    return [(item.entry.kind.value, item.entry.member.decode()) for item in result.found]


def wrapped(tag: int, *parts: bytes) -> bytes:
    return record("a", der.encode(0xA0 + tag, *parts), 1)


def pair(*parts: bytes) -> bytes:
    return der.encode(der.SEQUENCE, *parts)


def test_certificates_and_labels_need_no_password_and_keys_do() -> None:
    assert ibm_kdb.recognise(STORE, Hint()) is Confidence.SURE
    listed = [("certificate", "Größe"), ("sealed-key", "Größe"), ("certificate", "Fixture Root")]
    assert kinds(read(STORE)) == kinds(read(STORE, "wrong")) == listed
    assert (read(STORE).status, read(STORE).reason) == (Status.READ, "")
    assert kinds(read(STORE, PASSWORD))[1] == ("private-key", "Größe")


@pytest.mark.parametrize("data", [STORE[:14], STORE[1:], STORE[:8] + b"X509ABC" + STORE[15:]])
def test_a_magic_number_alone_is_no_store(data: bytes) -> None:
    assert ibm_kdb.recognise(data, Hint()) is Confidence.NO


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (wrapped(1, CERTIFICATE), ["certificate"]),
        (wrapped(0, pair(REQUEST, SEALED)), ["csr", "sealed-key"]),
        (wrapped(1, CRL), ["crl"]),
        (wrapped(3, SEALED), []),
        (wrapped(2, pair(pair(pair(pair(pair(pair(CERTIFICATE))))))), []),
        (wrapped(2, pair(b"\2\1\1", pair(CERTIFICATE))), ["certificate"]),
    ],
)
@pytest.mark.parametrize("version", [4, 6])
def test_every_kind_of_record_is_told(content: bytes, expected: list[str], version: int) -> None:
    result = read(key_database(content, password="p", version=version))
    assert [kind for kind, _ in kinds(result)] == expected
    assert result.status is Status.READ


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (bytes(8) + b"\x7f" * 100, "malformed-record"),
        (wrapped(1, b"\x30\5"), "malformed-record"),
        (wrapped(2, pair(b"\x30\0", b"\4\1x")), "malformed-sealed-key"),
    ],
)
def test_a_damaged_record_does_not_cost_the_others(broken: bytes, reason: str) -> None:
    good = wrapped(1, CERTIFICATE)
    result = read(key_database(good, broken.ljust(5000, b"\0"), good, password="p"))
    assert (result.status, result.reason) == (Status.PARTIAL, reason)
    assert [item.public for item in result.found] == [CERTIFICATE] * 2


def test_a_database_that_breaks_off_shows_what_is_there() -> None:
    result = read(STORE[:-100])
    assert (result.status, result.reason) == (Status.PARTIAL, "truncated")
    assert len(result.found) == 3
    assert read(STORE[:20]).status is Status.MALFORMED


@pytest.mark.parametrize("odd", [b"7H\x09\2" + STORE[4:], STORE[:16] + bytes(4) + STORE[20:]])
def test_of_another_version_the_whole_certificates_are_shown_and_the_rest_is_locked(
    odd: bytes,
) -> None:
    result = read(odd)
    assert (result.status, result.reason) == (Status.LOCKED, "unsupported-keystore")
    assert [kind for kind, _ in kinds(result)] == ["certificate"] * 2 + ["sealed-container"]
