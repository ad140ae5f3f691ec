from __future__ import annotations

import base64
import re
import textwrap
import time

import pytest
from cryptography.hazmat.primitives.asymmetric.dsa import DSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
)
from fixtures.build_fixtures import FILES, PASSWORD

from keycensus_agent.model import EntryKind, Status
from keycensus_agent.parser import der
from keycensus_agent.parser.findings import FormatResult, Hint, Request
from keycensus_agent.parser.formats import pem
from keycensus_agent.parser.passages import read_text

CERTIFICATE = (FILES / "certificate.cer").read_bytes()
SPKI = (FILES / "public.der").read_bytes()


def armour(data: bytes, label: str = "CERTIFICATE", end: str = "") -> bytes:
    lines = textwrap.fill(base64.b64encode(data).decode(), 64)
    return f"-----BEGIN {label}-----\n{lines}\n-----END {end or label}-----\n".encode()


def read(data: bytes, *passwords: str) -> FormatResult:
    return read_text([("pem", pem.find)], data, Request(Hint(b"file"), passwords))


def kinds(result: FormatResult) -> list[str]:
    return [item.entry.kind for item in result.found]


@pytest.mark.parametrize(
    "wrapped",
    [
        armour(CERTIFICATE).replace(b"\n", b"\\n"),
        armour(CERTIFICATE).replace(b"\n", b"\\\\r\\\\n"),
        armour(CERTIFICATE).replace(b"\n", b"\\u000a").replace(b"/", b"\\/"),
        armour(CERTIFICATE).replace(b"\n", b'\\n" +\n    "'),
        armour(CERTIFICATE).replace(b"\n", b"\\n'\n  b'"),
        armour(CERTIFICATE).replace(b"\n", b"\n\t\t"),
        armour(CERTIFICATE).replace(b"\n", b"\r"),
        armour(CERTIFICATE).replace(b"\n", b" "),
        armour(CERTIFICATE).replace(b"E-----\n", b"E-----\nComment: by hand\n\n"),
        armour(CERTIFICATE).replace(b"\n", b"`n"),
        armour(CERTIFICATE).replace(b"\n", b"&#13;&#xA;"),
        armour(CERTIFICATE).replace(b"\n", b"\r\n"),
        armour(CERTIFICATE).rstrip(),
        *(
            b"text\n" + b"\n".join(mark + line for line in armour(CERTIFICATE).split(b"\n")[:-1])
            for mark in (b"> ", b"# ", b"// ", b" * ", b"+", b"dnl ", b"REM ")
        ),
        *(
            b"pem =\n"
            + b"".join(before + line + after for line in armour(CERTIFICATE).splitlines())
            for before, after in (
                (b"    '", b"\\r\\n' +\n"),
                (b'    "', b'\\n" .\n'),
                (b'b"', b'\\n"\n'),
                (b'// "', b'\\n" +\n'),
                (b'  + "', b'\\n"\n'),
                (b"\t`", b"` +\n"),
            )
        ),
        b'k = x\n  + "'
        + armour(CERTIFICATE).replace(b"\n", b'\\n" + "', 1).replace(b"\n", b'\\n"\n  + "'),
        armour(CERTIFICATE).replace(
            b"\n-----END", b"\n-\n-   drawn by hand: (Q@*0CG*O()\n-----END"
        ),
        b"+" + armour(CERTIFICATE),
        armour(CERTIFICATE).decode().encode("utf-16-le"),
        armour(CERTIFICATE).decode().encode("utf-16-be"),
        b"\xef\xbb\xbf" + armour(CERTIFICATE),
        b"\xfe\xff" + armour(CERTIFICATE).decode().encode("utf-16-be"),
        b"\0\1binary" + armour(CERTIFICATE) + b"\0\xff",
    ],
)
def test_the_text_that_a_block_is_wrapped_in_does_not_change_it(wrapped: bytes) -> None:
    result = read(wrapped)
    assert [item.public for item in result.found] == [CERTIFICATE]
    assert result.status is Status.READ


@pytest.mark.parametrize(
    "text",
    [
        b"-----BEGIN CERTIFICATE-----",
        b"-----BEGIN GARBAGE-----",
        b"-----BEGIN PUBLIC KEY-----\nMIQ=\n-----END PUBLIC KEY-----\n",
        b"if line == '-----BEGIN CERTIFICATE-----': start()\n",
        b"-----BEGIN CERTIFICATE-----\nMII...\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n{{ certificate }}\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PRIVATE KEY-----\nyour key here\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\n" + b"X" * 64 + b"\n-----END CERTIFICATE-----\n",
        b"-----BEGIN PKCS7-----\n-----END PKCS7-----\n",
        b"-----END CERTIFICATE-----\n",
        armour(CERTIFICATE, "GARBAGE"),
        armour(CERTIFICATE, "PGP PUBLIC KEY BLOCK"),
        armour(b"\x06\x08*\x86H\xce=\x03\x01\x07", "EC PARAMETERS"),
    ],
)
def test_mentions_placeholders_and_other_labels_are_neither_found_nor_damage(text: bytes) -> None:
    result = read(text)
    assert (result.found, result.status, result.reason) == ((), Status.READ, "")


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (armour(CERTIFICATE)[:-60].replace(b"END", b""), "unclosed-block"),
        (armour(CERTIFICATE, end="CERTIFICATES"), "mismatched-label"),
        (armour(CERTIFICATE).replace(b"\nM", b"\n", 1), "bad-base64"),
        (armour(b"\x04\x82" + bytes(90)), "malformed-certificate"),
        (armour(b"\x30\x10" + bytes(90), "TRUSTED CERTIFICATE"), "malformed-certificate"),
        (armour(b"\x30\x84\xff" + bytes(90), "TRUSTED CERTIFICATE"), "malformed-block"),
        (armour(b"\x04" * 90, "PRIVATE KEY"), "malformed-private-key"),
        (armour(b"\x04" * 90, "OPENSSH PRIVATE KEY"), "malformed-private-key"),
        (armour(b"\x04" * 90, "ENCRYPTED PRIVATE KEY"), "malformed-sealed-key"),
        (armour(b"\x30\x5c\x04\x5a" + bytes(90), "PUBLIC KEY"), "malformed-public-key"),
        (armour(b"\x04" * 90, "PUBLIC KEY"), "malformed-block"),
        (armour(b"\x04" * 90, "PKCS7"), "malformed-pkcs7"),
    ],
)
def test_a_damaged_block_costs_itself_and_nothing_else(damaged: bytes, reason: str) -> None:
    alone = read(damaged)
    assert (alone.found == ()) == (alone.status is Status.MALFORMED)
    between = read(armour(CERTIFICATE) + damaged + armour(SPKI, "PUBLIC KEY"))
    assert between.found[0].public == CERTIFICATE
    assert between.found[-1].public == SPKI
    if reason != "malformed-certificate" or len(between.found) == 2:
        assert (between.status, between.reason) == (Status.PARTIAL, reason)


def test_a_certificate_that_can_not_be_understood_is_still_reported_by_its_bytes() -> None:
    data = b"\x30\x82\x00\x64" + bytes(100)
    (found,) = read(armour(data)).found
    assert found.entry.kind is EntryKind.CERTIFICATE
    assert found.entry.reason == "malformed-certificate"
    assert found.public == data


@pytest.mark.parametrize("size", [48, 200, len(CERTIFICATE) - 1])
def test_a_certificate_that_breaks_off_is_damage_and_none(size: int) -> None:
    result = read(armour(CERTIFICATE[:size]))
    assert (result.found, result.reason) == ((), "malformed-certificate")
    assert len(read(armour(CERTIFICATE[:size]) + armour(CERTIFICATE)).found) == 1


def test_a_request_under_the_label_of_a_certificate_is_a_request() -> None:
    request = (FILES / "request.p10").read_bytes()
    assert kinds(read(armour(request))) == ["csr"]


def test_signed_data_under_the_label_of_a_request_is_read_as_what_it_is() -> None:
    text = armour((FILES / "chain.p7c").read_bytes(), "CERTIFICATE REQUEST")
    assert kinds(read(text)) == ["certificate", "certificate"]


def test_headers_of_an_encrypted_key_decide_how_it_is_sealed() -> None:
    text = (FILES / "legacy-encrypted.pem").read_bytes()
    without = b"\n".join(line for line in text.split(b"\n") if b"DEK-Info" not in line)
    (sealed,) = read(without).found
    assert (sealed.entry.kind, sealed.entry.reason) == ("sealed-key", "unknown-encryption")
    assert kinds(read(text, "wrong", PASSWORD)) == ["private-key"]


@pytest.mark.parametrize(
    "headers",
    [
        b"X-Comment: of another program\nProc-Type: 4,ENCRYPTED\nDEK-Info: ",
        b"Proc-Type: 4,ENCRYPTED\nX-Comment: between\nDEK-Info: ",
        b"Key: 1\r\nName: two\r\nProc-Type: 4,ENCRYPTED\r\nDEK-Info: ",
    ],
)
def test_headers_of_others_beside_those_of_an_encrypted_key_are_overlooked(headers: bytes) -> None:
    text = (FILES / "legacy-encrypted.pem").read_bytes()
    other = text.replace(b"Proc-Type: 4,ENCRYPTED\nDEK-Info: ", headers)
    assert kinds(read(other, PASSWORD)) == ["private-key"]
    behind = re.sub(rb"(DEK-Info: .*\n)", rb"\1X-Comment: behind\n", text)
    assert kinds(read(behind, PASSWORD)) == ["private-key"]


def test_very_many_headers_cost_no_more_than_their_length() -> None:
    text = b"-----BEGIN PRIVATE KEY-----\n" + b"A: b\n" * 400_000 + b"-----END PRIVATE KEY-----\n"
    started = time.process_time()
    assert read(text).found == ()
    assert time.process_time() - started < 5


def test_a_request_and_a_list_keep_an_unusual_label_as_member() -> None:
    request = (FILES / "request.p10").read_bytes()
    crl = (FILES / "authority-der.crl").read_bytes()
    text = armour(request, "NEW CERTIFICATE REQUEST") + armour(crl, "X509 CRL")
    assert [item.entry.member for item in read(text).found] == [b"NEW CERTIFICATE REQUEST", b""]


def test_public_keys_are_read_under_either_label() -> None:
    rsa = (FILES / "rsa-public.der").read_bytes()
    for data in (rsa, SPKI):
        both = armour(data, "PUBLIC KEY") + armour(data, "RSA PUBLIC KEY")
        first, second = read(both).found
        assert first == second


def test_a_dsa_key_in_the_form_of_old_is_the_same_key() -> None:
    key = load_der_private_key((FILES / "dsa.der").read_bytes(), None).public_key()
    assert isinstance(key, DSAPublicKey)
    numbers = key.public_numbers()
    group = numbers.parameter_numbers
    fields = [der.encode_integer(value) for value in (numbers.y, group.p, group.q, group.g)]
    (found,) = read(armour(der.encode(der.SEQUENCE, *fields), "DSA PUBLIC KEY")).found
    assert found.public == key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    negative = der.encode(der.INTEGER, b"\x80" + bytes(64))
    broken = read(armour(der.encode(der.SEQUENCE, negative, *fields[1:]), "DSA PUBLIC KEY"))
    assert (broken.found, broken.reason) == ((), "malformed-public-key")


@pytest.mark.parametrize("label", ["PKCS7", "CMS", "PKCS #7 SIGNED DATA"])
def test_signed_data_gives_its_certificates(label: str) -> None:
    data = (FILES / "chain.p7c").read_bytes()
    assert kinds(read(armour(data, label))) == ["certificate", "certificate"]


def test_what_follows_an_artifact_in_its_block_is_left_out() -> None:
    key = (FILES / "pkcs8.der").read_bytes()
    text = armour(CERTIFICATE + bytes(8)) + armour(key + b"\n", "PRIVATE KEY")
    certificate, private = read(text + armour(SPKI + b"x", "PUBLIC KEY")).found[:2]
    assert certificate.public == CERTIFICATE
    assert certificate.entry.reason == ""
    assert private.entry.kind is EntryKind.PRIVATE_KEY


def test_signed_data_under_the_label_of_a_certificate_is_read() -> None:
    data = (FILES / "chain.p7c").read_bytes()
    assert kinds(read(armour(data))) == ["certificate", "certificate"]


def test_a_private_key_under_a_label_that_is_not_known_is_read_or_named() -> None:
    key = (FILES / "pkcs8.der").read_bytes()
    (found,) = read(armour(key, "STRANGE PRIVATE KEY")).found
    assert (found.entry.kind, found.entry.member) == ("private-key", b"STRANGE PRIVATE KEY")
    (opaque,) = read(armour(b"\x04" * 90, "STRANGE PRIVATE KEY")).found
    assert (opaque.entry.kind, opaque.entry.reason) == ("opaque-key", "unknown-label")
    assert kinds(read(armour(b"\x04" * 9, "STRANGE PRIVATE KEY"))) == []


def test_keys_sealed_by_cosign_and_keys_of_a_tpm_are_named() -> None:
    (sealed,) = read(armour(b'{"kdf":1}' * 9, "ENCRYPTED SIGSTORE PRIVATE KEY")).found
    assert (sealed.entry.kind, sealed.entry.reason) == ("sealed-key", "unknown-encryption")
    assert kinds(read((FILES / "tpm.pem").read_bytes())) == ["external-key", "public-key"]


def test_a_keystore_in_armour_is_opened_or_locked() -> None:
    text = armour((FILES / "locked.p12").read_bytes(), "PKCS12")
    locked = read(text)
    assert (locked.status, locked.reason) == (Status.LOCKED, "password-needed")
    assert kinds(read(text, PASSWORD)) == ["certificate", "private-key"]


def test_headers_without_line_ends_are_understood() -> None:
    text = (FILES / "space-joined-legacy.env").read_bytes()
    assert kinds(read(text, PASSWORD)) == ["private-key"]


def test_a_certificate_of_another_kind_and_parameters_hold_nothing() -> None:
    for name in ("attribute.pem", "dh-parameters.pem"):
        result = read((FILES / name).read_bytes())
        assert (result.found, result.reason) == ((), "")
