"""IDs in every spelling, and everything about what they name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.census import Census, blob_item, certificate, private_key, sealed_key
from fakes.pki import NOW, NOW_MS, issue, new_key, spki_of

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory import detail, results
from keycensus_collector.inventory.identify import identify
from keycensus_collector.store import schema

ROOT = issue("Example Root", is_ca=True, days=3650)
ISSUER = issue("Example Issuer", issuer=ROOT, is_ca=True, days=1800)
FIRST = issue("www.example.com", issuer=ISSUER, sans=("www.example.com",), days=5)
SECOND = issue("www.example.com", issuer=ISSUER, sans=("www.example.com",), days=95)
PUBLIC = new_key()
REQUEST = (
    x509.CertificateSigningRequestBuilder()
    .subject_name(ROOT.certificate.subject)
    .sign(ROOT.key, hashes.SHA256())
    .public_bytes(Encoding.DER)
)
CRL = (
    x509.CertificateRevocationListBuilder()
    .issuer_name(ROOT.certificate.subject)
    .last_update(NOW)
    .next_update(NOW.replace(year=2027))
    .sign(ROOT.key, hashes.SHA256())
    .public_bytes(Encoding.DER)
)


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    """Give a census that tests only read."""
    census = filled(tmp_path_factory.mktemp("census"))
    yield census
    census.store.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Census]:
    """Give a census that a test may change."""
    census = filled(tmp_path)
    yield census
    census.store.close()


def filled(directory: Path) -> Census:
    census = Census.create(directory)
    host = census.host("web1")
    census.report(host, "/live.pem", certificate(FIRST, "server"), certificate(ISSUER))
    census.report(host, "/root.pem", certificate(ROOT))
    census.report(host, "/live.key", private_key(SECOND.key), mode=0o600)
    census.report(host, "/etc/req.pem", blob_item("csr", REQUEST), blob_item("crl", CRL))
    census.report(host, "/pub.pem", blob_item("public-key", spki_of(PUBLIC)))
    census.report(host, "/box.p12", sealed_key(b"box"), status="locked")
    census.fold()
    census.clock.advance(60)
    census.report(host, "/live.pem", certificate(SECOND), certificate(ISSUER))
    census.report(host, "/old.pem", certificate(FIRST), use="retained")
    census.fold()
    return census


def spellings() -> list[str]:
    sha256 = SECOND.sha256.hex()
    sha1 = SECOND.certificate.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - an old fingerprint
    serial = SECOND.certificate.serial_number
    pairs = [sha256[i : i + 2] for i in range(0, 64, 2)]
    serial_hex = f"{serial:x}"
    padded = serial_hex.rjust(len(serial_hex) + len(serial_hex) % 2, "0")
    return [
        sha256,
        sha256.upper(),
        ":".join(pairs).upper(),
        " ".join(pairs),
        sha256[:8],
        sha256[:13],
        sha1,
        sha1.upper(),
        serial_hex,
        f"0x{serial_hex}",
        ":".join(padded[i : i + 2] for i in range(0, len(padded), 2)),
        str(serial),
        f"  {sha256}\n",
    ]


def test_an_id_is_found_in_every_spelling(census: Census) -> None:
    expected = [("certificate", SECOND.sha256.hex())]
    for text in spellings():
        with census.store.read() as connection:
            matches = identify(connection, text)
        assert [(match.kind, match.id) for match in matches] == expected, text


def test_hosts_are_found_by_name_in_any_case_and_by_uuid(census: Census) -> None:
    host = census.row(schema.host.select())
    with census.store.read() as connection:
        for text in ("web1", "WEB1", host.host_id, host.host_id.upper()):
            assert identify(connection, text) == [results.Match("host", host.host_id, "web1")]


@pytest.mark.parametrize("text", ["", "   ", "x" * 1001])
def test_what_can_be_no_id_is_refused(census: Census, text: str) -> None:
    with census.store.read() as connection, pytest.raises(UsageError):
        identify(connection, text)


@pytest.mark.parametrize("text", ["nobody", "00ff00ff00ff", "f" * 64, "f" * 65, "1" * 999, "é:é"])
def test_an_id_of_nothing_finds_nothing(census: Census, text: str) -> None:
    with census.store.read() as connection:
        assert identify(connection, text) == []


def test_an_unclear_id_finds_all_that_it_can_mean(own: Census) -> None:
    with own.store.write() as connection:
        connection.execute(schema.certificate.update().values(serial="abc12345"))
        matches = identify(connection, "AB:C1:23:45")
    assert len(matches) == 4


def shown(census: Census, text: str) -> results.Shown:
    with census.store.read() as connection:
        (match,) = identify(connection, text)
        found = detail.show(connection, match, census.clock.now_ms())
    assert found is not None
    return found


def test_a_certificate_whole(census: Census) -> None:
    found = shown(census, SECOND.sha256.hex()).certificate
    assert found is not None
    assert [link.name for link in found.chain] == ["Example Issuer", "Example Root"]
    assert [(link.sha256, link.step) for link in found.predecessors] == [
        (FIRST.sha256.hex(), "rekey")
    ]
    assert found.successors == []
    assert found.line_name == "www.example.com"
    assert [place.path for place in found.places] == ["/live.pem"]
    assert found.private_key is not None
    assert [place.path for place in found.private_key.places] == ["/live.key"]
    assert [(part.path, part.until) for part in found.history] == [("/live.pem", None)]


def test_a_predecessor_knows_its_successor_and_where_it_was(census: Census) -> None:
    found = shown(census, FIRST.sha256.hex()).certificate
    assert found is not None
    assert [link.sha256 for link in found.successors] == [SECOND.sha256.hex()]
    assert [(place.path, place.use) for place in found.places] == [("/old.pem", "retained")]
    assert [(part.path, part.until) for part in found.history] == [
        ("/old.pem", None),
        ("/live.pem", "2026-11-23T12:01:00Z"),
    ]
    assert found.private_key is None


def test_keys_of_each_kind_whole(census: Census) -> None:
    private = shown(census, private_key(SECOND.key).artifact.hex()).key
    assert private is not None
    assert [link.sha256 for link in private.certificates] == [SECOND.sha256.hex()]
    assert private.key.kind == "private-key"
    public = shown(census, private_key(PUBLIC).artifact.hex()).key
    assert public is not None
    assert (public.key.kind, [p.path for p in public.key.places]) == ("public-key", ["/pub.pem"])
    sealed = shown(census, sealed_key(b"box").artifact.hex()).key
    assert sealed is not None
    assert (sealed.key.kind, sealed.certificates) == ("sealed-key", [])


def test_requests_and_revocation_lists_whole(census: Census) -> None:
    request = shown(census, blob_item("csr", REQUEST).artifact.hex())
    assert request.document is not None
    assert (request.kind, request.document.subject) == ("request", "CN=Example Root")
    crl = shown(census, blob_item("crl", CRL).artifact.hex())
    assert crl.document is not None
    assert crl.document.next_update == "2027-11-23T12:00:00Z"
    assert [place.path for place in crl.document.places] == ["/etc/req.pem"]


def test_where_answers_before_anything_is_folded(own: Census) -> None:
    own.report(own.host("web2"), "/copy.pem", certificate(SECOND))
    with own.store.read() as connection:
        (match,) = identify(connection, SECOND.sha256.hex())
        found = detail.where(connection, match, NOW_MS)
    assert [(place.host, place.path) for place in found.places] == [
        ("web1", "/live.pem"),
        ("web2", "/copy.pem"),
    ]
    assert found.total == 2


def test_where_of_a_host_is_all_its_places(census: Census) -> None:
    with census.store.read() as connection:
        (match,) = identify(connection, "web1")
        found = detail.where(connection, match, NOW_MS)
    assert found.total == 7
    assert found.places[0].kinds == []


def test_what_went_meanwhile_is_not_shown(census: Census) -> None:
    with census.store.read() as connection:
        for kind in ("certificate", "key", "request", "revocation-list"):
            assert detail.show(connection, results.Match(kind, "00" * 32, ""), 0) is None
        assert detail.show(connection, results.Match("host", "none", ""), 0) is None
