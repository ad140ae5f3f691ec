"""The REST interface over a real database: answers, refusals, and what it says to browsers."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fakes.census import Census, certificate, private_key, sealed_key
from fakes.pki import issue
from fakes.served import api_token
from sqlalchemy import Connection
from structlog.testing import capture_logs

from keycensus_collector.access.rights import OPEN
from keycensus_collector.api.app import create_app
from keycensus_collector.errors import StoreError
from keycensus_collector.store import schema

HOSTILE = "\x1b]0;x\x07<img src=x onerror=alert(1)>\u202e=cmd()"
ROOT = issue("Example Root", is_ca=True, days=3650)
WWW = issue("www.example.com", issuer=ROOT, sans=("www.example.com",), days=20)
EVIL = issue(HOSTILE, days=50)


def cursor_of(key: list[str | int | None]) -> str:
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


PATHS = [
    "/certificates",
    f"/certificates/{WWW.sha256.hex()}",
    "/keys",
    f"/keys/{private_key(WWW.key).artifact.hex()}",
    "/hosts",
    "/places",
    "/views",
    "/views/expiring",
    "/groups/certificates?by=key",
    "/export/hosts",
    "/completion/hosts",
    "/show?id=web1",
    "/where?id=web1",
    "/summary",
    "/whoami",
    "/openapi.json",
]


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    host = census.host("web1")
    census.report(host, "/etc/www.pem", certificate(WWW), private_key(WWW.key), mode=0o644)
    census.report(host, "/etc/evil.pem", certificate(EVIL))
    census.report(host, "/etc/box.p12", sealed_key(b"box"))
    census.fold()
    yield census
    census.store.close()


@pytest.fixture(scope="module")
def token(census: Census) -> str:
    return api_token(census)


@pytest.fixture
async def client(census: Census, token: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(
        create_app(census.store, census.clock), raise_app_exceptions=False
    )
    async with httpx.AsyncClient(
        transport=transport,
        base_url="https://census/api/v1",
        headers={"Authorization": f"Bearer {token}"},
    ) as client:
        yield client


@pytest.mark.parametrize("number", range(len(PATHS)))
async def test_every_answer_needs_a_token(client: httpx.AsyncClient, number: int) -> None:
    path = PATHS[number]
    assert (await client.get(path)).status_code == 200
    for header in ("", "Bearer", "Bearer kcu_0000000000000000_" + "0" * 64, "Basic eDp5"):
        response = await client.get(path, headers={"Authorization": header})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert response.headers["Content-Type"] == "application/problem+json"
        assert set(response.json()) == {"type", "title", "status", "detail"}


async def test_health_needs_none(client: httpx.AsyncClient) -> None:
    response = await client.get("/health", headers={"Authorization": ""})
    assert response.json() == {"status": "ok", "version": "0.1.0"}


async def test_an_expired_token_is_refused_and_says_what_to_do(
    census: Census, client: httpx.AsyncClient
) -> None:
    short = api_token(census, days=1)
    header = {"Authorization": f"Bearer {short}"}
    assert (await client.get("/whoami", headers=header)).status_code == 200
    census.clock.advance(2 * 86_400)
    response = await client.get("/whoami", headers=header)
    census.clock.advance(-2 * 86_400)
    assert response.status_code == 401
    assert "expired" in response.json()["detail"]


async def test_the_use_of_a_token_is_noted(census: Census, client: httpx.AsyncClient) -> None:
    assert (await client.get("/whoami")).json()["user"] == "ada"
    used = [row.last_used_ms for row in census.rows(schema.api_token.select())]
    assert census.clock.now_ms() in used


async def test_a_certificate_is_listed_shown_and_found(client: httpx.AsyncClient) -> None:
    page = (await client.get("/certificates", params={"name": "www.example.com"})).json()
    (item,) = page["items"]
    assert item["sha256"] == WWW.sha256.hex()
    assert item["not_after"] == "2026-12-13T12:00:00Z"
    assert item["places"] is None
    assert (page["total"], page["total_is_exact"], page["next"]) == (1, True, None)
    whole = (await client.get(f"/certificates/{item['sha256'].upper()}")).json()
    assert whole["places"][0]["path"] == "/etc/www.pem"
    assert whole["private_key"]["certificates"] == ["www.example.com"]
    found = (await client.get("/where", params={"id": item["sha256"]})).json()
    assert found["places"] == whole["places"]


async def test_filters_reach_the_queries(client: httpx.AsyncClient) -> None:
    for path, parameters, total in (
        ("/certificates", {"expires_within": "30d"}, 1),
        ("/certificates", {"expires_within": "1y", "host": "web1", "path": "/etc"}, 2),
        ("/certificates", {"key_id": private_key(WWW.key).artifact.hex()}, 1),
        ("/certificates", {"status": "any", "include": "trust-stores", "is_ca": "true"}, 0),
        ("/certificates", {"without_key": "true", "expired": "false", "places": "true"}, 1),
        ("/keys", {"readable_by": "world", "sealed": "false"}, 1),
        ("/keys", {"encrypted": "true"}, 1),
        ("/keys", {"algorithm": "ec", "host": "web1"}, 1),
        ("/hosts", {"name": "web", "state": "active"}, 1),
    ):
        response = await client.get(path, params=parameters)
        assert response.json()["total"] == total, (path, parameters, response.text)


async def test_pages_follow_each_other(client: httpx.AsyncClient) -> None:
    first = (await client.get("/certificates", params={"limit": 1})).json()
    second = (
        await client.get("/certificates", params={"limit": 1, "cursor": first["next"]})
    ).json()
    assert first["items"] != second["items"]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("/certificates?expires_withn=30d", "expires_withn"),
        ("/certificates?expires_within=30", "expires_within"),
        ("/certificates?limit=0", "limit"),
        ("/certificates?limit=1001", "limit"),
        ("/certificates?status=dead", "status"),
        ("/certificates?key_id=xyz", "key_id"),
        ("/certificates?cursor=zzz", "cursor"),
        ("/certificates?cursor=" + cursor_of([10**30, "00" * 32]), "cursor"),
        ("/hosts?cursor=" + cursor_of(["web", -(10**30)]), "cursor"),
        ("/hosts?cursor=" + cursor_of(["\ud800", 1]), "cursor"),
        ("/certificates?line=99999999999999999999", "line"),
        ("/certificates?line=0", "line"),
        ("/keys?readable_by=me", "readable_by"),
        ("/hosts?name=" + "x" * 1001, "name"),
        ("/show", "id"),
        ("/show?id=%20", "ID"),
        ("/where?id=a&kind=b", "kind"),
    ],
)
async def test_a_mistake_in_the_query_is_named(
    client: httpx.AsyncClient, query: str, named: str
) -> None:
    response = await client.get(query)
    problem = response.json()
    assert response.status_code == problem["status"] == 400
    assert problem["type"] == "#usage"
    assert named in problem["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/show?id=nothing",
        "/where?id=" + "0" * 64,
        "/certificates/" + "0" * 64,
        "/certificates/zz",
        "/keys/" + "0" * 64,
        "/keys/%2e%2e%2f",
        "/hosts/00000000-0000-0000-0000-000000000000",
        "/nothing",
    ],
)
async def test_what_is_not_there_is_said_to_be_missing(
    client: httpx.AsyncClient, path: str
) -> None:
    response = await client.get(path)
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["detail"]


async def test_only_reading_is_possible(client: httpx.AsyncClient) -> None:
    response = await client.post("/certificates")
    assert (response.status_code, response.json()["type"]) == (405, "#method-not-allowed")


async def test_an_unclear_id_lists_its_candidates(
    census: Census, client: httpx.AsyncClient
) -> None:
    twin = census.host("twin")
    other = census.host("twin")
    response = await client.get("/show", params={"id": "TWIN"})
    with census.store.write() as connection:
        connection.execute(schema.host.delete().where(schema.host.c.host_no.in_([twin, other])))
    problem = response.json()
    assert (response.status_code, problem["type"]) == (409, "#ambiguous")
    assert [match["name"] for match in problem["candidates"]] == ["twin", "twin"]
    assert (await client.get("/show", params={"id": "web1", "kind": "key"})).status_code == 404


async def test_hostile_text_comes_out_escaped_and_can_not_act_in_a_browser(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/certificates", "/certificates?places=true", f"/show?id={EVIL.sha256.hex()}"):
        response = await client.get(path)
        assert "\\\\x1b]0;x\\\\x07<img" in response.text
        assert not any(c in response.text for c in "\x1b\x07\u202e")
        assert response.headers["Content-Type"] == "application/json"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert response.headers["Cache-Control"] == "no-store"
        assert "Strict-Transport-Security" in response.headers


async def test_errors_carry_the_headers_too(client: httpx.AsyncClient) -> None:
    response = await client.get("/nothing", headers={"Authorization": ""})
    assert response.headers["X-Frame-Options"] == "DENY"


async def test_a_failing_database_is_unavailable_and_a_bug_is_internal(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for error, status, type_, event in (
        (StoreError("secret path"), 503, "#store", "api.store-failed"),
        (RuntimeError("secret value"), 500, "#internal", "api.failed"),
    ):

        def fail(_: Connection, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr(
                "keycensus_collector.api.questions.summarise",
                lambda c, now_ms: fail(c),  # noqa: ARG005 - as called
            )
            response = await client.get("/summary")
        assert (response.status_code, response.json()["type"]) == (status, type_)
        assert "secret" not in response.text
        assert [log["event"] for log in logs] == [event]


async def test_the_description_is_whole_and_loads_nothing(client: httpx.AsyncClient) -> None:
    description = (await client.get("/openapi.json")).json()
    assert description["openapi"].startswith("3.1")
    paths = {f"/api/v1{path.partition('?')[0]}" for path in ("/certificates", "/keys", "/hosts")}
    assert paths <= set(description["paths"])
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], path
            assert operation["summary"], path
            is_open = f"{method.upper()} {path}" in OPEN
            assert is_open or operation["security"], path
            for parameter in operation.get("parameters", []):
                assert parameter["in"] == "path" or parameter["description"], (path, parameter)
    for page in ("/docs", "/redoc", "/openapi.json"):
        assert (await client.get(f"https://census{page}")).status_code == 404
