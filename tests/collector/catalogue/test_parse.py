"""The collector's own reading of blobs, compared with the library on a public corpus of odd ones."""

from __future__ import annotations

import base64
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from fakes.pki import NOW, NOW_MS, issue, new_key, spki_of
from hypothesis import given
from hypothesis import strategies as st

from keycensus_collector.catalogue import der
from keycensus_collector.catalogue.facts import CertificateFacts
from keycensus_collector.catalogue.names import NameFact
from keycensus_collector.catalogue.parse import (
    CERTIFICATE,
    CRL,
    CSR,
    SPKI,
    parse,
    parse_certificate,
    parse_public_key,
    parse_request,
    unread,
)
from keycensus_collector.catalogue.revocation_list import parse_revocation_list

_PEM = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----(.*?)-----END", re.DOTALL)


def corpus() -> Iterator[tuple[str, bytes]]:
    for path in sorted(Path(cryptography_vectors.__file__).parent.rglob("*")):
        if path.is_file() and path.suffix in {".pem", ".crt", ".der", ".cer"}:
            data = path.read_bytes()
            if data[:1] == b"\x30":
                yield path.name, data
            for block in _PEM.finditer(data):
                yield path.name, base64.b64decode(block[1])


def loaded_corpus() -> Iterator[tuple[str, bytes, x509.Certificate]]:
    for name, data in corpus():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                yield name, data, x509.load_der_x509_certificate(data)
            except (ValueError, x509.InvalidVersion):
                continue


def extension(certificate: x509.Certificate, kind: type[x509.ExtensionType]) -> object | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def test_every_certificate_that_the_library_loads_reads_the_same() -> None:
    compared = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data, certificate in loaded_corpus():
            facts = parse_certificate(data)
            assert facts.serial == f"{certificate.serial_number:x}", name
            assert facts.not_before_ms == certificate.not_valid_before_utc.timestamp() * 1000, name
            assert facts.not_after_ms == certificate.not_valid_after_utc.timestamp() * 1000, name
            compared += 1
            try:
                basic = extension(certificate, x509.BasicConstraints)
                names = extension(certificate, x509.SubjectAlternativeName)
                identifier = extension(certificate, x509.SubjectKeyIdentifier)
            except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
                continue
            assert facts.is_ca == (isinstance(basic, x509.BasicConstraints) and basic.ca), name
            if isinstance(names, x509.SubjectAlternativeName):
                expected = [n.lower() for n in names.get_values_for_type(x509.DNSName)]
                assert [n.value for n in facts.names if n.kind == "dns"] == expected, name
            if isinstance(identifier, x509.SubjectKeyIdentifier):
                assert facts.subject_key_identifier == identifier.digest, name
    assert compared > 500


def test_key_type_and_size_are_those_of_the_library() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, data, certificate in loaded_corpus():
            try:
                key = certificate.public_key()
            except Exception:  # noqa: BLE001, S112 - what the library can't read is not compared
                continue
            facts = parse_certificate(data).key
            if isinstance(key, rsa.RSAPublicKey):
                assert (facts.algorithm, facts.bits) == ("rsa", key.key_size), name
            elif isinstance(key, ec.EllipticCurvePublicKey):
                assert (facts.algorithm, facts.bits) == ("ec", key.curve.key_size), name
                assert facts.curve in {key.curve.name, "explicit"}, name
            elif isinstance(key, ed25519.Ed25519PublicKey):
                assert facts.algorithm == "ed25519", name


def test_what_the_library_refuses_is_still_read() -> None:
    refused = {"invalid_version.pem", "ecdsa_null_alg.pem", "ed25519-rfc8410.pem"}
    subjects = {name: parse_certificate(data).subject for name, data in corpus() if name in refused}
    assert set(subjects) == refused
    assert all(subject.startswith("CN=") for subject in subjects.values())


def test_any_bytes_give_facts_and_never_an_exception() -> None:
    for name, data in corpus():
        for kind in (CERTIFICATE, SPKI, CSR, CRL):
            assert parse(kind, data) is not None, name


@given(st.binary(max_size=300), st.integers(0, 600), st.integers(0, 255))
def test_a_damaged_certificate_gives_facts_with_a_problem_or_whole(
    noise: bytes, position: int, value: int
) -> None:
    damaged = bytearray(_SAMPLE)
    damaged[position % len(damaged)] = value
    for data in (noise, bytes(damaged), bytes(damaged[:position])):
        facts = parse_certificate(data)
        assert facts.problem or facts.subject_der_hash


_SAMPLE = issue("www.example.com", sans=("www.example.com", "example.com")).der


def test_a_whole_certificate_has_all_facts_and_no_problem() -> None:
    authority = issue("Example Root", is_ca=True)
    issued = issue("www.example.com", issuer=authority, sans=("WWW.Example.com", "*.example.org"))
    facts = parse_certificate(issued.der)
    assert facts.subject == facts.common_name.join(("CN=", "")) == "CN=www.example.com"
    assert facts.issuer == "CN=Example Root"
    assert facts.not_after_ms == NOW_MS + 90 * 86_400_000
    assert facts.names == (NameFact("dns", "www.example.com"), NameFact("dns", "*.example.org"))
    assert facts.extended_key_usage == "serverAuth"
    assert facts.signature_algorithm == "ecdsa-with-SHA256"
    assert (facts.key.algorithm, facts.key.bits, facts.key.curve) == ("ec", 256, "secp256r1")
    assert facts.authority_key_identifier == parse_certificate(authority.der).subject_key_identifier
    assert facts.problem == ""


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("exe\u202ecod.example", "exe\\u202ecod.example"),
        ("a\r\nBcc: x@example.com", "a\\x0d\\x0aBcc: x@example.com"),
        ("<img onerror=alert(1)>", "<img onerror=alert(1)>"),
    ],
)
def test_hostile_names_are_escaped_and_stay_readable(hostile: str, shown: str) -> None:
    facts = parse_certificate(issue(hostile).der)
    assert facts.common_name == shown
    assert facts.subject.isprintable()


def test_a_comma_in_a_name_can_not_pass_for_another_attribute() -> None:
    facts = parse_certificate(issue("x,O=Bank").der)
    assert facts.subject == "CN=x\\,O=Bank"


def test_an_absurd_number_of_names_is_cut_and_said() -> None:
    content = b"".join(der.encode(0x82, f"a{n}.example".encode()) for n in range(5000))
    names = der.encode(der.SEQUENCE, content)
    spki = spki_of(new_key())
    facts = parse_certificate(_certificate_with(_extension(b"\x55\x1d\x11", names), spki))
    assert len(facts.names) == 4096
    assert "only the first 4096" in facts.problem


def test_extensions_that_are_broken_leave_the_rest_readable() -> None:
    spki = spki_of(new_key())
    facts = parse_certificate(_certificate_with(_extension(b"\x55\x1d\x11", b"\x30\x05\x01"), spki))
    assert "alternative names" in facts.problem
    assert facts.serial == "5"
    assert facts.key.algorithm == "ec"


def _extension(oid: bytes, value: bytes) -> bytes:
    return der.encode(
        der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, oid) + der.encode(der.OCTET_STRING, value)
    )


def _certificate_with(extension: bytes, spki: bytes) -> bytes:
    sequence = der.SEQUENCE
    times = der.encode(der.UTC_TIME, b"260101000000Z") + der.encode(der.UTC_TIME, b"2602010000Z")
    algorithm = der.encode(sequence, der.encode(der.OBJECT_IDENTIFIER, b"\x2b\x65\x70"))
    tbs = (
        der.encode(der.INTEGER, b"\5")
        + algorithm
        + der.encode(sequence, b"")
        + der.encode(sequence, times)
        + der.encode(sequence, b"")
        + spki
        + der.encode(0xA3, der.encode(sequence, extension))
    )
    return der.encode(sequence, der.encode(sequence, tbs) + algorithm + der.encode(3, b"\0"))


def test_a_request_says_its_names_and_key() -> None:
    key = new_key()
    names = x509.SubjectAlternativeName([x509.DNSName("new.example.com")])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "new.example.com")]))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    facts = parse_request(request.public_bytes(serialization.Encoding.DER))
    assert facts.subject == "CN=new.example.com"
    assert facts.names == (NameFact("dns", "new.example.com"),)
    assert facts.key == parse_public_key(spki_of(key))
    assert facts.problem == ""


def test_a_revocation_list_says_its_times_and_length() -> None:
    authority = issue("Example Root", is_ca=True)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(NOW)
        .next_update(NOW.replace(year=2027))
    )
    for serial in (1, 2, 3):
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW)
        builder = builder.add_revoked_certificate(revoked.build())
    crl = builder.sign(authority.key, hashes.SHA256())
    facts = parse_revocation_list(crl.public_bytes(serialization.Encoding.DER))
    assert (facts.issuer, facts.revoked_count) == ("CN=Example Root", 3)
    assert facts.this_update_ms == NOW_MS
    assert facts.issuer_der_hash == parse_certificate(authority.der).subject_der_hash
    assert facts.problem == ""


def test_facts_that_were_not_read_say_only_why() -> None:
    assert unread(CERTIFICATE, "limit") == CertificateFacts(problem="limit")
    assert {type(unread(kind, "x")) for kind in (CERTIFICATE, SPKI, CSR, CRL)} == {
        type(parse(kind, b"")) for kind in (CERTIFICATE, SPKI, CSR, CRL)
    }
