"""ETags, limits of requests, and errors that routing makes: over the real application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fakes.census import Census
from fakes.served import api_token
from sqlalchemy import Connection, text

from keycensus_collector.api.app import create_app
from keycensus_collector.api.limits import TimeLimit

VIEW = {"what": "certificates", "query": "expires<9d"}


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    census.host("web1")
    yield census
    census.store.close()


@pytest.fixture(scope="module")
def token(census: Census) -> str:
    return api_token(census, role="admin")


@pytest.fixture
async def client(census: Census, token: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(census.store, census.clock))
    headers = {"Authorization": f"Bearer {token}"}
    base = "https://census/api/v1"
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
        yield client


async def test_what_did_not_change_is_not_sent_again(
    census: Census, client: httpx.AsyncClient
) -> None:
    for path in ("/hosts", "/views", "/views/expiring", "/groups/hosts?by=state"):
        first = await client.get(path)
        tag = first.headers["ETag"]
        assert tag.startswith("W/") == (path in {"/hosts", "/views"}), path
        for sent in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
            again = await client.get(path, headers={"If-None-Match": sent})
            assert (again.status_code, again.content) == (304, b""), (path, sent)
            assert again.headers["ETag"] == tag
            assert again.headers["X-Content-Type-Options"] == "nosniff"
        other = await client.get(path, headers={"If-None-Match": '"another"'})
        assert (other.status_code, other.content) == (200, first.content)
    tag = (await client.get("/hosts")).headers["ETag"]
    census.host("web2")
    changed = await client.get("/hosts", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["ETag"] != tag


async def test_errors_and_streams_have_no_tag(client: httpx.AsyncClient) -> None:
    for path in ("/nothing", "/hosts?limit=0", "/export/hosts"):
        response = await client.get(path, headers={"If-None-Match": "*"})
        assert response.status_code != 304
        assert "ETag" not in response.headers


async def test_a_write_goes_over_nothing_but_what_was_read(client: httpx.AsyncClient) -> None:
    new = await client.put("/views/mine", json=VIEW, headers={"If-None-Match": "*"})
    tag = new.headers["ETag"]
    assert (new.status_code, tag) == (200, (await client.get("/views/mine")).headers["ETag"])
    second = await client.put("/views/mine", json=VIEW, headers={"If-None-Match": "*"})
    assert (second.status_code, second.json()["type"]) == (412, "#there-already")
    other = VIEW | {"query": "expires<8d"}
    changed = await client.put("/views/mine", json=other, headers={"If-Match": tag})
    assert changed.status_code == 200
    for request in (
        client.put("/views/mine", json=VIEW, headers={"If-Match": tag}),
        client.put("/views/mine", json=VIEW, headers={"If-Match": f"W/{changed.headers['ETag']}"}),
        client.delete("/views/mine", headers={"If-Match": tag}),
        client.put("/views/none", json=VIEW, headers={"If-Match": "*"}),
    ):
        refused = await request
        assert (refused.status_code, refused.json()["type"]) == (412, "#changed")
    assert (await client.get("/views/mine")).json()["query"] == "expires<8d"
    tag = changed.headers["ETag"]
    assert (await client.delete("/views/mine", headers={"If-Match": tag})).status_code == 204


async def test_rules_and_leaving_go_over_nothing_but_what_was_read(
    client: httpx.AsyncClient,
) -> None:
    rules = {"text": "trust: [rack]\n"}
    first = await client.put("/rules", json=rules, headers={"If-None-Match": "*"})
    assert first.status_code == 200
    second = await client.put("/rules", json=rules, headers={"If-None-Match": "*"})
    assert (second.status_code, second.json()["type"]) == (412, "#there-already")
    tag = (await client.get("/rules")).headers["ETag"]
    assert (await client.put("/rules", json=rules, headers={"If-Match": tag})).status_code == 200
    late = await client.put("/rules", json=rules, headers={"If-Match": tag})
    assert (late.status_code, late.json()["type"]) == (412, "#changed")
    assert (await client.get("/rules")).json()["version"] == 2

    await client.put("/people/eve", json={})
    told = await client.post("/people/eve/leave", json={"preview": True})
    await client.put("/teams/web", json={})
    await client.put("/teams/web/members/eve")
    headers = {"If-Match": told.headers["ETag"]}
    late = await client.post("/people/eve/leave", json={}, headers=headers)
    assert (late.status_code, late.json()["type"]) == (412, "#changed")
    told = await client.post("/people/eve/leave", json={"preview": True})
    headers = {"If-Match": told.headers["ETag"]}
    done = await client.post("/people/eve/leave", json={}, headers=headers)
    assert (done.status_code, done.json()["done"], told.json()["done"]) == (200, True, False)


async def test_a_body_has_a_limit_whether_it_says_its_length_or_not(
    client: httpx.AsyncClient,
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    headers = {"Content-Type": "application/json"}
    for content in (b" " * 2_000_000, parts()):
        response = await client.put("/views/long", content=content, headers=headers)
        assert (response.status_code, response.json()["type"]) == (413, "#too-large")
        assert response.headers["Content-Type"] == "application/problem+json"


async def test_a_body_of_another_type_is_refused_by_name(client: httpx.AsyncClient) -> None:
    for type_ in ("text/plain", "application/x-www-form-urlencoded", "x\x1b"):
        response = await client.put(
            "/views/odd", content=b"{}", headers={"Content-Type": type_.encode("latin-1").decode()}
        )
        assert (response.status_code, response.json()["type"]) == (415, "#media-type")
        assert response.headers["Accept-Put"] == "application/json"
        assert "\x1b" not in response.text
    broken = await client.put(
        "/views/odd", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert (broken.status_code, broken.json()["type"]) == (400, "#usage")


async def test_what_takes_too_long_is_ended_with_a_problem(
    census: Census, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(connection: Connection, now_ms: int) -> None:
        del now_ms
        connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) FROM n"
            )
        ).scalar_one()

    monkeypatch.setattr("keycensus_collector.api.questions.summarise", endless)
    monkeypatch.setattr(TimeLimit.__init__, "__defaults__", (0.1,))
    transport = httpx.ASGITransport(create_app(census.store, census.clock))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="https://census/api/v1", headers=headers
    ) as client:
        slow = await client.get("/summary")
        assert (slow.status_code, slow.json()["type"]) == (503, "#too-slow")
        assert slow.headers["Retry-After"] == "60"
        assert (await client.get("/whoami")).status_code == 200


async def test_a_method_that_is_not_there_is_answered_with_those_that_are(
    client: httpx.AsyncClient,
) -> None:
    for method in ("POST", "TRACE", "PATCH"):
        response = await client.request(method, "/views/expiring")
        assert response.status_code == 405
        assert response.headers["Allow"] == "DELETE, GET, PUT"
        assert response.headers["Content-Type"] == "application/problem+json"
