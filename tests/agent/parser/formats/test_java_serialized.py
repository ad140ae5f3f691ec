from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import java_serialized

STREAM = (FILES / "session.ser").read_bytes()
CERTIFICATE = (FILES / "certificate.cer").read_bytes()
NAMED = b"\xac\xed\0\5java.security.KeyRep"
AGAIN = b"uq\0\x7e\0\1"


def read(data: bytes) -> FormatResult:
    return java_serialized.parse(data, Request())


def octets(value: bytes) -> bytes:
    return AGAIN + len(value).to_bytes(4, "big") + value


def kinds(data: bytes) -> list[str]:
    return [item.entry.kind.value for item in read(data).found]


def test_certificates_paths_and_keys_are_found_wherever_they_are_in_an_object() -> None:
    assert java_serialized.recognise(STREAM, Hint()) is Confidence.SURE
    result = read(STREAM)
    assert [item.entry.kind.value for item in result.found] == [
        "certificate",
        "certificate",
        "private-key",
    ]
    assert result.found[0].public == CERTIFICATE
    assert result.status is Status.READ


@pytest.mark.parametrize(
    "data",
    [
        b"\xac\xed\0\4" + STREAM[4:],
        b"\0" + STREAM,
        b"\xac\xed\0\5sr\0\x11java.util.HashMap",
        b"\xac\xed\0\5" + octets(CERTIFICATE),
    ],
)
def test_other_streams_are_none_of_ours(data: bytes) -> None:
    assert java_serialized.recognise(data, Hint()) is Confidence.NO


@pytest.mark.parametrize(
    "value",
    [
        CERTIFICATE[:-1],
        CERTIFICATE + b"\0",
        b"\x30\x80" + CERTIFICATE[4:] + b"\0\0",
        b"\x30\x82\xff\xff" + bytes(300),
        (FILES / "request.p10").read_bytes(),
        (FILES / "authority-der.crl").read_bytes(),
        der.encode(der.SEQUENCE, der.encode_integer(0), bytes(200)),
    ],
)
def test_other_octets_are_no_finding_and_do_not_cost_the_next(value: bytes) -> None:
    result = read(NAMED + octets(value) + octets(CERTIFICATE))
    assert [item.public for item in result.found] == [CERTIFICATE]
    assert result.status is Status.READ


def test_keys_must_be_whole() -> None:
    key = (FILES / "pkcs8.der").read_bytes()
    rsa = (FILES / "pkcs1.der").read_bytes()
    wrong = rsa[:60] + bytes((rsa[60] ^ 1,)) + rsa[61:]
    assert kinds(NAMED + octets(key) + octets((FILES / "public.der").read_bytes())) == [
        "private-key",
        "public-key",
    ]
    assert kinds(NAMED + octets(wrong)) == []


def test_what_stands_before_the_end_of_a_stream_that_breaks_off_is_kept() -> None:
    result = read(NAMED + octets(CERTIFICATE) + octets(CERTIFICATE)[:-1])
    assert [item.public for item in result.found] == [CERTIFICATE]
    assert (result.status, result.reason) == (Status.PARTIAL, "truncated")
    for end in range(len(NAMED), len(STREAM)):
        assert len(read(STREAM[:end]).found) <= 3


def test_lengths_that_overlap_take_no_time() -> None:
    start = AGAIN + (0xFFFFFF).to_bytes(4, "big") + b"0\x80"
    assert read(NAMED + start * 1_000_000 + octets(CERTIFICATE)).reason in {"", "truncated"}
    nested = AGAIN + (0x0F0000).to_bytes(4, "big") + b"0\x83\x0e\xff\xfb"
    assert kinds(NAMED + nested * 200_000) == []
