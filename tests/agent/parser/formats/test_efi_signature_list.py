from __future__ import annotations

import struct

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.model import Status
from keycensus_agent.parser import der
from keycensus_agent.parser.dispatch import parse
from keycensus_agent.parser.findings import Confidence, FormatResult, Hint, Request
from keycensus_agent.parser.formats import efi_signature_list, pkcs7
from keycensus_agent.parser.store_magic import EFI_RSA_2048, EFI_X509
from keycensus_agent.parser.triage import Triage, triage

LISTS = (FILES / "db.esl").read_bytes()
UPDATE = (FILES / "db.auth").read_bytes()
VARIABLE = (FILES / "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f").read_bytes()
HASHES = (FILES / "dbx.esl").read_bytes()
CERTIFICATE = (FILES / "certificate.cer").read_bytes()
RSA_KEY = (FILES / "rsa-public.der").read_bytes()
OWNER = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
NOBODY = bytes(16)
SHA_256 = bytes.fromhex("2616c4c14c509240aca941f936934328")
# Time, and the header behind which the signature stands.
SIGNED_AT = 40
VERSION_AT = SIGNED_AT + 4


def read(data: bytes) -> FormatResult:
    return efi_signature_list.parse(data, Request())


def signature_list(
    kind: bytes, *values: bytes, owner: bytes = NOBODY, header: bytes = b""
) -> bytes:
    size = 16 + len(values[0]) if values else 0
    body = header + b"".join(owner + value for value in values)
    return kind + struct.pack("<III", 28 + len(body), len(header), size) + body


def members(result: FormatResult) -> list[str]:
    return [item.entry.member.decode() for item in result.found]


@pytest.mark.parametrize("data", [LISTS, UPDATE, VARIABLE, HASHES, VARIABLE[:4] + UPDATE])
def test_it_is_told_by_its_guid_behind_time_or_attributes_too(data: bytes) -> None:
    assert triage(data[:4096], len(data)) is Triage.CANDIDATE
    assert efi_signature_list.recognise(data, Hint()) is Confidence.SURE


@pytest.mark.parametrize(
    "data",
    [
        b"",
        LISTS[:15],
        LISTS[:15] + b"x" + LISTS[16:],
        b"\0\0\0\0" + LISTS,
        b"\7\1\0\0" + LISTS,
        b"\7\0\0\0" + bytes(90),
        UPDATE[:20] + b"\0\1" + UPDATE[22:],
        UPDATE[:39] + b"\0" + UPDATE[40:],
    ],
)
def test_other_bytes_are_none(data: bytes) -> None:
    assert triage(data[:4096], len(data)) is not Triage.CANDIDATE
    assert efi_signature_list.recognise(data, Hint()) is Confidence.NO


def test_each_certificate_has_its_owner_as_member() -> None:
    for data in (LISTS, VARIABLE):
        result = read(data)
        assert (members(result), result.status) == ([OWNER, ""], Status.READ)
        assert all(item.public in data for item in result.found)


def test_certificates_of_one_size_share_a_list() -> None:
    result = read(signature_list(EFI_X509, CERTIFICATE, CERTIFICATE, header=b"header"))
    assert [item.public for item in result.found] == [CERTIFICATE] * 2


def test_who_signed_an_update_stands_before_what_it_holds() -> None:
    result = read(UPDATE)
    assert (members(result), result.status) == (["", OWNER, ""], Status.READ)
    assert result.found[0].public == result.found[2].public
    assert members(read(UPDATE[: -len(LISTS)])) == [""]  # it empties the variable


def test_a_signature_may_have_its_content_type() -> None:
    """As OpenSSL writes PKCS#7, against the standard, which wants SignedData alone."""
    end = SIGNED_AT + struct.unpack_from("<I", UPDATE, 16)[0] - 24
    name = der.encode_oid("1.2.840.113549.1.7.2")
    signed = der.encode(der.SEQUENCE, name, der.encode(0xA0, UPDATE[SIGNED_AT:end]))
    assert pkcs7.recognise(signed, Hint()) is Confidence.SURE
    size = struct.pack("<I", 24 + len(signed))
    data = UPDATE[:16] + size + UPDATE[20:SIGNED_AT] + signed + UPDATE[end:]
    assert read(data) == read(UPDATE)


def test_hashes_are_no_finding_and_no_error() -> None:
    for data in (HASHES, signature_list(SHA_256, bytes(32), bytes(32)), signature_list(SHA_256)):
        parsed = parse(data, Hint(b"/srv/dbx.esl"))
        assert (parsed.entries, parsed.status, parsed.reason) == ((), Status.READ, "")


def test_types_of_others_are_passed_over() -> None:
    data = HASHES + signature_list(b"x" * 16, b"value") + signature_list(EFI_X509, CERTIFICATE)
    assert [item.public for item in read(data).found] == [CERTIFICATE]
    assert read(data).status is Status.READ


def test_a_key_without_certificate_is_a_public_key() -> None:
    modulus = der.content(RSA_KEY, der.children(RSA_KEY, der.read_whole(RSA_KEY))[0])[-256:]
    key = read(signature_list(EFI_RSA_2048, modulus)).found[0].entry
    same = parse(RSA_KEY, Hint()).entries[0]
    assert (key.kind.value, key.artifact) == ("public-key", same.artifact)
    broken = read(signature_list(EFI_RSA_2048, bytes(256)))
    assert (broken.found, broken.reason) == ((), "malformed-public-key")


def test_what_fills_up_the_end_is_no_damage() -> None:
    for padding in (bytes(100), b"\xff" * 3):
        assert read(LISTS + padding) == read(LISTS)


def test_what_stands_behind_a_certificate_in_its_entry_is_left_out() -> None:
    found = read(signature_list(EFI_X509, CERTIFICATE + bytes(7))).found
    assert [item.public for item in found] == [CERTIFICATE]


@pytest.mark.parametrize("value", [bytes(300), CERTIFICATE[:-1], b"text" * 9])
def test_an_entry_that_is_no_certificate_does_not_cost_the_next(value: bytes) -> None:
    data = signature_list(EFI_X509, value) + signature_list(EFI_X509, CERTIFICATE)
    result = read(data)
    assert [item.public for item in result.found] == [CERTIFICATE]
    assert (result.status, result.reason) == (Status.PARTIAL, "malformed-certificate")


GOOD = signature_list(EFI_X509, CERTIFICATE)


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((0, 0, 0), "malformed-signature-list"),
        ((27, 0, 17), "malformed-signature-list"),
        ((len(GOOD), len(GOOD), 17), "malformed-signature-list"),
        ((len(GOOD), 0xFFFFFFFF, 17), "malformed-signature-list"),
        ((28 + 160, 0, 16), "malformed-signature-list"),
        ((len(GOOD), 0, 0), "malformed-signature-list"),
        ((len(GOOD), 0, 17), "malformed-signature-list"),
        ((len(GOOD), 0, 0xFFFFFFFF), "malformed-signature-list"),
        ((0xFFFFFFFF, 0, 17), "truncated"),
    ],
)
def test_sizes_that_do_not_add_up_cost_only_the_order(
    sizes: tuple[int, int, int], reason: str
) -> None:
    data = LISTS + EFI_X509 + struct.pack("<III", *sizes) + GOOD[28:] + GOOD
    result = read(data)
    assert [item.public for item in result.found[2:]] == [CERTIFICATE] * 2
    assert (result.status, result.reason) == (Status.PARTIAL, reason)


@pytest.mark.parametrize("size", [0, 23, 0xFFFFFFFF])
def test_a_signature_of_another_size_than_it_says(size: int) -> None:
    result = read(UPDATE[:16] + struct.pack("<I", size) + UPDATE[20:])
    assert (len(result.found), result.reason) == (3, "truncated")


def test_a_broken_signature_does_not_cost_the_lists() -> None:
    result = read(UPDATE[:VERSION_AT] + b"\0" + UPDATE[VERSION_AT + 1 :])
    assert members(result) == ["", OWNER, ""]
    assert (result.status, result.reason) == (Status.PARTIAL, "malformed-pkcs7")


def test_whatever_is_cut_off_is_read_up_to_there() -> None:
    for whole in (LISTS, UPDATE, VARIABLE):
        seen = 0
        for end in range(40, len(whole)):
            result = read(whole[:end])
            assert result.found or result.reason or result.status is Status.READ
            assert len(result.found) >= seen
            seen = len(result.found)


@pytest.mark.parametrize(
    "data",
    [
        signature_list(SHA_256) * 400_000,
        signature_list(EFI_X509, *[b"\x30\0"] * 400_000),
        signature_list(EFI_X509, CERTIFICATE) * 10_000,
    ],
)
def test_thousands_of_lists_are_read_up_to_a_limit(data: bytes) -> None:
    result = read(data)
    assert result.reason == "limit-values"
    assert len(result.found) <= 5_000
