"""Lists of certificates: what the filters mean, order and pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import issue
from sqlalchemy import update

from keycensus_collector.api.parameters import CertificateParameters
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.query import compile as compiling
from keycensus_collector.query.model import EVERYTHING
from keycensus_collector.store import schema

pytestmark = pytest.mark.usefixtures("each_database_in_full")

DAY = 86_400_000
ROOT = issue("Example Root", is_ca=True, days=3650)
ISSUER = issue("R11, Let's Encrypt", issuer=ROOT, is_ca=True, days=1800)
WWW = issue("www.example.com", issuer=ISSUER, sans=("www.example.com", "example.com"), days=20)
SHOP = issue("", issuer=ISSUER, sans=("*.shop.example.com",), days=60)
OLD = issue("legacy.example.org", days=-10)
STORE = issue("Public Root", is_ca=True, days=9000)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    """Give a census that tests only read."""
    census = filled(tmp_path_factory.mktemp("shared"))
    yield census
    census.store.close()


@pytest.fixture
def census(tmp_path: Path) -> Iterator[Census]:
    """Give a census that a test may change."""
    census = filled(tmp_path)
    yield census
    census.store.close()


def filled(directory: Path) -> Census:
    census = Census.create(directory)
    web, db = census.host("web1"), census.host("DB1")
    census.report(web, "/etc/nginx/www.pem", certificate(WWW), certificate(ISSUER))
    census.report(web, "/etc/nginx/www.key", private_key(WWW.key), mode=0o600)
    census.report(web, "/backup/www.pem", certificate(WWW), use="retained")
    census.report(db, "/etc/nginx2/shop.pem", certificate(SHOP))
    census.report(db, "/etc/old/legacy.pem", certificate(OLD), use="retained")
    for host in (web, db):
        census.report(host, "/etc/ssl/ca.crt", certificate(STORE), role="trust-store")
    census.fold()
    return census


def names(census: Census, wanted: CertificateParameters) -> list[str]:
    with census.store.read() as connection:
        page = list_certificates(connection, wanted.as_query(), census.clock.now_ms())
    assert page.total == len(page.items)
    assert page.total_is_exact
    return [item.name for item in page.items]


def test_by_default_live_ones_outside_trust_stores_by_their_end(shared: Census) -> None:
    assert names(shared, CertificateParameters()) == [
        "www.example.com",
        "*.shop.example.com",
        "R11, Let's Encrypt",
    ]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (CertificateParameters(expires_within="30d"), ["www.example.com"]),
        (CertificateParameters(expires_within="5d"), []),
        (CertificateParameters(expired=True, status="any"), ["legacy.example.org"]),
        (CertificateParameters(expired=True), []),
        (CertificateParameters(expired=False, expires_within="30d"), ["www.example.com"]),
        (
            CertificateParameters(expired=True, expires_within="30d", status="any"),
            ["legacy.example.org"],
        ),
        (CertificateParameters(host="web1"), ["www.example.com", "R11, Let's Encrypt"]),
        (CertificateParameters(host="db*"), ["*.shop.example.com"]),
        (CertificateParameters(host="nowhere"), []),
        (CertificateParameters(host="db1", status="retained"), ["legacy.example.org"]),
        (CertificateParameters(host="web1", path="/etc/nginx2"), []),
        (CertificateParameters(issuer="let's enc"), ["www.example.com", "*.shop.example.com"]),
        (CertificateParameters(issuer="Example Root"), ["R11, Let's Encrypt"]),
        (CertificateParameters(issuer="R%"), []),
        (CertificateParameters(name="EXAMPLE.com"), ["www.example.com"]),
        (CertificateParameters(name="*.example.com"), ["www.example.com", "*.shop.example.com"]),
        (CertificateParameters(name="example"), []),
        (CertificateParameters(name="r11*"), ["R11, Let's Encrypt"]),
        (CertificateParameters(path="/etc/nginx"), ["www.example.com", "R11, Let's Encrypt"]),
        (CertificateParameters(path="/etc/nginx/www.pem", is_ca=False), ["www.example.com"]),
        (CertificateParameters(path="/ETC/nginx"), []),
        (
            CertificateParameters(path="*.pem", is_ca=False),
            ["www.example.com", "*.shop.example.com"],
        ),
        (CertificateParameters(path="/etc/nginx?/*"), []),
        (CertificateParameters(path="/backup"), []),
        (CertificateParameters(path="/backup", status="any"), ["www.example.com"]),
        (CertificateParameters(is_ca=True), ["R11, Let's Encrypt"]),
        (
            CertificateParameters(is_ca=True, include="trust-stores"),
            ["R11, Let's Encrypt", "Public Root"],
        ),
        (
            CertificateParameters(host="db1", include="trust-stores"),
            ["*.shop.example.com", "Public Root"],
        ),
        (CertificateParameters(without_key=True, is_ca=False), ["*.shop.example.com"]),
        (CertificateParameters(status="gone"), []),
        (CertificateParameters(line=999), []),
    ],
)
def test_filters(shared: Census, wanted: CertificateParameters, expected: list[str]) -> None:
    assert names(shared, wanted) == expected


def test_a_certificate_that_left_every_place_is_gone_and_still_known(census: Census) -> None:
    number = census.row(schema.host.select().where(schema.host.c.name == "DB1")).host_no
    census.gone(number, "/etc/nginx2/shop.pem")
    census.fold()
    assert names(census, CertificateParameters(status="gone")) == ["*.shop.example.com"]
    assert "*.shop.example.com" not in names(census, CertificateParameters())
    assert "*.shop.example.com" in names(census, CertificateParameters(status="any"))
    assert "Public Root" not in names(census, CertificateParameters(status="any"))


def test_by_key_and_by_line(census: Census) -> None:
    with census.store.read() as connection:
        page = list_certificates(
            connection,
            CertificateParameters(name="www.example.com").as_query(),
            0,
            with_places=True,
        )
    (item,) = page.items
    assert names(census, CertificateParameters(key_id=item.key_id)) == [item.name]
    assert names(census, CertificateParameters(line=item.line)) == [item.name]
    assert (item.private_key_places, item.issuer_name) == (1, "R11, Let's Encrypt")
    assert item.places is not None
    assert [(p.path, p.use, p.mode) for p in item.places] == [
        ("/etc/nginx/www.pem", "live", "0644"),
        ("/backup/www.pem", "retained", "0644"),
    ]


def test_pages_hold_every_certificate_once_also_those_without_an_end(
    census: Census,
) -> None:
    host = census.host("many")
    many = [issue(f"n{n}.example", days=30 + n % 3, key=OLD.key) for n in range(9)]
    census.report(host, "/many.pem", *map(certificate, many))
    census.fold()
    undated = [issued.sha256 for issued in many[:4]]
    with census.store.write() as connection:
        connection.execute(
            update(schema.certificate)
            .where(schema.certificate.c.sha256.in_(undated))
            .values(not_after_ms=None)
        )
    wanted, seen, cursor = CertificateParameters(host="many"), [], ""
    for _ in range(20):
        with census.store.read() as connection:
            page = list_certificates(connection, wanted.as_query(), 0, limit=2, cursor=cursor)
        assert page.total == 9
        seen += page.items
        if page.next is None:
            break
        cursor = page.next
    assert len(seen) == len({item.sha256 for item in seen}) == 9
    ends = [item.not_after for item in seen]
    assert ends[-4:] == [None] * 4
    assert ends[:5] == sorted(end for end in ends if end)


@pytest.mark.parametrize("cursor", ["nonsense", "W10", "W3t9LDFd", "WyIxIiwgIngiXQ", "é"])
def test_a_cursor_that_is_none_of_ours_is_refused(shared: Census, cursor: str) -> None:
    with shared.store.read() as connection, pytest.raises(UsageError, match="start without one"):
        list_certificates(connection, EVERYTHING, 0, cursor=cursor)


def test_totals_are_exact_only_up_to_a_bound(
    shared: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "COUNTED", 2)
    with shared.store.read() as connection:
        page = list_certificates(connection, EVERYTHING, 0)
    assert (page.total, page.total_is_exact, len(page.items)) == (2, False, 3)


@pytest.mark.parametrize("hostile", ["'; DROP TABLE place; --", "%", "_", "[a-z]", "🦊" * 900])
def test_text_from_people_is_only_ever_text(shared: Census, hostile: str) -> None:
    for field in ("host", "issuer", "name", "path"):
        wanted = {"status": "any", "include": "trust-stores", field: hostile}
        assert names(shared, CertificateParameters.model_validate(wanted)) == []


def test_in_a_long_manifest_of_parts_it_is_found_all_the_same(census: Census) -> None:
    host = census.host("parts")
    census.report(host, "/part.pem", certificate(OLD))
    census.report(host, "/whole.pem", certificate(issue("other.example")))
    part, whole = (
        census.row(schema.place.select().where(schema.place.c.path == path)).manifest
        for path in ("/part.pem", "/whole.pem")
    )
    with census.store.write() as connection:
        connection.execute(
            schema.manifest_part.insert().values(manifest=whole, position=0, part=part)
        )
    census.fold()
    assert names(census, CertificateParameters(path="/whole.pem", expired=True)) == [
        "legacy.example.org"
    ]
