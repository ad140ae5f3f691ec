from __future__ import annotations

import hmac
import os
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import (
    PBES,
    serialize_key_and_certificates,
)
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.derivation import IterationBudget, Pkcs12Derivation
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import pkcs12

CERTIFICATE = (FILES / "certificate.cer").read_bytes()
CRL = (FILES / "authority-der.crl").read_bytes()
KEY = (FILES / "pkcs8.der").read_bytes()
SEALED = (FILES / "encrypted.p8").read_bytes()
DATA = der.encode_oid("1.2.840.113549.1.7.1")
BAGS = "1.2.840.113549.1.12.10.1."


def read(data: bytes, *passwords: str) -> FormatResult:
    return pkcs12.parse(data, Request(Hint(b"x.p12"), passwords))


def explicit(*parts: bytes) -> bytes:
    return der.encode(0xA0, *parts)


def content(kind: bytes, *parts: bytes) -> bytes:
    return der.encode(der.SEQUENCE, kind, explicit(*parts))


def store(*safes: bytes) -> bytes:
    authenticated = der.encode(der.SEQUENCE, *safes)
    info = content(DATA, der.encode(der.OCTET_STRING, authenticated))
    return der.encode(der.SEQUENCE, der.encode_integer(3), info)


def open_safe(*bags: bytes) -> bytes:
    return content(DATA, der.encode(der.OCTET_STRING, der.encode(der.SEQUENCE, *bags)))


def bag(number: int, value: bytes, *attributes: bytes) -> bytes:
    extra = [der.encode(der.SET, *attributes)] if attributes else []
    return der.encode(der.SEQUENCE, der.encode_oid(f"{BAGS}{number}"), explicit(value), *extra)


def typed(kind: str, data: bytes) -> bytes:
    octets = explicit(der.encode(der.OCTET_STRING, data))
    return der.encode(der.SEQUENCE, der.encode_oid(kind), octets)


def name(text: str) -> bytes:
    values = der.encode(der.SET, der.encode(0x1E, text.encode("utf-16-be")))
    return der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.9.20"), values)


CERTIFICATE_BAG = bag(3, typed("1.2.840.113549.1.9.22.1", CERTIFICATE), name("größe"))


def encrypted_safe(algorithm: bytes, ciphertext: bytes) -> bytes:
    info = der.encode(der.SEQUENCE, DATA, algorithm, der.encode(0x80, ciphertext))
    data = der.encode(der.SEQUENCE, der.encode_integer(0), info)
    return content(der.encode_oid("1.2.840.113549.1.7.6"), data)


def scheme(number: int, iterations: int) -> bytes:
    parameters = der.encode(
        der.SEQUENCE, der.encode(der.OCTET_STRING, b"saltsalt"), der.encode_integer(iterations)
    )
    return der.encode(der.SEQUENCE, der.encode_oid(f"1.2.840.113549.1.12.1.{number}"), parameters)


@pytest.mark.parametrize(
    ("data", "confidence"),
    [
        (store(), Confidence.SURE),
        (b"\x30\x05\x02\x01\x04\x30\x00", Confidence.NO),
        (b"\x30\x80" + store()[2:], Confidence.SURE),
        (b"\x30\x05\x02\x01\x03\x04\x00", Confidence.NO),
        (KEY, Confidence.NO),
        (b"0", Confidence.NO),
        (b"text", Confidence.NO),
    ],
)
def test_it_is_told_by_its_version_and_content(data: bytes, confidence: Confidence) -> None:
    assert pkcs12.recognise(data, Hint()) is confidence


def test_what_is_damaged_at_its_start_is_told_by_its_name() -> None:
    damaged = b"\x30\x82\x02\x01\x09" + store(open_safe(CERTIFICATE_BAG))[5:]
    assert pkcs12.recognise(damaged, Hint(b"/x/server.PFX")) is Confidence.MAYBE
    assert pkcs12.recognise(b"text", Hint(b"/x/server.p12")) is Confidence.NO


def test_what_is_not_encrypted_is_read_without_a_password() -> None:
    result = read(
        store(
            open_safe(
                CERTIFICATE_BAG,
                bag(4, typed("1.2.840.113549.1.9.23.1", CRL)),
                bag(1, KEY, name("server")),
                bag(6, der.encode(der.SEQUENCE, CERTIFICATE_BAG)),
                bag(5, der.encode(der.OCTET_STRING, b"secret")),
                bag(3, typed("1.2.840.113549.1.9.22.2", b"SDSI")),
            )
        )
    )
    seen = [(item.entry.kind.value, item.entry.member.decode()) for item in result.found]
    assert seen == [
        ("certificate", "größe"),
        ("crl", ""),
        ("private-key", "server"),
        ("certificate", "größe"),
    ]
    assert result.status is Status.READ
    assert not result.found[2].entry.encrypted


@pytest.mark.parametrize(
    ("safe", "reason"),
    [
        (encrypted_safe(scheme(3, 1), b"8 bytes " * 4), "password-needed"),
        (encrypted_safe(scheme(3, 1), b"not whole"), "password-needed"),
        (encrypted_safe(scheme(1, 1), b"stream"), "password-needed"),
        (encrypted_safe(scheme(6, 2**31), b"8 bytes "), "limit-iterations"),
        (encrypted_safe(scheme(6, 0), b"8 bytes "), "limit-iterations"),
        (encrypted_safe(scheme(99, 1), b"8 bytes "), "unknown-encryption"),
        (content(der.encode_oid("1.2.840.113549.1.7.3"), b"\x30\x00"), "certificate-needed"),
    ],
)
def test_a_part_that_stays_locked_does_not_cost_the_others(safe: bytes, reason: str) -> None:
    result = read(store(safe, open_safe(CERTIFICATE_BAG)))
    assert (result.status, result.reason) == (Status.LOCKED, reason)
    assert [item.entry.kind.value for item in result.found] == ["certificate", "sealed-container"]


def test_the_identity_of_a_locked_container_is_that_of_its_encrypted_parts_alone() -> None:
    safe = encrypted_safe(scheme(3, 1), b"8 bytes " * 4)
    with_key = read(store(safe, open_safe(bag(1, KEY)))).found[-1].entry
    without = read(store(safe)).found[-1].entry
    assert with_key == without


def test_a_thousand_bytes_can_not_ask_for_hours() -> None:
    bags = [encrypted_safe(scheme(6, 1_500_000), b"8 bytes ") for _ in range(20)]
    before = time.process_time()
    result = read(store(*bags), "a", "b")
    assert time.process_time() - before < 60  # without a bound it takes hours
    assert result.status is Status.LOCKED


@pytest.mark.parametrize(
    "safe",
    [
        der.encode(der.SEQUENCE, DATA),
        open_safe(bag(3, b"\x30\x00")),
        open_safe(bag(3, typed("1.2.840.113549.1.9.22.1", CERTIFICATE)), b"\x30\x00"),
        content(
            der.encode_oid("1.2.840.113549.1.7.6"),
            der.encode(
                der.SEQUENCE,
                der.encode_integer(0),
                der.encode(der.SEQUENCE, DATA, der.encode(der.SEQUENCE)),
            ),
        ),
    ],
)
def test_a_malformed_part_does_not_cost_the_others(safe: bytes) -> None:
    result = read(store(safe, open_safe(CERTIFICATE_BAG)))
    assert (result.status, result.reason) == (Status.PARTIAL, "malformed-pkcs12")
    assert result.found[-1].public == CERTIFICATE


def test_other_contents_and_keys_that_are_none_are_told() -> None:
    unknown = read(store(content(der.encode_oid("1.2.3"), b"\x30\x00")))
    assert unknown.reason == "unknown-content"
    no_key = read(store(open_safe(bag(1, b"\x30\x00")), encrypted_safe(scheme(3, 1), b"8 bytes ")))
    assert (no_key.status, no_key.reason) == (Status.PARTIAL, "malformed-private-key")
    signed = der.encode(
        der.SEQUENCE,
        der.encode_integer(3),
        content(der.encode_oid("1.2.3"), b"\x30\x00"),
    )
    assert read(signed).reason == "unsupported-integrity"
    assert read(b"\x30\x03\x02\x01\x03").reason == "malformed-pkcs12"
    assert read(b"\x30\x09\x02\x01\x03").reason == "truncated"


def test_nesting_is_limited() -> None:
    inner = CERTIFICATE_BAG
    for _ in range(6):
        inner = bag(6, der.encode(der.SEQUENCE, inner))
    assert read(store(open_safe(inner))).reason == "malformed-pkcs12"


@pytest.mark.parametrize(
    "attribute",
    [
        der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.9.21"), der.encode(der.SET)),
        der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.9.20"), der.encode(der.SET)),
        b"\x04\x00",
    ],
)
def test_a_missing_or_odd_friendly_name_is_no_name(attribute: bytes) -> None:
    odd = bag(3, typed("1.2.840.113549.1.9.22.1", CERTIFICATE), attribute)
    (found,) = read(store(open_safe(odd))).found
    assert found.entry.member == b""


@pytest.mark.parametrize(
    ("value", "member"),
    [
        (der.encode(0x1E, "\U0001f511".encode("utf-16-be")), "\U0001f511"),
        (der.encode(0x1E, b"\0a\xd8\x3d"), "a\ufffd"),
        (der.encode(0x1E, b"\0a\0\0"), "a"),
        (der.encode(0x1E, b"\0a\0"), "a\ufffd"),
        (der.encode(0x0C, "größe".encode()), "größe"),
    ],
)
def test_friendly_names_are_text_whatever_their_units(value: bytes, member: str) -> None:
    values = der.encode(der.SET, value)
    attribute = der.encode(der.SEQUENCE, der.encode_oid("1.2.840.113549.1.9.20"), values)
    named = bag(3, typed("1.2.840.113549.1.9.22.1", CERTIFICATE), attribute)
    assert read(store(open_safe(named))).found[0].entry.member.decode() == member


def test_of_a_file_that_breaks_off_all_that_is_open_and_whole_is_listed() -> None:
    data = store(
        open_safe(CERTIFICATE_BAG), open_safe(CERTIFICATE_BAG, bag(1, KEY), CERTIFICATE_BAG)
    )
    seen = set()
    for size in range(len(CERTIFICATE_BAG) + 80, len(data)):
        result = read(data[:size])
        assert (result.status, result.reason) == (Status.PARTIAL, "truncated")
        assert {item.public for item in result.found if item.entry.kind == "certificate"} == {
            CERTIFICATE
        }
        seen.add(len(result.found))
    assert seen == {1, 2, 3, 4}


def test_a_cut_part_under_a_password_is_no_container_and_costs_nothing_before_it() -> None:
    data = store(open_safe(CERTIFICATE_BAG), encrypted_safe(scheme(3, 1), b"8 bytes " * 4))
    result = read(data[:-5])
    assert [item.entry.kind.value for item in result.found] == ["certificate"]
    assert result.reason == "truncated"


def test_bytes_behind_the_end_cost_nothing() -> None:
    data = store(open_safe(CERTIFICATE_BAG))
    assert read(data + b"\r\nmore").found == read(data).found
    assert read(data + b"\0" * 100).status is Status.READ


def signed(*certificates: bytes, kind: bytes = DATA) -> bytes:
    safes = der.encode(der.OCTET_STRING, der.encode(der.SEQUENCE, open_safe(CERTIFICATE_BAG)))
    fields = [der.encode_integer(1), der.encode(der.SET), content(kind, safes)]
    fields += [explicit(*certificates), der.encode(der.SET)]
    info = content(der.encode_oid("1.2.840.113549.1.7.2"), der.encode(der.SEQUENCE, *fields))
    return der.encode(der.SEQUENCE, der.encode_integer(3), info)


def test_what_is_signed_by_a_key_is_read_with_the_certificates_of_its_signer() -> None:
    other = (FILES / "two.der").read_bytes()[len(CERTIFICATE) :]
    result = read(signed(other, b"\xa1\0"))
    assert [item.public for item in result.found] == [CERTIFICATE, other]
    assert read(signed(kind=der.encode_oid("1.2.3"))).reason == "malformed-pkcs12"


def sealed_certificate(password: str) -> bytes:
    derive = Pkcs12Derivation(
        password.encode("utf-16-be") + b"\0\0", b"saltsalt", 1, IterationBudget()
    )
    plain = der.encode(der.SEQUENCE, bag(3, typed("1.2.840.113549.1.9.22.1", CERTIFICATE)))
    padding = 8 - len(plain) % 8
    encryptor = Cipher(TripleDES(derive(1, 24)), modes.CBC(derive(2, 8))).encryptor()
    body = encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()
    return encrypted_safe(scheme(3, 1), body)


def test_parts_with_different_passwords_are_each_opened_by_their_own() -> None:
    names = ("", "a", "b", "\U0001f511", "b")
    result = read(store(*map(sealed_certificate, names)), "b", "a", "\U0001f511")
    assert [item.public for item in result.found] == [CERTIFICATE] * 5
    assert result.status is Status.READ
    assert len(read(store(*map(sealed_certificate, names)), "b").found) == 4
    # Where no password opened a part, the empty one is not tried on the next: two of these are locked.
    locked = read(store(*map(sealed_certificate, ("a", "", "b"))), "b")
    assert [item.public for item in locked.found if item.public] == [CERTIFICATE]


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_the_mac_says_which_of_many_passwords_to_begin_with(digest: str) -> None:
    """Fifteen wrong ones would spend the file's work before the right one is tried on a part."""
    rounds = 185_000
    protection = (
        PrivateFormat.PKCS12.encryption_builder()
        .kdf_rounds(rounds)
        .key_cert_algorithm(PBES.PBESv1SHA1And3KeyTripleDESCBC)
        .hmac_hash(getattr(hashes, digest.upper())())
        .build(b"right")
    )
    certificate = x509.load_der_x509_certificate(CERTIFICATE)
    data = serialize_key_and_certificates(b"x", None, certificate, None, protection)
    passwords = [f"wrong{number}" for number in range(15)]
    assert [item.public for item in read(data, *passwords, "right").found] == [CERTIFICATE]
    without_mac = der.encode(der.SEQUENCE, *parts_of(data)[:2])
    assert read(without_mac, *passwords, "right").reason == "limit-iterations"


def parts_of(pfx: bytes) -> list[bytes]:
    return [der.encoding(pfx, part) for part in der.children(pfx, der.read_whole(pfx))]


def with_mac(pfx: bytes, password: str, oid: str = "1.3.14.3.2.26") -> bytes:
    version, safe = parts_of(pfx)
    safes = der.children(safe, der.read_whole(safe))[1]
    inner = der.read(safe, safes.body, safes.body_end)
    key = Pkcs12Derivation(password.encode("utf-16-be") + b"\0\0", b"salt", 1, IterationBudget())(
        3, 20
    )
    made = hmac.digest(key, der.content(safe, inner), "sha1")
    algorithm = der.encode(der.SEQUENCE, der.encode_oid(oid))
    info = der.encode(der.SEQUENCE, algorithm, der.encode(der.OCTET_STRING, made))
    mac = der.encode(der.SEQUENCE, info, der.encode(der.OCTET_STRING, b"salt"))
    return der.encode(der.SEQUENCE, version, safe, mac)


def test_a_mac_of_another_password_spares_the_parts_the_empty_one_only() -> None:
    def public(data: bytes, *passwords: str) -> list[bytes]:
        return [item.public for item in read(data, *passwords).found if item.public]

    empty, twice = store(sealed_certificate("")), store(sealed_certificate("parts"))
    assert public(empty) == public(with_mac(empty, "")) == [CERTIFICATE]
    assert public(with_mac(empty, "other")) == []
    assert public(with_mac(empty, "other", oid="1.2.3")) == [CERTIFICATE]
    assert public(with_mac(twice, "mac"), "mac", "parts") == [CERTIFICATE]
    assert public(with_mac(twice, "mac"), "parts") == [CERTIFICATE]


def test_a_store_of_many_keys_says_of_each_that_a_password_is_needed() -> None:
    """Not that its work would be too much: the empty password is not tried a hundred times."""
    data = (FILES / "encrypted.p8").read_bytes()
    iterations = data.replace(b"\x02\x02\x08\x00", b"\x02\x02\x7f\xff")
    assert iterations != data
    result = read(store(open_safe(*[bag(2, iterations)] * 100)))
    assert {item.entry.reason for item in result.found} == {"password-needed"}


def test_pieces_of_octets_are_joined_everywhere() -> None:
    fields = der.children(SEALED, der.read_whole(SEALED))
    cut = der.content(SEALED, fields[1])
    pieces = (
        b"\x24\x80" + der.encode(4, cut[:7]) + der.encode(0x24, der.encode(4, cut[7:])) + b"\0\0"
    )
    split = b"\x30\x80" + der.encoding(SEALED, fields[0]) + pieces + b"\0\0"
    (found,) = read(store(open_safe(bag(2, split))), PASSWORD).found
    assert found.entry.kind.value == "private-key"
    (locked,) = read(store(open_safe(bag(2, split)))).found
    assert locked.entry.artifact == read(store(open_safe(bag(2, SEALED)))).found[0].entry.artifact


EXPORT = "openssl pkcs12 -export -inkey key.pem -in cert.pem -name n -passout file:pass -out"
OLD = "-provider legacy -provider default"


@pytest.mark.parametrize(
    "options",
    [
        "-macalg sha1",
        "-macalg sha256 -maciter",
        "-macalg sha512",
        "-macalg sha3-256",
        "-nomac",
        "-nomaciter -noiter",
        "-certpbe PBE-SHA1-RC2-40 -keypbe PBE-SHA1-3DES",
        "-certpbe PBE-SHA1-RC4-128 -keypbe PBE-SHA1-RC4-40",
        "-certpbe PBE-SHA1-2DES -keypbe PBE-SHA1-RC2-128",
        "-certpbe NONE -keypbe NONE",
        "-certpbe aes-128-cbc -keypbe aes-192-cbc",
        "-certpbe des-ede3-cbc -keypbe seed-cbc",
    ],
)
@pytest.mark.parametrize("password", ["p", "größe", "\U0001f511\U0001f511"])
def test_whatever_openssl_exports_is_opened_by_its_password(
    options: str, password: str, tmp_path: Path
) -> None:
    (tmp_path / "key.pem").write_bytes((FILES / "sec1.pem").read_bytes())
    (tmp_path / "cert.pem").write_bytes((FILES / "certificate.pem").read_bytes())
    (tmp_path / "pass").write_text(f"{password}\n" * 2, encoding="utf-8")
    made = subprocess.run(
        [*EXPORT.split(), "x.p12", *OLD.split(), *options.split()],
        cwd=tmp_path,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        check=False,
        capture_output=True,
    )
    assert made.returncode == 0, made.stderr
    result = read((tmp_path / "x.p12").read_bytes(), "wrong", password)
    assert [item.entry.kind.value for item in result.found] == ["certificate", "private-key"]
    assert [item.entry.member for item in result.found] == [b"n", b"n"]
    assert result.status is Status.READ


def test_a_store_of_megabytes_under_rc2_is_opened(tmp_path: Path) -> None:
    armoured = (FILES / "certificate.pem").read_text(encoding="utf-8")
    count = 2 * 1024 * 1024 // len(CERTIFICATE)
    (tmp_path / "many.pem").write_text(armoured * count)
    command = "openssl pkcs12 -export -nokeys -in many.pem -passout pass:p -out x.p12"
    command = f"{command} -certpbe PBE-SHA1-RC2-40 {OLD}"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    result = read((tmp_path / "x.p12").read_bytes(), "p")
    assert result.status is Status.READ
    assert [item.public for item in result.found] == [CERTIFICATE] * count


def test_an_odd_mac_costs_nothing() -> None:
    data = (FILES / "locked.p12").read_bytes()
    outer = der.read(data, 0, len(data))
    version, info = der.children(data, outer)[:2]
    odd = der.encode(
        der.SEQUENCE, der.encoding(data, version), der.encoding(data, info), b"\x30\x01\x00"
    )
    assert read(odd, PASSWORD).found == read(data, PASSWORD).found
    assert read(odd).status is Status.LOCKED


def test_a_store_in_ber_with_split_octets_is_read() -> None:
    piece = der.encode(der.SEQUENCE, open_safe(CERTIFICATE_BAG))
    split = b"\x24\x80" + b"".join(
        der.encode(der.OCTET_STRING, piece[at : at + 100]) for at in range(0, len(piece), 100)
    )
    info = b"\x30\x80" + DATA + b"\xa0\x80" + split + b"\0\0" * 3
    data = b"\x30\x80" + der.encode_integer(3) + info + b"\0\0"
    assert [item.public for item in read(data).found] == [CERTIFICATE]
