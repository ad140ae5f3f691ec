from __future__ import annotations

import pytest

from keycensus_agent.parser import der
from keycensus_agent.parser.names import general_names, name_text, time_text

CN = "2.5.4.3"


def attribute(oid: str, tag: int, value: bytes) -> bytes:
    pair = der.encode(der.SEQUENCE, der.encode_oid(oid), der.encode(tag, value))
    return der.encode(der.SET, pair)


def shown(*parts: bytes) -> str:
    data = der.encode(der.SEQUENCE, *parts)
    return name_text(data, der.read_whole(data))


def test_the_most_specific_comes_first() -> None:
    assert shown(attribute("2.5.4.6", 0x13, b"NL"), attribute(CN, 0x0C, b"x")) == "CN=x,C=NL"
    both = der.encode(der.SET, attribute(CN, 0x0C, b"a")[2:], attribute("2.5.4.5", 0x13, b"7")[2:])
    assert shown(both) == "CN=a+serialNumber=7"


@pytest.mark.parametrize(
    ("tag", "value", "text"),
    [
        (0x0C, "Exämple".encode(), "Exämple"),
        (0x0C, b"Ex\xe4mple", "Exämple"),
        (0x1E, "größe".encode("utf-16-be"), "größe"),
        (0x1C, "x".encode("utf-32-be"), "x"),
        (0x14, b"\xe9", "é"),
        (0x04, b"\x01\x02", "#04020102"),
        (0x0C, b'a,b+c"d\\e<f>g;h', 'a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h'),
        (0x0C, b" lead and trail ", "\\ lead and trail\\ "),
        (0x0C, b"#hash", "\\#hash"),
        (0x0C, b"new\nline", "new\nline"),
    ],
)
def test_values_are_decoded_and_escaped_as_rfc_4514_does(tag: int, value: bytes, text: str) -> None:
    assert shown(attribute(CN, tag, value)) == f"CN={text}"


def test_unknown_attributes_keep_their_number_and_broken_names_their_bytes() -> None:
    assert shown(attribute("1.2.3.4", 0x0C, b"x")) == "1.2.3.4=x"
    assert shown(b"\x31\x05") == "#30023105"


def test_long_names_are_cut() -> None:
    assert len(shown(*[attribute(CN, 0x0C, b"x" * 3000)] * 3)) == 4096


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (der.encode(0x82, b"*.example.com"), "*.example.com"),
        (der.encode(0x82, b"a, DNS:evil"), "a, DNS:evil"),
        (der.encode(0x81, b"a@example.com"), "email:a@example.com"),
        (der.encode(0x86, b"https://x"), "uri:https://x"),
        (der.encode(0x87, b"\xc0\0\2\1"), "192.0.2.1"),
        (der.encode(0x87, bytes(15) + b"\1"), "::1"),
        (der.encode(0x87, b"\1"), "other:#01"),
        (der.encode(0x88, b"\x2a\x03"), "rid:1.2.3"),
        (der.encode(0xA4, der.encode(der.SEQUENCE, attribute(CN, 0x0C, b"x"))), "dirname:CN=x"),
        (
            der.encode(
                0xA0,
                der.encode_oid("1.3.6.1.4.1.311.20.2.3"),
                der.encode(0xA0, der.encode(0x0C, b"u@x")),
            ),
            "upn:u@x",
        ),
        (
            der.encode(0xA0, der.encode_oid("1.2.3"), der.encode(0xA0, b"\x04\x01x")),
            "other:1.2.3",
        ),
        (der.encode(0xA0, b"\x05\x00"), "other:#0500"),
        (der.encode(0xA3, b"x400"), "other:#78343030"),
    ],
)
def test_alternative_names_stand_one_by_one_with_their_kind(name: bytes, text: str) -> None:
    data = der.encode(der.SEQUENCE, name, der.encode(0x82, b"last"))
    assert general_names(data, der.read_whole(data)) == (text, "last")


@pytest.mark.parametrize(
    ("tag", "value", "text"),
    [
        (0x17, b"491231235959Z", "2049-12-31T23:59:59Z"),
        (0x17, b"500101000000Z", "1950-01-01T00:00:00Z"),
        (0x17, b"2601010000Z", "2026-01-01T00:00:00Z"),
        (0x17, b"260101000000+0130", "2025-12-31T22:30:00Z"),
        (0x17, b"260101000000-0130", "2026-01-01T01:30:00Z"),
        (0x18, b"20500101000000.5Z", "2050-01-01T00:00:00Z"),
        (0x18, b"99991231235959Z", "9999-12-31T23:59:59Z"),
        (0x18, b"02010101000000Z", "0201-01-01T00:00:00Z"),
        (0x18, b"99991231235959-0100", ""),
        (0x18, b"00000101000000Z", ""),
        (0x17, b"261301000000Z", ""),
        (0x17, b"\xff", ""),
        (0x0C, b"260101000000Z", ""),
    ],
)
def test_times_are_rfc_3339_or_nothing(tag: int, value: bytes, text: str) -> None:
    data = der.encode(tag, value)
    assert time_text(data, der.read_whole(data, tag)) == text
