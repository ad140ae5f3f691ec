"""Names in addresses: what is not there is said so, whatever it is called; lists of certificates may be called anything."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

import httpx
import pytest
from fakes.browser import ORIGIN, Page
from fakes.census import Census
from fakes.markup import check_inert
from fakes.pki import issue
from fakes.served import api_token

from keycensus_collector.access.rights import ENDPOINTS, PAGES
from keycensus_collector.web.site import create_front

ODD = (
    *("a/b", "50%", "what?", "#1", "a b", "Zürich ☃", "../../etc/passwd", "..%2f", "//host", "%"),
    *("a\\b", "\0", "\x1b[31m", "\u202egnp", '"><img src=x>'),
)
# For each address: what is split, what is quoted, what PostgreSQL keeps in no text, and what is long.
SOME = ("../50%?#1 ", '"><img src=x>\u202e', "\0", "x" * 3_000)
LEAF = issue("leaf.example.com")
# What a write must have besides, so that it comes as far as its name.
BODIES = {
    "views": {"what": "hosts", "query": "host:a"},
    "users": {"role": "viewer"},
    "rename": {"name": "new"},
    "marks": {"reason": "so"},
    "answers": {"answer": "confirmed"},
    "password": {"new": "correct horse battery"},
}


@pytest.fixture(scope="module")
def census(each_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp(each_database))
    yield census
    census.store.close()


@pytest.fixture
async def client(census: Census) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {api_token(census, role='admin')}"}
    transport = httpx.ASGITransport(create_front(census.store, census.clock))
    async with httpx.AsyncClient(
        transport=transport, base_url=ORIGIN, headers=headers, timeout=60
    ) as client:
        yield client


@pytest.mark.parametrize("odd", SOME, ids=["split", "quoted", "nul", "long"])
async def test_a_page_of_an_odd_name_says_that_there_is_none_and_does_nothing_with_it(
    client: httpx.AsyncClient, odd: str
) -> None:
    for route in PAGES:
        method, _, path = route.partition(" ")
        if "{" in path:
            address = re.sub(r"\{[^}]+\}", quote(odd, safe=""), path)
            response = await client.request(method, address)
            assert response.status_code in {400, 403, 404, 405}, (route, response.status_code)
            check_inert(Page(response))


@pytest.mark.parametrize("odd", SOME, ids=["split", "quoted", "nul", "long"])
async def test_rest_takes_no_odd_name_and_says_so(client: httpx.AsyncClient, odd: str) -> None:
    for route in ENDPOINTS:
        method, _, path = route.partition(" ")
        if "{" in path and not path.endswith(":path}"):
            address = re.sub(r"\{[^}]+\}", quote(odd, safe=""), path)
            words = [body for word, body in BODIES.items() if word in path.split("/")]
            response = await client.request(method, address, json=words[-1] if words else {})
            assert response.status_code in {400, 404, 405, 409, 412}, (route, response.text)
            assert response.headers["Content-Type"] == "application/problem+json", route


async def test_a_list_of_certificates_is_found_by_its_name_whatever_that_is(
    client: httpx.AsyncClient,
) -> None:
    for name in ODD:
        taken = await client.post(
            "/api/v1/imports/artifacts", params={"name": name}, content=LEAF.pem
        )
        assert taken.status_code == 201, taken.text
    listed = [each["name"] for each in (await client.get("/api/v1/certificate-lists")).json()]
    assert len(listed) == len(ODD)
    page = Page(await client.get("/imports"))
    check_inert(page)
    links = [link for link in page.links if link.startswith("/imports/list?")]
    assert len(links) == len(ODD)
    for link in links:
        shown = Page(await client.get(link))
        check_inert(shown)
        assert shown.status == 200, shown.words
        assert "1 entry" in shown.words
        assert "CN=leaf.example.com" in shown.words, link
    for name in [*listed, *ODD]:
        address = f"/api/v1/certificate-lists/{quote(name, safe='')}"
        answer = await client.get(address, params={"kind": "certificates"})
        assert len(answer.json()) == 1, (name, answer.text)
    for name in (".", "..", " .. "):
        refused = await client.post(
            "/api/v1/imports/artifacts", params={"name": name}, content=LEAF.pem
        )
        assert refused.status_code == 400, name
        assert "which no address can name" in refused.json()["detail"]
    for address in ("/api/v1/certificate-lists/none", "/imports/list?name=none"):
        assert (await client.get(address)).status_code == 404
