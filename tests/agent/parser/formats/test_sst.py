from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import sst

STORE = (FILES / "certificates.sst").read_bytes()
CERTIFICATE = (FILES / "certificate.cer").read_bytes()


def read(data: bytes) -> FormatResult:
    return sst.parse(data, Request())


def element(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(4, "little") + b"\1\0\0\0" + len(value).to_bytes(4, "little") + value


def test_certificates_have_their_friendly_names_and_crls_none() -> None:
    assert sst.recognise(STORE, Hint()) is Confidence.SURE
    result = read(STORE)
    seen = [(item.entry.kind.value, item.entry.member.decode()) for item in result.found]
    assert seen == [("certificate", "Größe"), ("crl", "")]
    assert result.found[0].public == CERTIFICATE
    assert result.status is Status.READ


@pytest.mark.parametrize("data", [b"\1" + STORE[1:], STORE[:8] + b"\0\0\1\0" + STORE[12:]])
def test_other_bytes_are_no_store(data: bytes) -> None:
    assert sst.recognise(data, Hint()) is Confidence.NO


def test_a_trust_list_keeps_its_name_to_itself() -> None:
    named = element(11, "n".encode("utf-16-le")) + element(34, b"ctl") + element(32, CERTIFICATE)
    assert read(STORE[:8] + named + bytes(12)).found[0].entry.member == b""


def test_what_stands_before_and_whole_behind_a_break_is_kept() -> None:
    cut = STORE[:8] + element(32, CERTIFICATE) + element(3, b"x")[:-1] + element(32, CERTIFICATE)
    result = read(cut)
    assert (result.status, result.reason) == (Status.PARTIAL, "truncated")
    assert [item.public for item in result.found] == [CERTIFICATE] * 2
