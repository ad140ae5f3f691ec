from __future__ import annotations

import pytest
from agent.parser.test_hash_database import database, page
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import nss_legacy

CERTIFICATES = (FILES / "cert8.db").read_bytes()
KEYS = (FILES / "key3.db").read_bytes()


def read(data: bytes) -> FormatResult:
    return nss_legacy.parse(data, Request())


def seen(result: FormatResult) -> list[tuple[str, str]]:
    return sorted((item.entry.kind.value, item.entry.member.decode()) for item in result.found)


def made(name: bytes, value: bytes, mark: bytes) -> bytes:
    """Return a database of one record, and the mark that tells which kind of database it is."""
    end = 512 - len(mark)
    at = end - len(name)
    return database(page(2, at, at - len(value), body=value + name + mark))[:512] + page(
        4, 512 - len(mark), 512 - len(mark), at, at - len(value), body=value + name + mark
    )


def test_certificates_and_sealed_keys_have_their_nicknames() -> None:
    assert nss_legacy.recognise(CERTIFICATES, Hint()) is Confidence.SURE
    assert nss_legacy.recognise(KEYS, Hint()) is Confidence.SURE
    names = [name for kind, name in seen(read(CERTIFICATES)) if kind == "certificate"]
    assert names == ["Fixture Root - Example", "rsa", "server"]
    assert seen(read(KEYS)) == [("sealed-key", "rsa"), ("sealed-key", "server")]
    assert read(KEYS).status is read(CERTIFICATES).status is Status.READ


def test_other_hash_databases_and_other_bytes_are_not_ours() -> None:
    assert nss_legacy.recognise(database(), Hint()) is Confidence.NO
    assert nss_legacy.recognise(b"text", Hint()) is Confidence.NO


@pytest.mark.parametrize(
    ("name", "value", "mark"),
    [
        (b"\1x", b"\x09\1\0", b"\0Version\0"),
        (b"\1x", b"\x08\2\0", b"\0Version\0"),
        (b"\1x", b"\x08\1\0" + bytes(6) + b"\0\x20\0\0", b"\0Version\0"),
        (b"k", b"\2", b"global-salt"),
        (b"k", b"\3\0\0\x30", b"global-salt"),
    ],
)
def test_a_broken_record_is_told(name: bytes, value: bytes, mark: bytes) -> None:
    result = read(made(name, value, mark))
    assert (result.status, result.reason) == (Status.MALFORMED, "malformed-nss")


def test_revocation_lists_are_read_and_other_records_are_not() -> None:
    crl = (FILES / "authority-der.crl").read_bytes()
    value = b"\x08\5\0" + len(crl).to_bytes(2, "big") + b"\0\0" + crl
    assert seen(read(made(b"\5x", value, b"\0Version\0"))) == [("crl", "")]
    assert seen(read(made(b"\2x", b"\x08\2\0", b"\0Version\0"))) == []
