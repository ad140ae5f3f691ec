"""Lists of certificates over a real database: what they name, what joins, what they say of the seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from fakes.census import Census, certificate
from fakes.pki import Issued, issue
from fakes.revocation import entry, revocation_list

from keycensus_collector.catalogue.parser import CatalogueParser
from keycensus_collector.errors import UsageError
from keycensus_collector.imports.artifacts import (
    ArtifactsTaken,
    check_certificates,
    read_file,
    take_artifacts,
)
from keycensus_collector.imports.ca_files import read_list
from keycensus_collector.imports.listing import (
    entries_of,
    list_lists,
    list_no,
    lists_naming,
)
from keycensus_collector.imports.lists import CA_LIST, ListFile, ListTaken, take_list
from keycensus_collector.imports.stored import list_imports
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.detail import certificate_detail
from keycensus_collector.query.parse import parse

ROOT = issue("Example Root", is_ca=True, days=3650)
WWW = issue("www.example.com", issuer=ROOT)
API = issue("api.example.com", issuer=ROOT)
LOST = issue("lost.example.com", issuer=ROOT)


@pytest.fixture
def census(tmp_path: Path, each_database_in_full: str) -> Iterator[Census]:
    assert each_database_in_full
    census = Census.create(tmp_path)
    host = census.host("web1")
    for issued in (ROOT, WWW, API):
        census.report(host, f"/etc/{issued.sha256.hex()[:8]}.pem", certificate(issued))
    census.fold()
    yield census
    census.store.close()


def serial(issued: Issued) -> str:
    return f"{issued.certificate.serial_number:x}"


def take(census: Census, text: str, name: str = "Company CA", issuer: bytes = b"") -> ListTaken:
    data = text.encode()
    read = read_list(data, "", "hex")
    sha256 = hashlib.sha256(data).digest()
    file = ListFile(name, CA_LIST, read.format, read.entries, sha256, len(data))
    with census.store.write() as connection:
        return take_list(connection, file, issuer, actor="user:ada", now_ms=census.clock.now_ms())


def bring(
    census: Census, data: bytes, name: str = "bundle", *, preview: bool = False
) -> ArtifactsTaken:
    with CatalogueParser() as parser:
        read = read_file(data, parser)
    now_ms = census.clock.now_ms()
    with census.store.write() as connection:
        return take_artifacts(
            connection, read, name, actor="user:ada", now_ms=now_ms, preview=preview
        )


def listed(census: Census, query: str) -> set[str]:
    with census.store.read() as connection:
        page = list_certificates(connection, parse(query), census.clock.now_ms())
    return {item.name for item in page.items}


SUBJECT = hashlib.sha256(ROOT.certificate.subject.public_bytes()).digest()


def test_a_list_by_serial_numbers_tells_what_was_seen_and_is_not_on_it(census: Census) -> None:
    text = f"serial;issuer\n{serial(WWW)};CN=Example Root\n{serial(LOST)};cn=example root\n"
    taken = take(census, text)
    assert (taken.entries, taken.new, taken.gone, taken.found) == (2, 2, 0, 1)
    assert listed(census, "listed-by:*company*") == {"www.example.com"}
    assert listed(census, "issuer-list:any listed-by:none") == {"api.example.com"}
    with census.store.read() as connection:
        number = list_no(connection, CA_LIST, "Company CA")
        missing = entries_of(connection, number, without_certificate=True, after=0, limit=9)
        assert [(each.serial, each.certificate) for each in missing] == [(serial(LOST), "")]
        assert [(each.entries, each.found, each.by) for each in list_lists(connection)] == [
            (2, 1, "user:ada")
        ]


def test_an_entry_joins_its_certificate_when_that_is_found(census: Census) -> None:
    take(census, f"serial,issuer\n{serial(LOST)},CN=Example Root\n")
    assert listed(census, "listed-by:any") == set()
    census.report(1, "/etc/lost.pem", certificate(LOST))
    census.fold()
    assert listed(census, "listed-by:any") == {"lost.example.com"}
    with census.store.read() as connection:
        detail = certificate_detail(connection, LOST.sha256, census.clock.now_ms())
        assert detail is not None
        assert [(each.name, each.by, each.until) for each in detail.listed] == [
            ("Company CA", "user:ada", None)
        ]


def test_a_newer_list_ends_what_it_lacks_and_the_past_stays(census: Census) -> None:
    head = "sha256,state\n"
    take(census, f"{head}{WWW.sha256.hex()},valid\n{API.sha256.hex()},valid\n")
    census.clock.advance(86_400)
    taken = take(census, f"{head}{WWW.sha256.hex()},valid\n")
    assert (taken.new, taken.gone) == (0, 1)
    assert listed(census, "listed-by:any") == {"www.example.com"}
    assert listed(census, "listed-by:any as-of:2026-11-23") == {
        "www.example.com",
        "api.example.com",
    }
    with census.store.read() as connection:
        assert lists_naming(connection, API.sha256)[0].until == "2026-11-24T12:00:00Z"
        assert len(list_imports(connection, standing=False, before=None, limit=9)) == 2
    # Whose certificates they are follows from those that it names.
    assert listed(census, "issuer-list:any listed-by:none") == {"api.example.com"}


def test_certificates_of_a_list_go_through_the_catalogue_and_are_seen_nowhere(
    census: Census,
) -> None:
    row = {"pem": LOST.pem.decode(), "serial": serial(LOST)}
    take(census, json.dumps([row]))
    census.fold()
    assert listed(census, "issuer-list:any listed-by:any found:gone") == {"lost.example.com"}
    take(census, f"serial,issuer\n{serial(WWW)},CN=Example Root\n")
    assert listed(census, "issuer-list:any listed-by:any found:gone") == set()


def test_serial_numbers_without_an_issuer_are_refused_unless_it_is_said(census: Census) -> None:
    text = f"V\t271123120000Z\t\t{serial(WWW)}\tunknown\t/CN=www.example.com\n"
    with pytest.raises(UsageError, match="line 1: a serial number without its issuer"):
        take(census, text)
    with pytest.raises(UsageError, match="'CN=Nobody' is no authority"):
        take(census, "serial,issuer\nab,CN=Nobody\n")
    assert take(census, text, issuer=SUBJECT).found == 1


def test_files_of_certificates_are_taken_whatever_they_are_wrapped_in(census: Census) -> None:
    wrapped = pkcs7.serialize_certificates([LOST.certificate, ROOT.certificate], Encoding.DER)
    assert bring(census, wrapped, preview=True).number == 0
    taken = bring(census, wrapped)
    assert (taken.certificates, taken.new, taken.found) == (2, 2, 1)
    census.fold()
    assert listed(census, "imported:bundle found:gone") == {"lost.example.com"}
    other = bring(census, b"text before\n" + LOST.pem + b"text\n" + WWW.pem)
    assert (other.certificates, other.new, other.gone) == (2, 1, 1)
    assert bring(census, LOST.der + WWW.der, "two in DER").certificates == 2


def test_revocation_lists_that_are_brought_count_and_say_where_they_are_from(
    census: Census,
) -> None:
    data = revocation_list(ROOT, entry(WWW), number=3)
    taken = bring(census, data, "root.crl")
    assert [(each.issuer, each.number, each.revoked) for each in taken.revocation_lists] == [
        ("CN=Example Root", "3", 1)
    ]
    census.fold()
    with census.store.read() as connection:
        detail = certificate_detail(connection, WWW.sha256, census.clock.now_ms())
    assert detail is not None
    assert detail.revocation is not None
    assert detail.revocation.status == "yes"
    assert detail.revocation.found == ["imported by user:ada from root.crl"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (WWW.pem + WWW.key_pem, "holds a private key"),
        (b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "line 1: not base64"),
        (b"-----BEGIN CERTIFICATE-----\nMAA", "PEM without a whole block"),
        (b"-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----", "nothing was taken"),
        (WWW.der[:-3], "cut short"),
        (b"0\x80\x00\x00", "length that DER does not allow"),
        (b"\x00" * 9, "tag 0x00"),
        (revocation_list(ROOT, entry(WWW))[:-1] + b"\0\0", "behind"),
    ],
)
def test_what_can_not_be_taken_is_refused_as_a_whole(data: bytes, said: str) -> None:
    with CatalogueParser() as parser, pytest.raises(UsageError) as caught:
        read_file(data, parser)
    assert said in str(caught.value) or "nothing was taken" in str(caught.value)


def test_what_a_list_has_for_a_certificate_must_be_one() -> None:
    good, bad = read_list(
        json.dumps([{"pem": LOST.pem.decode()}, {"pem": "MAMCAQE="}]).encode(), "", ""
    ).entries
    with CatalogueParser() as parser:
        check_certificates([good, good], parser)
        with pytest.raises(UsageError, match="item 2: its certificate"):
            check_certificates([good, bad], parser)
