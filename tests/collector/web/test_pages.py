"""The pages of lists and of things, their figures, and what they do with strangers' text."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator, Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from fakes import hostile
from fakes.browser import signed_in
from fakes.census import Census, certificate, private_key, sealed_key
from fakes.markup import ATTRIBUTES, ELEMENTS
from fakes.pki import issue
from fakes.served import api_token
from fastapi.routing import iter_route_contexts
from sqlalchemy import select, update

from keycensus_collector.access import rights
from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.access.users import add_user
from keycensus_collector.store import schema
from keycensus_collector.web.listed import LISTS, members_of
from keycensus_collector.web.site import create_front, create_site

ORIGIN = "https://census"
ACCESS = Path(__file__).resolve().parents[3] / "docs" / "access.md"


class Marked(HTMLParser):
    """What a page is marked up with, and its words."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action"}]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def client_of(app: object, token: str = "") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers, timeout=60)


ROOT = issue("Company root", is_ca=True, days=3650)
SHOP = issue("shop.example.com", issuer=ROOT, sans=("shop.example.com",), days=20)
OLD = issue("old.example.com", issuer=ROOT, days=-3)


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    web, db = census.host("web1"), census.host("db1", state="silent")
    census.report(web, "/etc/shop.pem", certificate(SHOP))
    census.report(web, "/etc/shop.key", private_key(SHOP.key), mode=0o644, readable_by="world")
    census.report(db, "/etc/shop.pem", certificate(SHOP))
    census.report(db, "/etc/ssl/root.pem", certificate(ROOT))
    census.report(db, "/etc/old.pem", certificate(OLD))
    census.gap(db, "/home")
    census.fold()
    yield census
    census.store.close()


@pytest.fixture(scope="module")
def hostile_census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = hostile.fill(tmp_path_factory.mktemp("hostile"))
    yield census
    census.store.close()


@pytest.fixture
async def client(census: Census) -> AsyncIterator[httpx.AsyncClient]:
    token = api_token(census, role="viewer")
    async with client_of(create_front(census.store, census.clock), token) as client:
        yield client


async def text_of(client: httpx.AsyncClient, address: str) -> str:
    response = await client.get(address)
    assert response.status_code == 200, (address, response.text)
    return response.text


async def test_lists_show_what_rest_lists_and_lead_to_each_thing(client: httpx.AsyncClient) -> None:
    for name in ("certificates", "keys", "places", "hosts"):
        page = Marked(await text_of(client, f"/{name}"))
        answer = (await client.get(f"/api/v1/{name}")).json()
        heading = " ".join(page.words)
        assert f"{answer['total']:,}" in heading
        if name != "places":
            identity = "sha256" if name == "certificates" else "id"
            wanted = {f"/{name}/{item[identity]}" for item in answer["items"]}
            assert wanted
            assert wanted <= set(page.links)
            for address in wanted:
                assert (await client.get(address)).status_code == 200


async def test_locked_containers_are_a_list_that_the_menu_leads_to(tmp_path: Path) -> None:
    census = Census.create(tmp_path)
    host = census.host("db1")
    census.report(host, "/srv/box.p12", sealed_key(b"box"), status="locked")
    census.report(host, "/etc/shop.pem", certificate(SHOP))
    census.fold()
    front = create_front(census.store, census.clock)
    async with client_of(front, api_token(census, role="viewer")) as client:
        assert "/locked" in Marked(await text_of(client, "/places")).links
        page = Marked(await text_of(client, "/locked"))
        assert (await client.get("/locked?nonsense=1")).status_code == 400
    census.store.close()
    words = " ".join(page.words)
    assert "Locked containers 1" in re.sub(r"\s+", " ", words)
    assert "/srv/box.p12" in words
    assert "/etc/shop.pem" not in words
    assert "/places/by/host?q=status%3Alocked" in page.links


async def test_headings_sort_a_list_and_keep_what_is_asked_of_it(client: httpx.AsyncClient) -> None:
    for name, listed in LISTS.items():
        columns = [column for column in listed.columns if column.sort and column.is_usual]
        for column in columns:
            for sort, way in ((column.sort, "ascending"), (f"-{column.sort}", "descending")):
                asked = {"q": "not host:nowhere", "sort": sort}
                text = await text_of(client, f"/{name}?{httpx.QueryParams(asked)}")
                rest = (await client.get(f"/api/v1/{name}", params=asked)).json()["items"]
                identity = {"certificates": "sha256", "places": "host_id", "gaps": "host_id"}.get(
                    name, "id"
                )
                page = "hosts" if identity == "host_id" else name
                shown = [
                    link.removeprefix(f"/{page}/")
                    for link in Marked(text.partition("<tbody>")[2]).links
                    if link.startswith(f"/{page}/")
                ]
                assert shown == [item[identity] for item in rest], (name, sort)
                assert f'aria-sort="{way}"' in text
                other = column.sort if sort.startswith("-") else f"-{column.sort}"
                assert f"?q=not+host%3Anowhere&amp;sort={other}" in text
                assert (
                    f"columns={members_of(listed.shown(None)).replace(',', '%2C')}&amp;sort={sort}"
                    in text
                )
                exported = await client.get(f"/api/v1/export/{name}", params=asked)
                assert exported.text.count("\n") == len(rest) + 1
                told = [json.loads(line) for line in exported.text.splitlines()[:-1]]
                assert [item[identity] for item in told] == shown
        whole = (await client.get(f"/api/v1/export/{name}", params={"format": "json"})).json()
        lines = (await client.get(f"/api/v1/export/{name}")).text.splitlines()
        assert whole == {
            "items": [json.loads(line) for line in lines[:-1]],
            "total": len(lines) - 1,
        }
    nothing = {"format": "json", "q": "host:nowhere"}
    assert (await client.get("/api/v1/export/hosts", params=nothing)).json() == {
        "items": [],
        "total": 0,
    }
    refused = await client.get("/certificates?sort=colour")
    assert refused.status_code == 400
    assert "can&#39;t be sorted by &#39;colour&#39;, but by expiry, importance" in refused.text


async def test_a_page_of_a_certificate_says_where_it_is_and_who_signed_it(
    client: httpx.AsyncClient,
) -> None:
    words = " ".join(
        " ".join(Marked(await text_of(client, f"/certificates/{SHOP.sha256.hex()}")).words).split()
    )
    assert "shop.example.com" in words
    assert "at 2 live places on 2 hosts" in words
    assert "in 20 days" in words
    assert "/etc/shop.pem" in words
    assert "web1" in words
    assert "Company root" in words


async def test_a_mistake_in_a_query_is_pointed_at_and_the_query_stays(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/certificates", params={"q": "expirs<30d"})
    assert response.status_code == 400
    assert 'value="expirs&lt;30d"' in response.text
    assert "expires" in response.text
    assert "^^^" in response.text


async def test_what_is_pasted_leads_to_the_thing(client: httpx.AsyncClient) -> None:
    pem = (
        "-----BEGIN CERTIFICATE-----"
        + base64.encodebytes(SHOP.der).decode()
        + "-----END CERTIFICATE-----"
    )
    there = f"/certificates/{SHOP.sha256.hex()}"
    for text in (pem, pem.replace("\n", ""), SHOP.sha256.hex(":"), SHOP.sha256.hex().upper()):
        response = await client.get("/find", params={"id": text})
        assert (response.status_code, response.headers.get("Location")) == (303, there), text
    assert (
        (await client.get("/find", params={"id": "web1"})).headers["Location"].startswith("/hosts/")
    )
    for text in ("web1:443", "https://web1:8443/login"):
        way = (await client.get("/find", params={"id": text})).headers["Location"]
        assert way.startswith("/hosts/"), text
        assert way.endswith("#usages"), text
    response = await client.get("/find", params={"id": "https://shop.example.com/cart"})
    assert response.headers["Location"] == "/certificates?q=name%3Ashop.example.com"
    response = await client.get("/find", params={"id": "-----BEGIN CERTIFICATE-----x-----END "})
    assert response.status_code == 404
    assert (await client.get("/find")).status_code == 200


async def test_figures_of_tiles_and_bars_are_the_totals_of_the_lists_that_they_lead_to(
    client: httpx.AsyncClient,
) -> None:
    checked = 0
    for address in (
        "/",
        "/certificates/by/issuer",
        "/certificates/by/key",
        "/keys/by/key",
        "/hosts/by/state",
        "/coverage",
    ):
        text = await text_of(client, address)
        figures = re.findall(r'<a class="tile[^>]*href="([^"#]+)">\s*<strong>([\d,]+)', text)
        figures += re.findall(r'<td class="number"><a href="([^"]+)">([\d,]+)', text)
        for way, figure in figures:
            listed = await text_of(client, way.replace("&amp;", "&"))
            total = re.search(r'<h1[^>]*>[^<]*<span class="quiet">([\d,]+)', listed)
            assert total is not None, way
            assert total[1] == figure, way
            checked += 1
    assert checked > 30


async def test_what_is_not_there_is_said_on_a_page(client: httpx.AsyncClient) -> None:
    for address in ("/nothing", "/certificates/none", f"/keys/{bytes(32).hex()}", "/hosts/none"):
        response = await client.get(address)
        assert response.status_code == 404, address
        assert response.headers["Content-Type"].startswith("text/html")
    for address in ("/certificates?limt=3", "/certificates/by/nothing", "/certificates?cursor=x"):
        response = await client.get(address)
        assert response.status_code == 400, address
        assert "Bad Request" in response.text
    assert (await client.get("/api/v1/nothing")).json()["type"] == "#not-found"


async def test_text_of_strangers_stays_text_on_every_page(hostile_census: Census) -> None:
    """FAULTS T12: nothing but our own elements and attributes, and no address of another host."""
    census = hostile_census
    token = api_token(census, role="admin")
    addresses = ["/", "/certificates", "/keys", "/places", "/hosts", "/places/by/package"]
    for name, column in (
        ("certificates", schema.certificate.c.sha256),
        ("keys", schema.public_key.c.key_id),
    ):
        addresses += [f"/{name}/{row[0].hex()}" for row in census.rows(select(column))]
    addresses += [f"/hosts/{row[0]}" for row in census.rows(select(schema.host.c.host_id))]
    addresses += [
        f"/change?what=hosts&id={row[0]}" for row in census.rows(select(schema.host.c.host_id))
    ]
    async with client_of(create_front(census.store, census.clock), token) as client:
        pages = [await text_of(client, address) for address in addresses]
        for text in hostile.TEXTS:
            for address, name in (("/find", "id"), ("/certificates", "q"), ("/hosts", "name")):
                pages.append((await client.get(address, params={name: text})).text)
            pages.append(
                (await client.get("/change", params={"what": "hosts", "q": text, "of": "all"})).text
            )
    for text in pages:
        page = Marked(text)
        assert page.elements <= ELEMENTS, page.elements - ELEMENTS
        assert page.attributes <= ATTRIBUTES, page.attributes - ATTRIBUTES
        assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in page.links)
        assert all(hostile.is_inert(line) for line in "".join(page.words).split("\n"))


def test_every_page_is_declared_and_written_down(census: Census) -> None:
    site = create_site(census.store, census.clock)
    there = {
        f"{method} {route.path}"
        for route in iter_route_contexts(site.routes)
        for method in route.methods or {"ANY"}
        if method != "HEAD"
    }
    assert there == rights.OPEN_PAGES | set(rights.PAGES)
    section = ACCESS.read_text().partition("## Pages\n")[2].partition("\n## ")[0]
    table, _, open_ones = section.partition("Open to everybody:")
    rows = re.findall(r"^\| `([A-Z]+ /[^`]*)` \| ([a-z.]+) \|$", table, re.MULTILINE)
    assert dict(rows) == {name: str(permission) for name, permission in rights.PAGES.items()}
    assert set(re.findall(r"`([A-Z]+ /[^`]*)`", open_ones)) == rights.OPEN_PAGES


async def test_nobody_sees_a_page_without_a_name_and_none_of_another_team(census: Census) -> None:
    async with client_of(create_front(census.store, census.clock)) as client:
        for name in rights.PAGES:
            method, _, path = name.partition(" ")
            address = path.replace("{list_}", "hosts").replace("{by}", "os")
            response = await client.request(method, re.sub(r"\{[^}]+\}", "none", address))
            assert response.status_code == 303, name
            assert response.headers["Location"].startswith("/sign-in")
            assert "shop.example.com" not in response.text
    with census.store.write() as connection:
        add_user(connection, name="apart", role="viewer", now_ms=0, actor="operator")
        connection.execute(
            update(schema.user).where(schema.user.c.name == "apart").values(sees="teams")
        )
        made = create_api_token(
            connection, user_name="apart", name="", now_ms=census.clock.now_ms(), actor="operator"
        )
    async with client_of(create_front(census.store, census.clock), made.text) as client:
        assert "shop.example.com" not in await text_of(client, "/certificates")
        assert "shop.example.com" not in await text_of(client, "/")
        assert (await client.get(f"/certificates/{SHOP.sha256.hex()}")).status_code == 404
        response = await client.get("/find", params={"id": SHOP.sha256.hex()})
        assert response.status_code == 404


async def test_columns_are_chosen_and_kept_for_who_chose_them(census: Census) -> None:
    async with signed_in(census, "col") as browser:
        page = await browser.get("/certificates", q="expires<30d", sort="-hosts")
        page = await browser.send(page, "/certificates/columns", column=["ends", "serial"])
        assert page.form("/certificates/columns").fields["column"] == ["ends", "serial"]
        assert str(page.address).endswith("?q=expires%3C30d&sort=-hosts")
        assert "Serial" in page.words
        exports = [link for link in page.links if link.startswith("/api/v1/export/certificates")]
        answer = await browser.client.get(exports[0])
        assert answer.text.splitlines()[0] == '"name","sha256","not_after","serial"'
        page = await browser.send(page, "/certificates/columns", column=[])
        assert "serial" not in page.form("/certificates/columns").fields["column"]
    async with signed_in(census, "other") as browser:
        page = await browser.get("/certificates")
        assert "serial" not in page.form("/certificates/columns").fields["column"]


async def test_every_export_link_of_a_list_is_one_that_rest_takes(
    client: httpx.AsyncClient,
) -> None:
    for listed in LISTS.values():
        columns = members_of(listed.columns)
        answer = await client.get(
            f"/api/v1/export/{listed.name}", params={"columns": columns, "format": "csv"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.text.splitlines()[0].replace('"', "") == columns


async def test_a_list_of_another_day_says_so_and_its_links_keep_the_query(
    client: httpx.AsyncClient,
) -> None:
    text = await text_of(client, "/certificates?q=host:web1&as_of=2026-11-01")
    assert "As it was on <strong>2026-11-01</strong>" in text
    assert "Nothing fits" in text
    response = await client.get("/certificates?as_of=yesterday")
    assert response.status_code == 400
    assert "As it was on <strong>" not in await text_of(client, "/certificates?q=host:web1")


async def test_facets_count_what_they_lead_to(client: httpx.AsyncClient) -> None:
    for name in ("certificates", "keys", "places", "hosts"):
        text = await text_of(client, f"/{name}/facets")
        figures = re.findall(r'<td class="number"><a href="([^"]+)">([\d,]+)', text)
        assert figures
        for way, figure in figures:
            listed = await text_of(client, way.replace("&amp;", "&"))
            total = re.search(r'<h1[^>]*>[^<]*<span class="quiet">([\d,]+)', listed)
            assert total is not None
            assert total[1] == figure, way


async def test_text_without_end_is_shown_in_part(tmp_path: Path) -> None:
    """60 kB in a path, a name, a host: a page says how long they are, and stays a page."""
    census = Census.create(tmp_path)
    name = ".".join(["a" * 60] * 900)
    host = census.host("h" * 60_000)
    long = issue("long.example.com", sans=(name,))
    census.report(host, "/srv/" + "p" * 60_000, certificate(long), private_key(long.key))
    census.gap(host, "/" + "g" * 60_000)
    census.fold()
    host_id = census.row(select(schema.host.c.host_id))[0]
    key_id = census.row(select(schema.public_key.c.key_id))[0].hex()
    async with signed_in(census) as browser:
        for address in (
            *("/", "/certificates", "/keys", "/places", "/hosts", "/places/by/host", "/coverage"),
            *(f"/certificates/{long.sha256.hex()}", f"/keys/{key_id}", f"/hosts/{host_id}"),
            f"/history?id={long.sha256.hex()}",
        ):
            page = await browser.get(address)
            assert len(page.text) < 200_000, address
        assert "60,005 characters" in (await browser.get("/places")).words
    census.store.close()
