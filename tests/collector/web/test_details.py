"""The pages of one thing and of what happened: lines, chains, authorities, other days, differences."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.browser import Browser, Page, signed_in
from fakes.census import Census, certificate, private_key
from fakes.identities import add_agent
from fakes.markup import check_accessible
from fakes.pki import NOW, NOW_MS, issue
from sqlalchemy import insert, select

from keycensus_collector.inventory.extensions import extensions_of
from keycensus_collector.marks.stored import set_mark
from keycensus_collector.ownership.assignments import Thing, assign
from keycensus_collector.ownership.labels import set_label
from keycensus_collector.ownership.teams import create_team
from keycensus_collector.store import schema
from keycensus_proto.v1.inventory_pb2 import Handshake, Usage

ROOT = issue("Company root", is_ca=True, days=3650)
INNER = issue("Company issuing", issuer=ROOT, is_ca=True, days=900)
CROSS = issue("Company issuing", is_ca=True, days=300, key=INNER.key)
OLD = issue("shop.example.com", issuer=INNER, sans=("shop.example.com",), days=5)
NEW = issue("shop.example.com", issuer=INNER, sans=("shop.example.com",), days=90)
DAY = NOW.date().isoformat()
PATH = "/etc/shop.pem"


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    web = census.host("web1")
    census.report(web, PATH, certificate(OLD))
    census.report(web, "/etc/shop.key", private_key(OLD.key))
    for path, issued in (("/srv/root.pem", ROOT), ("/srv/inner.pem", INNER), ("/srv/x.pem", CROSS)):
        census.report(web, path, certificate(issued))
    census.gap(web, "/home")
    census.fold()
    census.clock.advance(2 * 86_400)
    census.report(web, PATH, certificate(NEW))
    census.fold()
    yield census
    census.store.close()


@pytest.fixture
async def browser(census: Census) -> AsyncIterator[Browser]:
    async with signed_in(census, role="viewer") as browser:
        yield browser


def tiles(page: Page) -> dict[str, tuple[str, str]]:
    """Return each tile's figure and where it leads, by its words."""
    found = re.findall(
        r'<a class="tile[^>]*href="([^"]+)">\s*<strong>([\d,+]+)</strong>\s*<span>([^<]+)',
        page.text,
    )
    return {words: (figure, way.replace("&amp;", "&")) for way, figure, words in found}


async def test_a_certificate_shows_its_line_its_chain_and_what_could_stand_in_it(
    browser: Browser,
) -> None:
    page = await browser.get(f"/certificates/{NEW.sha256.hex()}")
    assert f"/certificates/{OLD.sha256.hex()}" in page.links
    assert "rekey, 0 live places" in page.words
    bars = re.findall(r'<rect x="([\d.]+)" y="0" width="([\d.]+)" height="10"/>', page.text)
    assert bars[0][0] == "0.0"
    assert float(bars[1][0]) + float(bars[1][1]) == pytest.approx(1000, abs=1)
    assert f"/certificates/{INNER.sha256.hex()}" in page.links
    assert f"/certificates/{CROSS.sha256.hex()}" in page.links
    assert "or Company issuing" in page.words
    assert NEW.certificate.public_bytes(Encoding.PEM).decode().strip() in page.text
    said = [
        (one.name, one.text) for one in extensions_of(NEW.certificate.public_bytes(Encoding.DER))
    ]
    assert said
    assert all(text in page.words for _, text in said)
    assert "appeared" in page.words
    page = await browser.get(f"/certificates/{CROSS.sha256.hex()}")
    assert "was not found" not in page.words


async def test_an_authority_shows_what_it_issued_through_others_too(browser: Browser) -> None:
    page = await browser.get(f"/certificates/{ROOT.sha256.hex()}")
    shown = tiles(page)
    assert shown["certificates"][0] == "2"
    for words in ("certificates", "in use", "in use, expiring or expired", "nobody renews"):
        figure, way = shown[words]
        listed = re.search(
            r"<h1[^>]*>[^<]*<span class=\"quiet\">([\d,]+)", (await browser.get(way)).text
        )
        assert listed is not None
        assert listed[1] == figure, words


async def test_a_page_as_it_was_says_so_and_shows_what_was_known(browser: Browser) -> None:
    there = f"/certificates/{OLD.sha256.hex()}"
    page = await browser.get(there)
    assert "at 0 live places" in page.words
    page = await browser.get(there, as_of=DAY)
    assert f"As it was on {DAY}" in page.words
    assert PATH in page.words
    assert there in page.links
    page = await browser.get(there, as_of="2020-01-01")
    assert "Nothing was known of it on that day." in page.words
    assert (await browser.get(there, 400, as_of="soon")).words.count("Bad Request") > 0
    page = await browser.get("/hosts")
    one = next(link for link in page.links if re.fullmatch(r"/hosts/[0-9a-f-]{36}", link))
    assert "web1" in (await browser.get(one, as_of=DAY)).words


async def test_what_changed_is_told_between_two_dates(browser: Browser) -> None:
    page = await browser.get("/changes", since=DAY, until="0h")
    assert f"/certificates/{NEW.sha256.hex()}" in page.links
    assert "Came 1" in page.words
    assert "Went 1" in page.words
    page = await browser.get("/changes", 400, since="0h", until="7d")
    assert "the earlier date comes first" in page.words
    page = await browser.get("/changes", 400, since="7d", until="0h", q="hots:web1")
    assert "^^^^" in page.text


async def test_coverage_says_what_could_have_been_missed(browser: Browser) -> None:
    page = await browser.get("/coverage")
    assert tiles(page)["with gaps"][0] == "1"
    assert "unreadable" in page.words


async def test_events_stand_on_pages_of_their_own(browser: Browser) -> None:
    page = await browser.get("/history", id=OLD.sha256.hex(), limit="1")
    assert "What happened to shop.example.com" in page.words
    earlier = [link for link in page.links if link.startswith("/history?")]
    assert earlier
    assert (await browser.get(earlier[0])).words != page.words
    await browser.get("/history", 404, id="none")


async def test_who_may_read_the_audit_log_sees_there_what_was_done_with_a_thing(
    tmp_path: Path,
) -> None:
    """Alone, with many others of which the log names only the first, and by whom a key was looked at."""
    census = Census.create(tmp_path)
    web = census.host("web1")
    others = [census.host(f"db{number}") for number in range(1, 40)]
    census.report(web, PATH, certificate(NEW), private_key(NEW.key))
    census.fold()
    now_ms = census.clock.now_ms()
    key_id = private_key(NEW.key).artifact
    with census.store.write() as connection:
        create_team(connection, "web", actor="user:ann", now_ms=now_ms)
        given = [Thing("certificate", artifact=NEW.sha256)]
        assign(connection, given, "web", reason="theirs", actor="user:ann", now_ms=now_ms)
        hosts = [Thing("host", number=number) for number in (*others, web)]
        set_label(connection, hosts, "tier", "gold", actor="user:bob", now_ms=now_ms + 1)
        set_label(connection, hosts[:5], "tier", None, actor="user:cat", now_ms=now_ms + 2)
        set_mark(
            connection,
            kind="key",
            subject=key_id,
            word="compromised",
            reason="it got out",
            actor="user:dan",
            now_ms=now_ms,
        )
    async with signed_in(census, "root", "admin") as browser:
        page = await browser.get(f"/certificates/{NEW.sha256.hex()}")
        assert "user:ann owner.set owner web, reason theirs" in page.words
        assert "mark.set" not in page.words
        (identity,) = census.row(select(schema.host.c.host_id).where(schema.host.c.host_no == web))
        page = await browser.get(f"/hosts/{identity}")
        assert "user:bob label.set" in page.words
        assert "user:cat" not in page.words
        await browser.get(f"/keys/{key_id.hex()}")
        page = await browser.get(f"/keys/{key_id.hex()}")
        assert "user:dan mark.set kind key, mark compromised, reason it got out" in page.words
        assert "user:root" in page.words
        # The same over REST, to who may.
        of = "/api/v1/audit/of"
        by_name = (await browser.client.get(of, params={"id": "web1"})).json()
        assert {(row["actor"], row["action"]) for row in by_name} == {("user:bob", "label.set")}
        asked = {"id": NEW.sha256.hex(), "kind": "certificate", "limit": "1"}
        (row,) = (await browser.client.get(of, params=asked)).json()
        assert (row["action"], row["detail"]["reason"]) == ("owner.set", "theirs")
        marked = (await browser.client.get(of, params={"id": key_id.hex(), "kind": "key"})).json()
        assert {row["action"] for row in marked} == {"mark.set", "key.read"}
        assert (await browser.client.get(of, params={"id": "none"})).status_code == 404
        read = (await browser.client.get("/api/v1/audit?limit=1")).json()
        assert read[0]["subject"].startswith(f"{of}?id={key_id.hex()}")
    async with signed_in(census, "opa", "operator") as browser:
        assert (await browser.client.get(of, params=asked)).status_code == 403
        page = await browser.get(f"/certificates/{NEW.sha256.hex()}")
        assert "Who did what with it" not in page.words
    census.store.close()


async def test_a_host_shows_its_places_what_was_not_taken_and_what_ails_its_agent(
    census: Census,
) -> None:
    number, odd = census.host("odd1", clock_skew_ms=95_000), issue("odd.example.com")
    agent = add_agent(census, number)
    for name in range(22):
        census.report(number, f"/etc/tls/{name:02}.pem", certificate(odd))
    with census.store.write() as connection:
        row = {"host_no": number, "row_class": 1, "key": bytes(32), "path": "/etc/huge.pem"}
        row |= {"reason": "quota", "since_ms": census.clock.now_ms(), "times": 3}
        connection.execute(insert(schema.refusal).values(row))
    key = private_key(odd.key)
    census.report(number, "/etc/tls/a.key", key, mode=0o640, readable_by="group:ssl-cert")
    shown = Handshake(at_unix_ms=NOW_MS, address="127.0.0.1:443", tls_version="TLSv1.3")
    asked = Usage(binding=b"nginx:443", service="nginx", listen=["*:443"], handshake=shown)
    census.usage(number, asked, "/etc/tls/00.pem", presented=(certificate(odd),))
    census.fold()
    host_id = census.row(select(schema.host.c.host_id).where(schema.host.c.host_no == number))[0]
    async with signed_in(census, "opa", "operator") as browser:
        page = await browser.get(f"/hosts/{host_id}")
        assert "/etc/tls/00.pem pem certificate live" in page.words
        assert "20 of 23 places are shown." in page.words
        assert f"/places?q=host%3A{host_id}" in page.links
        key_id = hashlib.sha256(odd.spki).hexdigest()
        assert "read by group:ssl-cert" in (await browser.get(f"/keys/{key_id}")).words
        assert "place /etc/huge.pem quota tried 3 times" in page.words
        short = odd.sha256.hex()[:12]
        assert f"nginx odd1 *:443 {short} at 127.0.0.1:443, TLSv1.3" in page.words
        assert f"/certificates/{odd.sha256.hex()}" in page.links
        assert f"/agents/{agent}" in page.links
        assert "its clock is 95 s off" in page.words
        check_accessible(page)
    async with signed_in(census, "vic", "viewer") as browser:
        page = await browser.get(f"/hosts/{host_id}")
        assert "its clock is 95 s off" not in page.words
        assert f"/agents/{agent}" not in page.links
