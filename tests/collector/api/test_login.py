"""Sessions of browsers: signing in and out, what ends them, and what other sites can't do with them."""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from fakes.census import Census
from sqlalchemy import select
from structlog.testing import capture_logs

from keycensus_collector.access import sessions, users
from keycensus_collector.api.app import create_app
from keycensus_collector.api.security import COOKIE, REFRESH
from keycensus_collector.store import schema
from keycensus_collector.store.tables.access import user_session

PASSWORD = "correct horse battery"
ORIGIN = "https://census"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("census")


@pytest.fixture(scope="module")
def census(directory: Path) -> Iterator[Census]:
    """Make one whose passwords are hashed lightly: what is tried here is not how long that takes."""
    census = Census.create(directory)
    with pytest.MonkeyPatch.context() as patch:
        light = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        patch.setattr(users, "_HASHER", light)
        users._dummy_hash.cache_clear()
        yield from _filled(census)
    users._dummy_hash.cache_clear()


def _filled(census: Census) -> Iterator[Census]:
    hashed = users.hash_of(PASSWORD)
    with census.store.write() as connection:
        for name, role in (("ann", "operator"), ("root", "admin"), ("eve", "viewer")):
            users.add_user(connection, name=name, role=role, now_ms=0, actor="operator")
            users.set_password(
                connection, name=name, password_hash=hashed, now_ms=0, actor="operator"
            )
    yield census
    census.store.close()


@pytest.fixture
async def client(census: Census) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(census) as client:
        yield client
    census.clock.advance(86_400)  # what a test left in the way of counts is forgotten


def browser(census: Census, address: str = "192.0.2.1") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(
        create_app(census.store, census.clock), raise_app_exceptions=False, client=(address, 1)
    )
    return httpx.AsyncClient(
        transport=transport, base_url=f"{ORIGIN}/api/v1", headers={"Origin": ORIGIN}
    )


def stored_in(directory: Path) -> bytes:
    """Return every byte of the database."""
    return b"".join(file.read_bytes() for file in directory.iterdir())


async def sign_in(
    client: httpx.AsyncClient, name: str = "ann", password: str = PASSWORD
) -> dict[str, Any]:
    response = await client.post("/login", json={"user": name, "password": password})
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    client.headers["X-CSRF-Token"] = body["csrf"]
    return body


async def test_a_sign_in_gives_a_session_whose_cookie_is_for_this_host_and_no_script(
    client: httpx.AsyncClient, census: Census, directory: Path
) -> None:
    response = await client.post("/login", json={"user": "ann", "password": PASSWORD})
    (cookie,) = response.headers.get_list("Set-Cookie")
    name, _, value = cookie.partition(";")[0].partition("=")
    assert name == COOKIE == "__Host-keycensus"
    attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
    assert attributes == {"httponly", "path=/", "samesite=lax", "secure"}
    assert (response.json()["user"], response.json()["role"]) == ("ann", "operator")
    assert "agents.ban" in response.json()["permissions"]
    assert (await client.get("/session")).json() == response.json()
    assert (await client.get("/whoami")).json()["user"] == "ann"
    stored = census.rows(select(user_session.c.session_hash))
    assert value.encode() not in b"".join(row.session_hash for row in stored)
    everything = stored_in(directory)
    assert value.encode() not in everything
    assert bytes.fromhex(value) not in everything


async def test_a_sign_in_rotates_the_session(client: httpx.AsyncClient, census: Census) -> None:
    await sign_in(client)
    first = client.cookies[COOKIE]
    await sign_in(client)
    assert client.cookies[COOKIE] != first
    async with browser(census) as other:
        other.cookies[COOKIE] = first
        assert (await other.get("/whoami")).status_code == 401


async def test_a_cookie_from_elsewhere_never_becomes_a_session(
    client: httpx.AsyncClient, census: Census
) -> None:
    planted = "a" * 64
    client.cookies.set(COOKIE, planted, domain="census")
    await client.post("/login", json={"user": "ann", "password": PASSWORD})
    async with browser(census) as attacker:
        attacker.cookies[COOKIE] = planted
        assert (await attacker.get("/whoami")).status_code == 401


async def test_a_session_ends_when_idle_and_after_twelve_hours(
    client: httpx.AsyncClient, census: Census
) -> None:
    await sign_in(client)
    for _ in range(13):
        census.clock.advance(3_000)
        assert (await client.get("/whoami")).status_code == 200
    census.clock.advance(3_601)
    assert (await client.get("/whoami")).status_code == 401
    await sign_in(client)
    for _ in range(14):
        census.clock.advance(3_000)
        assert (await client.get("/whoami")).status_code == 200
    census.clock.advance(12 * 3_600 - 14 * 3_000)
    assert (await client.get("/whoami")).status_code == 401


async def test_a_page_that_keeps_itself_fresh_does_not_keep_a_session_from_ending(
    client: httpx.AsyncClient, census: Census
) -> None:
    await sign_in(client)
    for _ in range(6):
        census.clock.advance(599)
        answer = await client.get("/whoami", headers={REFRESH: "yes"})
        assert answer.status_code == 200
    census.clock.advance(10)
    answer = await client.get("/whoami", headers={REFRESH: "yes"})
    assert answer.status_code == 401


async def test_signing_out_ends_it_at_the_server(client: httpx.AsyncClient, census: Census) -> None:
    await sign_in(client)
    stolen = client.cookies[COOKIE]
    response = await client.post("/logout")
    assert response.status_code == 204
    assert f"{COOKIE}=" in response.headers["Set-Cookie"]
    async with browser(census) as thief:
        thief.cookies[COOKIE] = stolen
        assert (await thief.get("/whoami")).status_code == 401


async def test_signing_out_everywhere_ends_every_session(
    client: httpx.AsyncClient, census: Census
) -> None:
    async with browser(census) as other:
        await sign_in(other)
        await sign_in(client)
        listed = (await client.get("/sessions")).json()
        assert [each["current"] for each in listed].count(True) == 1
        assert len(listed) == 2
        assert (await client.delete("/sessions")).status_code == 204
        for each in (client, other):
            assert (await each.get("/whoami")).status_code == 401


@pytest.mark.parametrize("change", [{"role": "viewer"}, {"disabled": True}])
async def test_another_role_or_a_disabled_user_ends_the_sessions(
    client: httpx.AsyncClient, census: Census, change: dict[str, Any]
) -> None:
    await sign_in(client)
    async with browser(census) as admin:
        await sign_in(admin, "root")
        assert (await admin.patch("/users/ann", json=change)).status_code == 204
        assert (await client.get("/whoami")).status_code == 401
        back = {"role": "operator", "disabled": False}
        assert (await admin.patch("/users/ann", json=back)).status_code == 204


async def test_a_new_password_ends_the_other_sessions(
    client: httpx.AsyncClient, census: Census
) -> None:
    new = "another long password"
    async with browser(census) as other:
        await sign_in(other, "eve")
        await sign_in(client, "eve")
        wrong = await client.put("/password", json={"old": "wrong", "new": new})
        assert wrong.status_code == 401
        short = await client.put("/password", json={"old": PASSWORD, "new": "short"})
        assert (short.status_code, short.json()["type"]) == (400, "#usage")
        done = await client.put("/password", json={"old": PASSWORD, "new": new})
        assert done.status_code == 204
        assert (await client.get("/whoami")).status_code == 200
        assert (await other.get("/whoami")).status_code == 401
        await sign_in(other, "eve", new)
        await client.put("/password", json={"old": new, "new": PASSWORD})


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://census"},
    {"Origin": "https://census.evil.example"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": ORIGIN, "Sec-Fetch-Site": "same-site"},
    {"X-CSRF-Token": ""},
    {"X-CSRF-Token": "0" * 64},
    {"X-CSRF-Token": "\xe9"},
]


@pytest.mark.parametrize("headers", FOREIGN)
async def test_another_site_can_not_write_with_the_cookie(
    client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    await sign_in(client)
    body = {"what": "hosts", "query": "state:active"}
    encoded = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
    response = await client.put("/views/mine", json=body, headers=encoded)
    assert response.status_code == 403, response.text
    assert (await client.get("/views/mine")).status_code == 404
    assert (await client.put("/views/mine", json=body)).status_code == 200
    assert (await client.delete("/views/mine")).status_code == 204


async def test_a_write_that_says_nothing_of_its_origin_is_refused(
    client: httpx.AsyncClient,
) -> None:
    await sign_in(client)
    del client.headers["Origin"]
    response = await client.put("/views/mine", json={"what": "hosts", "query": "state:active"})
    assert (response.status_code, response.json()["type"]) == (403, "#forbidden")


async def test_a_sign_in_from_another_site_is_refused(client: httpx.AsyncClient) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        response = await client.post(
            "/login", json={"user": "ann", "password": PASSWORD}, headers=headers
        )
        assert response.status_code == 403
    form = await client.post("/login", data={"user": "ann", "password": PASSWORD})
    assert form.status_code == 415


async def test_a_bearer_token_needs_neither_cookie_nor_csrf_token(
    client: httpx.AsyncClient, census: Census
) -> None:
    await sign_in(client)
    made = (await client.post("/tokens", json={"name": "script"})).json()
    async with browser(census) as script:
        del script.headers["Origin"]
        script.headers["Authorization"] = f"Bearer {made['token']}"
        body = {"what": "hosts", "query": "state:active"}
        assert (await script.put("/views/mine", json=body)).status_code == 200
        assert (await script.delete("/views/mine")).status_code == 204
        assert (await script.get("/session")).json()["csrf"] == ""
        assert (await script.post("/logout")).status_code == 409
        # A token that does not count is not made up for by a cookie.
        script.cookies[COOKIE] = client.cookies[COOKIE]
        script.headers["Authorization"] = "Bearer kcu_wrong"
        assert (await script.get("/whoami")).status_code == 401


async def test_a_token_is_made_shown_once_listed_and_revoked(
    client: httpx.AsyncClient, census: Census
) -> None:
    await sign_in(client)
    made = (
        await client.post(
            "/tokens", json={"name": "x\x1b[31m", "days": 1, "permissions": ["inventory.read"]}
        )
    ).json()
    listed = await client.get("/tokens")
    assert made["token"] not in listed.text
    row = next(each for each in listed.json() if each["id"] == made["id"])
    assert (row["state"], row["permissions"]) == ("good", ["inventory.read"])
    assert "\x1b" not in row["name"]
    headers = {"Authorization": f"Bearer {made['token']}"}
    async with browser(census) as script:
        assert (await script.get("/hosts", headers=headers)).status_code == 200
        assert (await script.get("/export/hosts", headers=headers)).status_code == 403
        assert (await script.get("/tokens", headers=headers)).status_code == 403
        assert (await client.delete(f"/tokens/{made['id']}")).status_code == 204
        assert (await client.delete(f"/tokens/{made['id']}")).status_code == 404
        assert (await script.get("/hosts", headers=headers)).status_code == 401


async def test_nobody_gives_a_token_more_than_they_have(
    client: httpx.AsyncClient, census: Census
) -> None:
    await sign_in(client)
    response = await client.post("/tokens", json={"name": "", "permissions": ["users.write"]})
    assert (response.status_code, "users.write" in response.text) == (403, True)
    words = ["account.write", "inventory.read"]
    limited = (
        await client.post("/tokens", json={"name": "", "days": 2, "permissions": words})
    ).json()
    async with browser(census) as script:
        script.headers["Authorization"] = f"Bearer {limited['token']}"
        child = (await script.post("/tokens", json={"name": "", "days": 90})).json()
        assert child["expires"] == limited["expires"]
        script.headers["Authorization"] = f"Bearer {child['token']}"
        assert (await script.get("/hosts")).status_code == 200
        assert (await script.get("/export/hosts")).status_code == 403


async def test_nobody_revokes_anothers_token_but_an_admin(
    client: httpx.AsyncClient, census: Census
) -> None:
    await sign_in(client)
    made = (await client.post("/tokens", json={"name": ""})).json()
    async with browser(census) as other:
        await sign_in(other, "eve")
        assert (await other.delete(f"/tokens/{made['id']}")).status_code == 404
        await sign_in(other, "root")
        assert len((await other.get("/users/ann/tokens")).json()) >= 1
        assert (await other.delete(f"/users/ann/tokens/{made['id']}")).status_code == 204


async def test_an_unknown_name_and_a_wrong_password_are_answered_alike(
    client: httpx.AsyncClient,
) -> None:
    answers = [
        await client.post("/login", json={"user": name, "password": "wrong"})
        for name in ("ann", "nobody")
    ]
    assert answers[0].json() == answers[1].json()
    assert {answer.status_code for answer in answers} == {401}
    assert "Set-Cookie" not in answers[0].headers


async def test_an_unknown_name_takes_as_long(
    census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        users, "_HASHER", PasswordHasher(time_cost=30, memory_cost=8_192, parallelism=1)
    )
    users._dummy_hash.cache_clear()
    hashed = users.hash_of(PASSWORD)
    with census.store.write() as connection:
        users.set_password(connection, name="eve", password_hash=hashed, now_ms=0, actor="operator")
    times: dict[str, list[float]] = {"eve": [], "nobody": []}
    for number in range(3):
        for name, taken in times.items():
            async with browser(census, f"192.0.2.{number + 100}") as client:
                await client.get("/health")  # what is made at the first request is no part of it
                # The process's own time: another one's does not count.
                began = time.process_time()
                await client.post("/login", json={"user": name, "password": "wrong"})
                taken.append(time.process_time() - began)
    census.clock.advance(86_400)
    users._dummy_hash.cache_clear()
    known, unknown = (statistics.median(taken) for taken in times.values())
    assert 0.5 < known / unknown < 2, times


async def test_who_tries_too_often_waits_and_the_password_is_not_looked_at(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(stored: str, password: str) -> bool:
        compared.append(password)
        return bool(stored) and password == PASSWORD

    monkeypatch.setattr("keycensus_collector.api.login.password_matches", compare)
    statuses = []
    for number in range(200):
        body = {"user": "eve", "password": f"guess {number}"}
        statuses.append((await client.post("/login", json=body)).status_code)
    assert statuses.count(401) == len(compared) == 5
    assert statuses.count(429) == 195
    right = await client.post("/login", json={"user": "eve", "password": PASSWORD})
    assert right.status_code == 429
    assert int(right.headers["Retry-After"]) == right.json()["retry_after"] > 0


async def test_no_password_cookie_or_token_is_logged_or_shown(
    client: httpx.AsyncClient, census: Census
) -> None:
    with capture_logs() as logs:
        body = await sign_in(client)
        made = (await client.post("/tokens", json={"name": ""})).json()
        await client.post("/login", json={"user": "ann", "password": "a wrong secret"})
        bad = await client.post("/login", json={"user": 7, "password": {"x": "hidden secret"}})
        assert bad.status_code == 400
        assert "secret" not in bad.text
    cookie = client.cookies[COOKIE]
    audited = [row.detail + row.subject for row in census.rows(select(schema.audit))]
    for secret in (PASSWORD, "a wrong secret", cookie, body["csrf"], made["token"].split("_")[2]):
        assert secret not in str(logs)
        assert secret not in str(audited)
    with census.store.read() as connection:
        assert PASSWORD not in repr(sessions.find(connection, cookie, census.clock.now_ms()))
