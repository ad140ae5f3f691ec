from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import pkcs7

CERTIFICATE = (FILES / "certificate.cer").read_bytes()
SIGNED_DATA = der.encode_oid("1.2.840.113549.1.7.2")


def read(data: bytes) -> FormatResult:
    return pkcs7.parse(data, Request())


def signed_data(*fields: bytes, name: bytes = SIGNED_DATA) -> bytes:
    content = der.encode(
        der.SEQUENCE, der.encode_integer(1), der.encode(der.SET), der.encode(der.SEQUENCE), *fields
    )
    return der.encode(der.SEQUENCE, name, der.encode(0xA0, content))


@pytest.mark.parametrize(
    ("data", "confidence"),
    [
        (signed_data(), Confidence.SURE),
        (signed_data()[:15], Confidence.SURE),
        (b"\x30\x80" + SIGNED_DATA, Confidence.SURE),
        (b"\x30\x03\x06\x01\x29", Confidence.NO),
        (b"\x30\x03\x02\x01\x00", Confidence.NO),
        (b"\x30", Confidence.NO),
        (b"text", Confidence.NO),
    ],
)
def test_it_is_told_by_its_content_type(data: bytes, confidence: Confidence) -> None:
    assert pkcs7.recognise(data, Hint()) is confidence


def test_signed_data_with_the_numbers_of_china_is_read() -> None:
    data = signed_data(
        der.encode(0xA0, CERTIFICATE), name=der.encode_oid("1.2.156.10197.6.1.4.2.2")
    )
    assert pkcs7.recognise(data, Hint()) is Confidence.SURE
    assert [item.public for item in read(data).found] == [CERTIFICATE]
    # What no rescue would find: under 256 bytes, and odd.
    odd = der.encode(der.SEQUENCE, b"\x02\x01\x01")
    data = signed_data(der.encode(0xA0, odd), name=der.encode_oid("1.2.156.10197.6.1.4.2.2"))
    assert [item.public for item in read(data).found] == [odd]


def test_attribute_certificates_and_other_sets_are_passed_over() -> None:
    others = der.encode(0xA1, der.encode(der.SEQUENCE))
    data = signed_data(der.encode(0xA0, others, CERTIFICATE), der.encode(der.SET))
    assert [item.public for item in read(data).found] == [CERTIFICATE]


def test_an_odd_certificate_does_not_cost_the_good_one() -> None:
    data = signed_data(der.encode(0xA0, der.encode(der.SEQUENCE, b"\x02\x01\x01"), CERTIFICATE))
    assert [item.entry.reason for item in read(data).found] == ["malformed-certificate", ""]


def test_other_content_types_hold_nothing() -> None:
    enveloped = der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.7.3"))
    assert (read(enveloped).status, read(enveloped).found) == (Status.READ, ())


def test_certificates_further_inside_stand_behind_those_of_the_signer() -> None:
    """A time stamp on a signature, as RFC 3161, appendix A puts it into an attribute."""
    other = read((FILES / "chain.p7c").read_bytes()).found[-1].public
    stamp = signed_data(der.encode(0xA0, other, CERTIFICATE))
    signers = der.encode(der.SET, der.encode(der.SEQUENCE, der.encode(0xA1, stamp)))
    result = read(signed_data(der.encode(0xA0, CERTIFICATE), signers))
    assert [item.public for item in result.found] == [CERTIFICATE, other]
    assert result.status is Status.READ


def test_certificates_of_other_content_types_are_found() -> None:
    """OriginatorInfo of enveloped data (RFC 5652, 6.1)."""
    originator = der.encode(0xA0, der.encode(0xA0, CERTIFICATE))
    enveloped = der.encode(der.SEQUENCE, der.encode_integer(2), originator)
    name = der.encode_oid("1.2.840.113549.1.7.3")
    data = der.encode(der.SEQUENCE, name, der.encode(0xA0, enveloped))
    assert [item.public for item in read(data).found] == [CERTIFICATE]


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x20",
        der.encode(der.SEQUENCE, SIGNED_DATA),
        der.encode(der.SEQUENCE, SIGNED_DATA, der.encode(der.SEQUENCE)),
        der.encode(der.SEQUENCE, SIGNED_DATA, der.encode(0xA0, der.encode(der.SEQUENCE))),
    ],
)
def test_a_broken_structure_is_malformed(data: bytes) -> None:
    assert (read(data).status, read(data).reason) == (Status.MALFORMED, "malformed-pkcs7")


def test_an_empty_sequence_holds_nothing() -> None:
    assert read(der.encode(der.SEQUENCE)).status is Status.READ


CHAIN = (FILES / "chain.p7c").read_bytes()
FIRST = len(CHAIN) - 100


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (CHAIN[:FIRST], 1),
        (CHAIN[:2] + bytes((CHAIN[2] + 1, *CHAIN[3:])), 2),
        (CHAIN[:2] + bytes((CHAIN[2] - 1, *CHAIN[3:])), 2),
        (b"\x30\x80" + CHAIN[4:], 2),
        ((FILES / "signature.p7s").read_bytes()[:-40], 2),
    ],
)
def test_certificates_are_found_where_the_outer_length_is_cut_or_wrong(
    data: bytes, found: int
) -> None:
    assert pkcs7.recognise(data, Hint()) is Confidence.SURE
    assert (len(read(data).found), read(data).reason) == (found, "malformed-pkcs7")


def test_what_stands_before_the_break_is_kept() -> None:
    result = read(signed_data(der.encode(0xA0, CERTIFICATE), b"\xa1\x03\x30\x05\x00"))
    assert [item.public for item in result.found] == [CERTIFICATE]
    assert result.status is Status.PARTIAL
