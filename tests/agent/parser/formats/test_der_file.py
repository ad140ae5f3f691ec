from __future__ import annotations

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import der_file
from keycensus_agent.parser.triage import Triage, triage

CERTIFICATE = (FILES / "certificate.cer").read_bytes()
SPKI = (FILES / "public.der").read_bytes()


def read(data: bytes, name: bytes = b"file.der") -> FormatResult:
    return der_file.parse(data, Request(Hint(name)))


def integers(*values: int) -> bytes:
    return der.encode(der.SEQUENCE, *map(der.encode_integer, values))


def signed(*fields: bytes) -> bytes:
    body = der.encode(der.SEQUENCE, *fields)
    return der.encode(der.SEQUENCE, body, der.encode(der.SEQUENCE), der.encode_bit_string(b"s"))


def test_a_sequence_that_begins_like_ours_is_ours_whatever_its_name() -> None:
    assert der_file.recognise(CERTIFICATE, Hint(b"x")) is Confidence.SURE
    assert der_file.recognise(CERTIFICATE + b"junk", Hint(b"x")) is Confidence.SURE
    assert der_file.recognise(b"\x30\x03\x04\x01\x00", Hint(b"x.der")) is Confidence.NO
    assert der_file.recognise(b"", Hint(b"x.der")) is Confidence.NO


def test_a_cut_file_is_damage_only_if_its_name_promises_a_certificate() -> None:
    cut = CERTIFICATE[:-1]
    assert der_file.recognise(cut, Hint(b"/etc/a.CER")) is Confidence.MAYBE
    assert der_file.recognise(cut, Hint(b"/etc/cer")) is Confidence.NO
    assert der_file.recognise(b"040c595b9643ab5b" * 8, Hint(b"/etc/key.pub")) is Confidence.NO
    assert read(cut, b"a.cer").status is Status.MALFORMED


def test_a_description_in_words_may_stand_before_it() -> None:
    described = (FILES / "text-before.der").read_bytes()
    for data in (
        described,
        described.replace(b"\n  ", b"\n" + b" " * 90),
        b"Certificate Request:\r\n" + SPKI + b"\n" + CERTIFICATE,
        b"Certificate Revocation List (CRL):\n" + CERTIFICATE,
    ):
        assert triage(data[:4096], len(data)) is Triage.CANDIDATE
        assert der_file.recognise(data, Hint(b"x")) is Confidence.SURE
        result = read(data)
        assert [item.public for item in result.found] == [CERTIFICATE]
        assert result.status is Status.READ


@pytest.mark.parametrize(
    "before", [b"Certificates:\n", b"Certificate: of\n", b"\nCertificate:\n", b"a text\n"]
)
def test_behind_other_text_nothing_is_looked_for(before: bytes) -> None:
    data = before + CERTIFICATE
    assert triage(data[:4096], len(data)) is not Triage.CANDIDATE
    assert der_file.recognise(data, Hint(b"x.der")) is Confidence.NO


def test_a_description_before_pem_leaves_it_to_the_text() -> None:
    described = (FILES / "certificate.pem").read_bytes()
    assert described.startswith(b"Certificate:\n")
    assert der_file.recognise(described, Hint(b"x.der")) is Confidence.NO


@pytest.mark.parametrize("padding", [b"", b"\n", b"\r\n\0\0"])
def test_blanks_and_zeros_behind_the_last_element_are_no_damage(padding: bytes) -> None:
    result = read(CERTIFICATE + SPKI + padding)
    assert [item.entry.kind for item in result.found] == ["certificate", "public-key"]
    assert result.status is Status.READ


def test_other_bytes_behind_the_last_element_are_told() -> None:
    result = read(CERTIFICATE + b"\n\nmore")
    assert (result.status, result.reason) == (Status.PARTIAL, "trailing-data")


def answer_of_ocsp(*certificates: bytes) -> bytes:
    """Build an OCSPResponse as RFC 6960, 4.2.1 describes it; without certificates, an error's."""
    status = der.encode(der.ENUMERATED, b"\0" if certificates else b"\6")
    if not certificates:
        return der.encode(der.SEQUENCE, status)
    chain = der.encode(0xA0, der.encode(der.SEQUENCE, *certificates))
    signature = der.encode_bit_string(b"s" * 256)
    basic = der.encode(der.SEQUENCE, *[der.encode(der.SEQUENCE)] * 2, signature, chain)
    octets = der.encode(der.OCTET_STRING, basic)
    response = der.encode(der.SEQUENCE, der.encode_oid("1.3.6.1.5.5.7.48.1.1"), octets)
    return der.encode(der.SEQUENCE, status, der.encode(0xA0, response))


@pytest.mark.parametrize(
    "data",
    [
        der.encode(der.SEQUENCE, CERTIFICATE),  # PkiPath (X.509, 7.11)
        der.encode(der.SEQUENCE, der.encode_integer(1), der.encode(der.SEQUENCE, CERTIFICATE)),
        answer_of_ocsp(CERTIFICATE) + b"\n",
        *(der.encode(der.SEQUENCE, der.encode(tag, CERTIFICATE)) for tag in (0xA0, 0xA1)),  # a pair
    ],
)
def test_certificates_inside_other_structures_are_found(data: bytes) -> None:
    for name in (b"a.der", b"state.db"):
        assert triage(data, len(data)) is Triage.CANDIDATE
        assert der_file.recognise(data, Hint(name)) is Confidence.SURE
        result = read(data, name)
        assert [item.public for item in result.found] == [CERTIFICATE]
        assert (result.format, result.status, result.reason) == ("der", Status.READ, "")


def test_an_answer_of_ocsp_without_certificates_is_nothing_and_no_damage() -> None:
    assert (read(answer_of_ocsp()).status, read(answer_of_ocsp()).found) == (Status.READ, ())
    assert read(answer_of_ocsp() + b"more").reason == "unknown-structure"


def test_parameters_are_nothing_and_no_damage() -> None:
    prime = (1 << 1023) + 1
    for parameters in (integers(prime, 2), integers(prime, (1 << 159) + 1, 3)):
        assert (read(parameters).status, read(parameters).found) == (Status.READ, ())


ALGORITHM = der.encode(der.SEQUENCE, der.encode_oid("1.3.14.3.2.26"), der.encode(der.NULL))


def question_of_ocsp(*before: bytes) -> bytes:
    """Return an OCSPRequest (RFC 6960, 4.1.1) for one certificate."""
    hashes = [der.encode(der.OCTET_STRING, bytes(20))] * 2
    identity = der.encode(der.SEQUENCE, ALGORITHM, *hashes, der.encode_integer(7))
    asked = der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, identity))
    return der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, *before, asked))


def attribute_certificate(*version: bytes) -> bytes:
    """Return an AttributeCertificate (RFC 5755, 4.1) of which the outer fields are there."""
    sequence, serial = der.encode(der.SEQUENCE), der.encode_integer(7)
    issuer = der.encode(0xA0, sequence)
    return signed(*version, sequence, issuer, ALGORITHM, serial, sequence, sequence)


@pytest.mark.parametrize(
    "data",
    [
        question_of_ocsp(),
        question_of_ocsp(der.encode(0xA0, der.encode_integer(0))),
        attribute_certificate(),
        attribute_certificate(der.encode_integer(1)),
        signed(  # by an issuer as version 1 names it
            der.encode_integer(1),
            *[der.encode(der.SEQUENCE)] * 2,
            ALGORITHM,
            der.encode_integer(7),
            *[der.encode(der.SEQUENCE)] * 2,
        ),
        # Parameters of an explicit curve (SEC 1, C.2).
        der.encode(
            der.SEQUENCE,
            der.encode_integer(1),
            *[der.encode(der.SEQUENCE)] * 2,
            der.encode(der.OCTET_STRING, b"\4" + bytes(64)),
        ),
    ],
)
def test_what_is_known_to_hold_nothing_is_no_damage(data: bytes) -> None:
    assert (read(data).status, read(data).found) == (Status.READ, ())
    assert read(data[:-1]).reason == "unknown-structure"


@pytest.mark.parametrize(
    "data",
    [
        der.encode(der.SEQUENCE, der.encode(der.SEQUENCE)),
        der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, b"\5\0"))),
        der.encode(der.SEQUENCE, der.encode(der.SEQUENCE, der.encode_integer(1))),
        signed(der.encode_integer(1), der.encode_integer(2)),
    ],
)
def test_what_is_only_like_it_is_not_known(data: bytes) -> None:
    assert read(data).reason == "unknown-structure"


def test_certificates_behind_damage_are_found_and_the_damage_is_told() -> None:
    result = read(CERTIFICATE + b"more" + CERTIFICATE)
    assert [item.public for item in result.found] == [CERTIFICATE] * 2
    assert (result.status, result.reason) == (Status.PARTIAL, "trailing-data")


def test_asn1_of_others_is_nothing_unless_the_name_promises_a_certificate() -> None:
    other = integers(1, 2, 3)
    assert (read(other, b"state.db").status, read(other, b"state.db").found) == (Status.READ, ())
    assert (read(other).status, read(other).reason) == (Status.MALFORMED, "unknown-structure")


@pytest.mark.parametrize(
    ("modulus", "exponent", "found"),
    [
        ((1 << 1023) + 1, 65_537, 1),
        ((1 << 1023) + 1, 3, 1),
        ((1 << 1023) + 1, 2, 0),
        ((1 << 1023) + 1, 5, 0),
        ((1 << 1023) + 1, (1 << 1023) + 1, 0),
        ((1 << 255) + 1, 65_537, 0),
    ],
)
def test_a_pair_of_integers_is_a_key_only_if_it_can_be_one(
    modulus: int, exponent: int, found: int
) -> None:
    assert len(read(integers(modulus, exponent)).found) == found


def test_negative_integers_are_no_key() -> None:
    negative = der.encode(der.INTEGER, b"\x80" + bytes(200))
    assert not read(der.encode(der.SEQUENCE, negative, der.encode_integer(3))).found


def test_what_is_signed_is_told_apart_by_its_fields() -> None:
    number, sequence = der.encode_integer(1), der.encode(der.SEQUENCE)
    time = der.encode(der.UTC_TIME, b"260101000000Z")
    assert read(signed(sequence, sequence, time)).found[0].entry.kind == "crl"
    assert read(signed(number, sequence, sequence, time)).found[0].entry.kind == "crl"
    first_version = signed(number, *[sequence] * 5)
    assert read(first_version).found[0].entry.reason == "malformed-certificate"
    assert read(signed(number, sequence, sequence)).found[0].entry.kind == "csr"
    assert not read(signed(number, number)).found


def test_integers_that_do_not_belong_together_are_not_taken_for_a_key() -> None:
    assert not read(integers(0, 15, 3, 3, 3, 7, 1, 1, 1)).found
    assert not read(integers(0, 23, 11, 2, 3, 5)).found


def test_a_pkcs8_that_is_damaged_inside_is_told_as_a_key() -> None:
    algorithm = der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.1.1"))
    broken = der.encode(der.SEQUENCE, der.encode_integer(0), algorithm, b"\x04\x01\x00")
    assert read(broken + CERTIFICATE).reason == "malformed-private-key"
    assert len(read(broken + CERTIFICATE).found) == 1


def test_a_digest_is_not_taken_for_a_sealed_key() -> None:
    algorithm = der.encode(der.SEQUENCE, der.encode_oid("2.16.840.1.101.3.4.2.1"), b"\x05\0")
    assert not read(der.encode(der.SEQUENCE, algorithm, der.encode(4, bytes(32)))).found
