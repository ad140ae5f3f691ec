from __future__ import annotations

import sqlite3

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import nss

CERTIFICATES = (FILES / "cert9.db").read_bytes()
KEYS = (FILES / "key4.db").read_bytes()
OPEN_KEYS = (FILES / "key4-open.db").read_bytes()
CERTIFICATE = (FILES / "certificate.cer").read_bytes()


def read(data: bytes) -> FormatResult:
    return nss.parse(data, Request())


def kinds(result: FormatResult) -> set[tuple[str, str]]:
    return {(item.entry.kind.value, item.entry.member.decode()) for item in result.found}


def test_certificates_have_their_nicknames() -> None:
    assert nss.recognise(CERTIFICATES, Hint()) is Confidence.SURE
    result = read(CERTIFICATES)
    assert ("certificate", "server") in kinds(result)
    assert len(result.found) == 3
    assert (result.status, result.reason) == (Status.READ, "")


@pytest.mark.parametrize(("data", "encrypted"), [(KEYS, True), (OPEN_KEYS, False)])
def test_keys_are_known_without_the_master_password(data: bytes, *, encrypted: bool) -> None:
    assert nss.recognise(data, Hint()) is Confidence.SURE
    result = read(data)
    assert kinds(result) == {("private-key", "server"), ("private-key", "rsa")}
    assert {item.entry.encrypted for item in result.found} == {encrypted}


def test_keys_of_which_it_can_not_be_known_count_as_encrypted() -> None:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(OPEN_KEYS)
    connection.execute("DROP TABLE metaData")
    assert {item.entry.encrypted for item in read(connection.serialize()).found} == {True}


@pytest.mark.parametrize(
    "data", [b"", b"SQLite format 3\0" + bytes(5000), b"nssPublic" + bytes(100)]
)
def test_other_databases_are_not_ours(data: bytes) -> None:
    assert nss.recognise(data, Hint()) is Confidence.NO


def test_a_database_that_does_not_open_still_shows_its_whole_certificates() -> None:
    result = read(CERTIFICATES[:100] + b"\xff" * 50 + CERTIFICATES[150:])
    assert (result.status, result.reason) == (Status.PARTIAL, "malformed-database")
    assert CERTIFICATE in [item.public for item in result.found]
    assert read(b"SQLite format 3\0" + b"\xff" * 4000).status is Status.MALFORMED


def test_a_damaged_page_does_not_cost_the_others() -> None:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(CERTIFICATES)
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'nssPublic'")
    start = 4096 * (root[0] - 1)
    damaged = CERTIFICATES[:start] + b"\xff" * 16 + CERTIFICATES[start + 16 :]
    result = read(damaged)
    assert (result.status, result.reason) == (Status.PARTIAL, "malformed-database")
    assert CERTIFICATE in [item.public for item in result.found]
    assert len(result.found) == len({item.entry.artifact for item in result.found})


def test_where_sqlite_reads_nothing_from_memory_certificates_are_still_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sqlite3, "Connection", object)
    result = read(CERTIFICATES)
    assert (result.status, result.reason) == (Status.PARTIAL, "unsupported-sqlite")
    assert CERTIFICATE in [item.public for item in result.found]
