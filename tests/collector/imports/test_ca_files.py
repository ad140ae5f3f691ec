"""Lists of authorities as tools write them, and the mistakes that people make with them."""

from __future__ import annotations

import base64
import json

import pytest
from fakes.pki import issue

from keycensus_collector.errors import UsageError
from keycensus_collector.imports.ca_files import Listed, read_list

ISSUED = issue("www.example.com")


def only(data: bytes, format_: str = "", serials: str = "") -> Listed:
    entries = read_list(data, format_, serials).entries
    assert len(entries) == 1
    return entries[0]


def test_certutil_of_ad_cs_writes_utf_16_with_requests_that_came_to_nothing() -> None:
    text = (
        '"Request ID","Serial Number","Issued Common Name","Certificate Expiration Date",'
        '"Certificate Hash","Request Disposition","Revocation Date"\r\n'
        '"7","1a000000072c5d","www.example.com","11/23/2027 12:00 PM",'
        '"00 11 22 33 44 55 66 77 88 99 aa bb cc dd ee ff 00 11 22 33","20 -- Issued",EMPTY\r\n'
        '"8",EMPTY,EMPTY,EMPTY,EMPTY,"31 -- Denied",EMPTY\r\n'
        "CertUtil: -view command completed successfully.\r\n"
    )
    read = read_list(text.encode("utf-16"), "", "")
    assert (read.format, read.skipped, len(read.entries)) == ("csv", 1, 1)
    entry = read.entries[0]
    assert (entry.serial, entry.subject, entry.state) == (
        "1a000000072c5d",
        "www.example.com",
        "valid",
    )
    assert entry.sha1.hex() == "00112233445566778899aabbccddeeff00112233"
    assert entry.not_after_ms == 1_826_971_200_000


def test_columns_are_known_by_the_names_of_ejbca_and_others_and_split_by_semicolons() -> None:
    der = base64.b64encode(ISSUED.der).decode()
    text = (
        "serialNumber;issuerDN;subjectDN;expireDate;status;revocationDate;revocationReason;base64Cert\n"
        f"4660123456789012345;CN=CA;CN=www;1826971200000;40;1795435200000;1;{der}\n"
    )
    entry = only(text.encode("utf-8-sig"))
    assert entry.serial == f"{4660123456789012345:x}", "so long and without letters: decimal"
    assert (entry.issuer, entry.subject, entry.state) == ("CN=CA", "CN=www", "revoked")
    assert (entry.not_after_ms, entry.revoked_ms) == (1_826_971_200_000, 1_795_435_200_000)
    assert entry.der == ISSUED.der


def test_vault_lists_serial_numbers_and_others_objects() -> None:
    vault = json.dumps({"data": {"keys": ["39-dd-2e-90", "0A:00"]}}).encode()
    assert [each.serial for each in read_list(vault, "", "").entries] == ["39dd2e90", "a00"]
    fingerprint = ISSUED.sha256.hex().upper()
    objects = json.dumps([{"Fingerprint": fingerprint, "notAfter": "2027-11-23T12:00:00Z"}])
    entry = only(objects.encode())
    assert (entry.sha256, entry.not_after_ms) == (ISSUED.sha256, 1_826_971_200_000)


def test_the_index_of_openssl_has_states_ends_and_reasons() -> None:
    text = (
        "V\t271123120000Z\t\t1000\tunknown\t/C=DE/CN=www.example.com\n"
        "R\t271123120000Z\t261123120000Z,keyCompromise\t1001\tunknown\t/CN=api.example.com\n"
        "E\t201123120000Z\t\t01\tunknown\t/CN=old\n"
    )
    read = read_list(text.encode(), "", "")
    assert read.format == "openssl-index"
    assert [(each.serial, each.state) for each in read.entries] == [
        ("1000", "valid"),
        ("1001", "revoked"),
        ("1", "expired"),
    ]
    assert (read.entries[1].reason, read.entries[1].revoked_ms) == (
        "keyCompromise",
        1_795_435_200_000,
    )


@pytest.mark.parametrize(
    ("data", "format_", "said"),
    [
        (b"serial\n1000\n", "", "may be hexadecimal or decimal"),
        (b"serial,cn\nab,x\nxyz,y\nab,x,z\n", "", "line 4: 3 fields where the head has 2"),
        (b"serial,cn\nab,x\nxyz,y\n", "", "line 3: 'xyz' is no serial number"),
        (b"fingerprint\nabcd\n", "", "line 2: 'abcd' is neither a SHA-256 nor a SHA-1"),
        (b"certificate\n!!\n", "", "line 2: its certificate is not base64"),
        (b"name,mail\na,b\n", "", "names no column of serial numbers"),
        (b"V\t271123120000Z\t\tXX\tunknown\t/CN=a\n", "", "line 1: 'XX' is no serial number"),
        (b"V\tshort\n", "openssl-index", "line 1: no line of openssl's index"),
        (b"{", "", "no JSON"),
        (b'{"a": 1}', "", "holds no list"),
        (b"[1]", "", "item 1: neither an object nor a serial number"),
        (b"[" * 100_000, "", "can't be read as json"),
        (b"serial\n\xff\xfe\xff\n", "", "not UTF-8 text (byte 7)"),
        (b"serial\n", "", "names no certificate"),
    ],
)
def test_mistakes_are_told_with_their_line_and_nothing_is_taken(
    data: bytes, format_: str, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_list(data, format_, "")
    assert said in str(caught.value)


def test_who_says_how_serials_are_written_is_believed() -> None:
    assert only(b"serial\n1000\n", serials="decimal").serial == "3e8"
    assert only(b"serial\n1000\n", serials="hex").serial == "1000"
