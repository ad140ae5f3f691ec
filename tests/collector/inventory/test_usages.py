"""Who uses a certificate: what `show`, `where` and the list of certificates say of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import NOW_MS, issue

from keycensus_collector.api.parameters import CertificateParameters
from keycensus_collector.inventory import detail, results
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.hosts import host_detail
from keycensus_collector.inventory.identify import identify
from keycensus_collector.store import schema
from keycensus_proto.v1.inventory_pb2 import Handshake, HostFacts, Renewal, Usage

pytestmark = pytest.mark.usefixtures("each_database_in_full")

ROOT = issue("Example Root", is_ca=True, days=3650)
OLD = issue("www.example.com", issuer=ROOT, sans=("www.example.com",), days=5)
NEW = issue("www.example.com", issuer=ROOT, sans=("www.example.com",), days=95)
OTHER = issue("mail.example.com", issuer=ROOT, sans=("mail.example.com",), days=50)
LIVE = "/etc/letsencrypt/live/www/fullchain.pem"


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    facts = HostFacts(kind="vm", architecture="x86_64\x1b", addresses=["192.0.2.7"])
    web = census.host("web1", facts=facts.SerializeToString())
    census.report(web, LIVE, certificate(NEW), certificate(ROOT))
    census.report(web, "/etc/ssl/mail.pem", certificate(OTHER))
    census.report(web, "/etc/ssl/www.key", private_key(NEW.key))
    nginx = Usage(
        binding=b"nginx",
        service="nginx",
        unit="nginx.service",
        configuration=b"/etc/nginx/sites-enabled/www",
        line=4,
        directive="certificate",
        server_names=["www.example.com", "shop.example.com", "_"],
        listen=["*:443"],
        handshake=Handshake(
            at_unix_ms=NOW_MS,
            address="127.0.0.1:443",
            tls_version="TLSv1.3",
            verdict="not-reloaded",
        ),
    )
    census.usage(web, nginx, LIVE, presented=(certificate(OLD), certificate(ROOT)))
    census.usage(
        web,
        Usage(
            binding=b"certbot",
            service="renewer",
            configuration=b"/etc/letsencrypt/renewal/www.conf",
            directive="renewal",
            renewal=Renewal(tool="certbot", last_success_unix_ms=NOW_MS, schedule="certbot.timer"),
        ),
        LIVE,
    )
    mail = Renewal(tool="lego", overdue=True, overdue_reason="not-scheduled\x1b")
    census.usage(web, Usage(binding=b"lego", service="renewer", renewal=mail), "/etc/ssl/mail.pem")
    key = Usage(binding=b"key", service="nginx", directive="key", line=5)
    census.usage(web, key, "/etc/ssl/www.key")
    gone = Usage(binding=b"gone", service="postfix", directive="certificate")
    census.usage(web, gone, "/etc/ssl/mail.pem")
    with census.store.write() as connection:
        closed = schema.usage.update().where(schema.usage.c.service == "postfix")
        connection.execute(closed.values(to_ms=NOW_MS))
    census.fold()
    yield census
    census.store.close()


def shown(census: Census, sha256: bytes) -> results.CertificateDetail:
    with census.store.read() as connection:
        found = detail.certificate_detail(connection, sha256, NOW_MS)
    assert found is not None
    return found


def test_a_certificate_says_who_uses_it_and_who_renews_it(census: Census) -> None:
    found = shown(census, NEW.sha256)
    by_service = {usage.service: usage for usage in found.usages}
    assert set(by_service) == {"nginx", "renewer"}
    nginx = by_service["nginx"]
    assert (nginx.unit, nginx.configuration, nginx.line) == (
        "nginx.service",
        "/etc/nginx/sites-enabled/www",
        4,
    )
    assert (nginx.paths, nginx.listen, nginx.verdict) == ([LIVE], ["*:443"], "not-reloaded")
    assert nginx.uncovered == ["shop.example.com"]
    assert nginx.handshakes[0].chain == [OLD.sha256.hex(), ROOT.sha256.hex()]
    assert (by_service["renewer"].renewal_tool, by_service["renewer"].renewal_schedule) == (
        "certbot",
        "certbot.timer",
    )
    assert (found.certificate.verdict, found.certificate.renewed_by) == ("not-reloaded", "certbot")


def test_it_says_why_a_renewal_is_overdue(census: Census) -> None:
    found = shown(census, OTHER.sha256)
    [usage] = found.usages
    assert (usage.renewal_overdue, usage.renewal_reason) == (True, "not-scheduled\\x1b")
    assert found.certificate.renewal_overdue


def test_what_is_presented_and_on_no_disk_is_known_with_its_listener(census: Census) -> None:
    found = shown(census, OLD.sha256)
    assert (found.places, [usage.service for usage in found.usages]) == ([], ["nginx"])
    assert found.certificate.verdict == "not-reloaded"


def test_an_authority_is_not_blamed_for_what_it_issued(census: Census) -> None:
    found = shown(census, ROOT.sha256)
    assert {usage.service for usage in found.usages} == {"nginx", "renewer"}
    with census.store.read() as connection:
        page = list_certificates(
            connection,
            CertificateParameters(status="any", include="trust-stores").as_query(),
            NOW_MS,
        )
    notes = {item.name: (item.verdict, item.renewed_by) for item in page.items}
    # Self-signed: what it says is its own.
    assert notes["Example Root"] == ("not-reloaded", "certbot")
    assert notes["mail.example.com"] == ("", "lego")


def test_certificates_are_found_by_their_verdict(census: Census) -> None:
    with census.store.read() as connection:
        bad = list_certificates(
            connection, CertificateParameters(verdict="not-reloaded").as_query(), NOW_MS
        )
        live = list_certificates(
            connection,
            CertificateParameters(verdict="not-reloaded", status="live").as_query(),
            NOW_MS,
        )
        none = list_certificates(
            connection, CertificateParameters(verdict="served", status="live").as_query(), NOW_MS
        )
    assert {item.sha256 for item in bad.items} >= {OLD.sha256.hex(), NEW.sha256.hex()}
    assert OLD.sha256.hex() not in {item.sha256 for item in live.items}
    assert none.items == []


def test_a_key_its_places_and_its_host_say_who_uses_them(census: Census) -> None:
    with census.store.read() as connection:
        (match,) = identify(connection, "web1")
        host = host_detail(connection, match.id, NOW_MS)
        everything = detail.where(connection, match, NOW_MS)
        key_match = results.Match("key", shown(census, NEW.sha256).certificate.key_id, "")
        key = detail.show(connection, key_match, NOW_MS)
        at = detail.where(connection, key_match, NOW_MS)
    assert host is not None
    assert len(host.usages) == len(everything.usages) == 4
    said = (host.kind, host.architecture, host.addresses)
    assert said == ("vm", "x86_64\\x1b", ["192.0.2.7"])
    assert key is not None
    assert key.key is not None
    assert [(usage.service, usage.line) for usage in key.key.usages] == [("nginx", 5)]
    assert [usage.line for usage in at.usages] == [5]
