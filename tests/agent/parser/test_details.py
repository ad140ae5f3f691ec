from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID
from fixtures.build_fixtures import FILES

from keycensus_agent.parser import der
from keycensus_agent.parser.details import certificate_detail, request_detail
from keycensus_agent.parser.x509 import (
    certificate_fields,
    check_revocation_list,
    extension_values,
    request_fields,
)

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
ALGORITHM = der.encode(der.SEQUENCE, der.encode_oid("1.2.840.10045.4.3.2"))
SPKI = der.encode(
    der.SEQUENCE, der.encode(der.SEQUENCE, der.encode_oid("1.2.3")), der.encode_bit_string(b"k")
)
EMPTY = der.encode(der.SEQUENCE)


def certificate(*extensions: x509.ExtensionType, signer: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(KEY.public_key())
        .serial_number(0xABC)
        .not_valid_before(dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(signer, hashes.SHA256()).public_bytes(Encoding.DER)


def assembled(
    *, validity: bytes = EMPTY, algorithm: bytes = ALGORITHM, extensions: bytes = b""
) -> bytes:
    body = der.encode(
        der.SEQUENCE, der.encode_integer(1), ALGORITHM, EMPTY, validity, EMPTY, SPKI, extensions
    )
    return der.encode(der.SEQUENCE, body, algorithm, der.encode_bit_string(b"s"))


IDENTIFIERS = (
    x509.SubjectKeyIdentifier.from_public_key(KEY.public_key()),
    x509.AuthorityKeyIdentifier.from_issuer_public_key(KEY.public_key()),
)
FOREIGN = x509.AuthorityKeyIdentifier.from_issuer_public_key(OTHER.public_key())


@pytest.mark.parametrize(
    ("data", "self_signed"),
    [
        (certificate(), True),
        (certificate(signer=OTHER), False),
        (certificate(*IDENTIFIERS), True),
        (certificate(IDENTIFIERS[0], FOREIGN), False),
        (certificate(x509.AuthorityKeyIdentifier(None, [x509.DNSName("x")], 1)), True),
    ],
)
def test_self_signed_is_by_key_identifiers_or_else_by_the_signature(
    data: bytes,
    *,
    self_signed: bool,
) -> None:
    assert certificate_detail(data, b"").self_signed is self_signed


@pytest.mark.parametrize("ca", [True, False])
def test_an_authority_says_so(*, ca: bool) -> None:
    data = certificate(x509.BasicConstraints(ca=ca, path_length=None))
    assert certificate_detail(data, b"").is_ca is ca


def test_bytes_that_are_no_certificate_have_only_their_hash() -> None:
    assert certificate_detail(b"\x30\x00", b"h") == certificate_detail(b"", b"h")
    assert request_detail(b"\x30\x00", b"h").subject == ""


def test_each_malformed_part_costs_itself() -> None:
    broken = assembled(
        validity=der.encode(der.SEQUENCE, b"\x17\x05"),
        algorithm=der.encode(der.SEQUENCE, b"\x05\x00"),
        extensions=der.encode(0xA3, b"\x05"),
    )
    detail = certificate_detail(broken, b"h")
    assert (detail.not_before, detail.not_after, detail.signature_algorithm) == ("", "", "")
    assert (detail.serial, detail.algorithm, detail.san) == ("1", "1.2.3", ())
    assert len(detail.key_id) == 32


def test_malformed_alternative_names_are_none() -> None:
    oid, value = der.encode_oid("2.5.29.17"), der.encode(4, b"\x30\x05")
    extension = der.encode(der.SEQUENCE, oid, value)
    odd = der.encode(der.SEQUENCE, der.encode_oid("2.5.29.18"), b"\x05\x00")
    wrapped = der.encode(0xA3, der.encode(der.SEQUENCE, odd, extension, b"\x05\x00"))
    data = assembled(extensions=wrapped)
    assert certificate_detail(data, b"").san == ()
    assert extension_values(data, certificate_fields(data).extensions) == {"2.5.29.17": b"\x30\x05"}


def test_a_request_with_odd_attributes_is_still_a_request() -> None:
    def request(*attributes: bytes) -> bytes:
        body = der.encode(der.SEQUENCE, der.encode_integer(0), EMPTY, SPKI, *attributes)
        return der.encode(der.SEQUENCE, body, ALGORITHM, der.encode_bit_string(b"s"))

    unknown = der.encode(der.SEQUENCE, der.encode_oid("1.2.3"), der.encode(der.SET))
    assert request_fields(request()).extensions is None
    assert request_fields(request(der.encode(0xA0, unknown))).extensions is None
    assert request_fields(request(der.encode(0xA0, b"\x05\x00"))).extensions is None
    with pytest.raises(der.DerError):
        request_fields(request(der.encode(0xA1)))


def test_what_only_looks_like_a_certificate_or_a_list_is_refused() -> None:
    four = der.encode(der.SEQUENCE, EMPTY, ALGORITHM, der.encode_bit_string(b"s"), EMPTY)
    with pytest.raises(der.DerError):
        certificate_fields(four)
    with pytest.raises(der.DerError):
        check_revocation_list(assembled())


def test_a_post_quantum_certificate_names_its_key_and_its_signature() -> None:
    data = x509.load_pem_x509_certificate((FILES / "ml-dsa.crt").read_bytes())
    detail = certificate_detail(data.public_bytes(Encoding.DER), bytes(32))
    assert (detail.algorithm, detail.signature_algorithm) == ("ml-dsa-44", "ml-dsa-44")
    assert detail.self_signed


def test_purposes_are_told_by_their_numbers() -> None:
    usage = x509.ExtendedKeyUsage(
        [ExtendedKeyUsageOID.CLIENT_AUTH, x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")]
    )
    detail = certificate_detail(certificate(usage), b"")
    assert detail.extended_key_usage == ("1.3.6.1.5.5.7.3.2", "1.3.6.1.4.1.99999.1")
    assert certificate_detail(certificate(), b"").extended_key_usage == ()


@pytest.mark.parametrize(
    "value", [b"\x30", b"\x05\x00", b"\x30\x03\x06\x01\x80", b"\x30\x02\x05\x00"]
)
def test_purposes_that_are_none_are_left_out(value: bytes) -> None:
    usage = x509.UnrecognizedExtension(ExtensionOID.EXTENDED_KEY_USAGE, value)
    assert certificate_detail(certificate(usage), b"").extended_key_usage == ()
