"""Queries over REST: lists, exact totals, past days, and mistakes that are pointed at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fakes.census import Census, certificate, private_key, sealed_key
from fakes.pki import issue
from fakes.served import api_token

from keycensus_collector.api.app import create_app

ROOT = issue("Example Root", is_ca=True, days=3650)
WWW = issue("www.example.com", issuer=ROOT, sans=("www.example.com",), days=20)
NEXT = issue("www.example.com", issuer=ROOT, sans=("www.example.com", "10.1.2.3"), days=200)
SHOP = issue("shop.example.org", days=300)


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    web, db = census.host("web1"), census.host("db1", state="silent")
    census.report(web, "/etc/nginx/www.pem", certificate(WWW), mode=0o644)
    census.report(web, "/etc/nginx/www.key", private_key(WWW.key), mode=0o644)
    census.report(db, "/srv/shop.pem", certificate(SHOP), private_key(SHOP.key), mode=0o600)
    census.report(db, "/srv/box.p12", sealed_key(b"box"), status="locked", mode=0o600)
    census.report(db, "/etc/ssl/ca.pem", certificate(ROOT), role="trust-store")
    census.gap(db, "/mnt/nfs")
    census.fold()
    census.clock.advance(3 * 86_400)
    census.report(web, "/etc/nginx/www.pem", certificate(NEXT), mode=0o640)
    census.fold()
    yield census
    census.store.close()


@pytest.fixture(scope="module")
def token(census: Census) -> str:
    return api_token(census)


@pytest.fixture
async def client(census: Census, token: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(census.store, census.clock))
    async with httpx.AsyncClient(
        transport=transport,
        base_url="https://census/api/v1",
        headers={"Authorization": f"Bearer {token}"},
    ) as client:
        yield client


async def listed(client: httpx.AsyncClient, list_: str, q: str, **more: str) -> list[str]:
    response = await client.get(f"/{list_}", params={"q": q, **more})
    assert response.status_code == 200, response.text
    page = response.json()
    assert (page["total"], page["total_is_exact"]) == (len(page["items"]), True)
    names = {"certificates": "name", "keys": "kind", "places": "path", "hosts": "name"}
    return [item[names[list_]] for item in page["items"]]


LISTED = [
    ("certificates", "", ["www.example.com", "shop.example.org"]),
    ("certificates", "expires<250d", ["www.example.com"]),
    ("certificates", "role:any", ["www.example.com", "shop.example.org", "Example Root"]),
    ("certificates", "found:gone", ["www.example.com"]),
    ("certificates", "found:any name:www*", ["www.example.com", "www.example.com"]),
    ("certificates", "host:web* and not host:db*", ["www.example.com"]),
    ("certificates", "mode:0640", ["www.example.com"]),
    ("certificates", "private-key:none", ["www.example.com"]),
    ("certificates", f"under:{ROOT.sha256.hex()[:12]}", ["www.example.com"]),
    ("certificates", f"found:any {WWW.sha256.hex()}", ["www.example.com"]),
    ("certificates", "self-signed:yes ca:no", ["shop.example.org"]),
    ("keys", "readable-by:world", ["private-key"]),
    ("keys", "sealed:yes", ["sealed-key"]),
    ("keys", "", ["private-key", "private-key", "sealed-key"]),
    ("places", "status:locked", ["/srv/box.p12"]),
    ("places", "holds:private-key path:/etc/nginx/*", ["/etc/nginx/www.key"]),
    ("places", "expires<2y", ["/etc/nginx/www.pem", "/srv/shop.pem"]),
    ("hosts", "state:silent gap:any", ["db1"]),
    ("hosts", "status:locked", ["db1"]),
    ("hosts", "gap:none", ["web1"]),
]


async def test_a_query_lists(client: httpx.AsyncClient) -> None:
    for list_, query, expected in LISTED:
        assert sorted(await listed(client, list_, query)) == sorted(expected), query


async def test_a_past_day_is_answered_as_that_day(
    client: httpx.AsyncClient, census: Census
) -> None:
    del census
    now = (await client.get("/certificates", params={"q": "name:www*", "places": "true"})).json()
    then = (
        await client.get("/certificates", params={"q": "name:www* as-of:2d", "places": "true"})
    ).json()
    assert [item["sha256"] for item in now["items"]] == [NEXT.sha256.hex()]
    (item,) = then["items"]
    assert item["sha256"] == WWW.sha256.hex()
    assert [(place["path"], place["mode"]) for place in item["places"]] == [
        ("/etc/nginx/www.pem", "0644")
    ]
    assert (item["live_places"], item["hosts"], item["private_key_places"]) == (1, 1, 1)
    assert await listed(client, "places", "mode:0644 path:/etc/nginx/*.pem", as_of="2d") == [
        "/etc/nginx/www.pem"
    ]
    assert await listed(client, "keys", "host:web1 as-of:2d") == ["private-key"]
    assert await listed(client, "hosts", "as-of:2d expires<250d") == ["web1"]
    assert await listed(client, "hosts", "as-of:4d") == []


async def test_pages_of_places_follow_each_other(client: httpx.AsyncClient) -> None:
    seen, cursor = [], ""
    for _ in range(9):
        page = (await client.get("/places", params={"limit": 2, "cursor": cursor})).json()
        seen += [item["path"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == [
        "/etc/nginx/www.key",
        "/etc/nginx/www.pem",
        "/etc/ssl/ca.pem",
        "/srv/box.p12",
        "/srv/shop.pem",
    ]


async def test_filters_hold_beside_a_query(client: httpx.AsyncClient) -> None:
    assert await listed(client, "certificates", "expires<2y", host="db1") == ["shop.example.org"]
    assert await listed(client, "keys", "host:db1", sealed="true") == ["sealed-key"]
    assert await listed(client, "hosts", "gap:any", state="active") == []
    # Of one and the same place.
    assert await listed(client, "places", "path:/etc/** mode:0640 host:web1") == [
        "/etc/nginx/www.pem"
    ]
    assert await listed(client, "certificates", "mode:0600", path="/srv") == ["shop.example.org"]
    assert await listed(client, "certificates", "mode:0600", path="/etc") == []
    # Filters speak of the past day, too.
    then = {"host": "web1", "expires_within": "1y", "as_of": "2d"}
    assert await listed(client, "certificates", "mode:0644", **then) == ["www.example.com"]


MISTAKES = [
    ("certificates", "expires<30d expirs<1d", 12, "did you mean expires"),
    ("certificates", "bits:many", 5, "takes a number"),
    ("certificates", "policy:failed", 0, "can't be asked yet"),
    ("keys", "expires<30d", 0, "but of certificates, places, hosts"),
    ("hosts", "host:", 5, "a value is missing"),
    ("places", "role:(x)", 5, "a value is missing"),
    ("hosts", "(" * 99, 32, "32 deep"),
    ("hosts", "host:" + "x" * 2000, 5, "1,000"),
    ("hosts", "x" * 9000, 8000, "8,000"),
    ("certificates", "path:" + "*/**" * 9, 5, "both * and **"),
    ("certificates", "as-of:yesterday", 6, "takes a date"),
]


async def test_a_mistake_in_a_query_is_pointed_at(client: httpx.AsyncClient) -> None:
    for list_, query, position, said in MISTAKES:
        response = await client.get(f"/{list_}", params={"q": query})
        problem = response.json()
        assert (response.status_code, problem["type"]) == (400, "#query")
        assert problem["position"] == position
        assert said in problem["detail"]
        assert problem["pointer"][1].strip("^ ") == ""


async def test_as_of_is_said_once(client: httpx.AsyncClient) -> None:
    response = await client.get("/hosts", params={"q": "as-of:2d", "as_of": "3d"})
    assert (response.status_code, response.json()["type"]) == (400, "#usage")


async def test_a_mistake_in_as_of_is_pointed_at_in_itself(client: httpx.AsyncClient) -> None:
    response = await client.get("/hosts", params={"q": "state:active", "as_of": "yesterday"})
    problem = response.json()
    assert (response.status_code, problem["type"]) == (400, "#query")
    assert problem["pointer"] == ["yesterday", "^^^^^^^^^"]


async def test_text_from_people_is_only_ever_text(client: httpx.AsyncClient) -> None:
    hostile = ["'; DROP TABLE place; --", "%", "_", "[a-z]", "\x00", "\ud800", "🦊" * 200, '""']
    fields = ["name", "subject", "eku", "path", "host", "label.x", "gap", "serial", "format"]
    for text, field in zip(hostile * 4, fields * 4, strict=False):
        query = f'{field}:"{text}"'.encode(errors="surrogatepass").decode(errors="replace")
        found = await client.get("/certificates", params={"q": query})
        if field != "serial":
            assert (found.status_code, found.json()["total"]) == (200, 0), query
    assert await listed(client, "hosts", "", name="web") == ["web1"]


async def test_the_most_wildcards_end_soon(client: httpx.AsyncClient) -> None:
    for query in ("name:" + "*a" * 450, "path:" + "*a" * 450, "subject:" + "*" * 900):
        assert (await client.get("/places", params={"q": query})).status_code == 200
