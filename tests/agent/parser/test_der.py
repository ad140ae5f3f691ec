from __future__ import annotations

import pytest

from keycensus_agent.parser import der


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x01",
        b"\x30\x82\x01",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x04\x80\x00\x00",
        b"\x30\x80\x04\x80\x00\x00\x00\x00",
        b"\x30\x80\x02\x01\x01",
        b"\x30\x80\x30",
        b"\x30\x80" * 40 + b"\0\0" * 40,
        b"\x3f\x81\x82",
        b"\x3f\x81\x82\x83\x84\x85\x86",
        b"\x3f\x81\x02",
    ],
)
def test_bytes_that_break_off_or_bend_the_rules_are_refused(data: bytes) -> None:
    with pytest.raises(der.DerError):
        der.read(data, 0, len(data))


def test_tags_of_several_octets_are_stepped_over() -> None:
    data = b"\x30\x05\x9f\x81\x01\x01x"
    (child,) = der.children(data, der.read_whole(data))
    assert der.content(data, child) == b"x"


def test_nested_indefinite_lengths_end_where_they_should() -> None:
    data = b"\x30\x80\x30\x80\x02\x01\x01\0\0\x04\x02\0\0\0\0rest"
    outer = der.read(data, 0, len(data))
    assert data[outer.end :] == b"rest"
    assert [child.tag for child in der.children(data, outer)] == [der.SEQUENCE, der.OCTET_STRING]


def test_a_whole_element_has_its_tag_and_nothing_behind_it() -> None:
    with pytest.raises(der.DerError, match="trailing"):
        der.read_whole(b"\x30\x00\x00")
    with pytest.raises(der.DerError, match="tag"):
        der.read_whole(b"\x31\x00")


def test_a_million_tiny_elements_are_refused_instead_of_listed() -> None:
    data = der.encode(der.SEQUENCE, b"\x05\x00" * 200_000)
    with pytest.raises(der.DerError, match="too many"):
        der.children(data, der.read_whole(data))
    nested = der.encode(0x24, *[der.encode(0x24, b"\x04\x00" * 60_000)] * 2)
    assert der.octets(nested, der.read_whole(nested, 0x24)) == b""


def test_split_octets_are_joined_in_order() -> None:
    data = der.encode(0x24, der.encode(0x24, b"\x04\x01a", b"\x04\x01b"), b"\x04\x01c")
    assert der.octets(data, der.read_whole(data, 0x24)) == b"abc"


@pytest.mark.parametrize("data", [b"\x02\x00", b"\x04\x01\x00"])
def test_what_is_no_integer_is_refused(data: bytes) -> None:
    with pytest.raises(der.DerError):
        der.integer(data, der.read(data, 0, len(data)))


@pytest.mark.parametrize("data", [b"\x03\x00", b"\x03\x02\x01\x80", b"\x04\x01\x00"])
def test_a_bit_string_with_unused_bits_is_refused(data: bytes) -> None:
    with pytest.raises(der.DerError):
        der.bit_string(data, der.read(data, 0, len(data)))


@pytest.mark.parametrize("body", [b"", b"\x2a\x86", b"\x01" * 65])
def test_an_absurd_object_identifier_is_refused(body: bytes) -> None:
    data = der.encode(der.OBJECT_IDENTIFIER, body)
    with pytest.raises(der.DerError):
        der.dotted(data, der.read_whole(data, der.OBJECT_IDENTIFIER))


@pytest.mark.parametrize("name", ["1.2.840.113549.1.1.1", "2.999.3", "0.9.2342", "2.5.4.3"])
def test_object_identifiers_survive_a_round_trip(name: str) -> None:
    data = der.encode_oid(name)
    assert der.dotted(data, der.read_whole(data, der.OBJECT_IDENTIFIER)) == name


@pytest.mark.parametrize("value", [0, 1, 127, 128, 255, 256, 1 << 2047])
def test_integers_survive_a_round_trip(value: int) -> None:
    data = der.encode_integer(value)
    assert der.integer(data, der.read_whole(data, der.INTEGER)) == value
