"""Signing in and out at the pages, and what other sites can't do with them (FAULTS T17, T19)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from argon2 import PasswordHasher
from fakes.census import Census

from keycensus_collector.access import users
from keycensus_collector.api.security import COOKIE
from keycensus_collector.oidc.settings import Provider, SignIn
from keycensus_collector.web.rendering import mask, unmask
from keycensus_collector.web.site import create_front

PASSWORD = "correct horse battery"
ORIGIN = "https://census"


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    """Make one whose passwords are hashed lightly: what is tried here is not how long that takes."""
    census = Census.create(tmp_path_factory.mktemp("census"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users, "_HASHER", PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))
        users._dummy_hash.cache_clear()
        with census.store.write() as connection:
            users.add_user(connection, name="ann", role="viewer", now_ms=0, actor="operator")
            users.set_password(
                connection,
                name="ann",
                password_hash=users.hash_of(PASSWORD),
                now_ms=0,
                actor="operator",
            )
        yield census
    users._dummy_hash.cache_clear()
    census.store.close()


@pytest.fixture
async def client(census: Census) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_front(census.store, census.clock))
    async with httpx.AsyncClient(
        transport=transport, base_url=ORIGIN, headers={"Origin": ORIGIN}
    ) as client:
        yield client
    census.clock.advance(86_400)  # what a test left in the way of counts is forgotten


async def sign_in(
    client: httpx.AsyncClient, to: str = "/", password: str = PASSWORD
) -> httpx.Response:
    form = {"user": "ann", "password": password, "to": to}
    return await client.post("/sign-in", data=form)


def csrf_in(text: str) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]+)"', text)
    assert found is not None
    return found[1]


async def test_who_is_not_signed_in_is_led_to_the_sign_in_and_then_where_they_wanted_to_go(
    client: httpx.AsyncClient,
) -> None:
    response = await client.get("/certificates", params={"q": "expires<30d"})
    assert response.status_code == 303
    way = response.headers["Location"]
    assert way == "/sign-in?to=%2Fcertificates%3Fq%3Dexpires%253C30d"
    asked = await client.get(way)
    to = re.search(r'name="to" value="([^"]*)"', asked.text)
    assert to is not None
    response = await sign_in(client, to[1])
    assert (response.status_code, response.headers["Location"]) == (303, to[1])
    assert (await client.get(to[1])).status_code == 200


async def test_a_wrong_password_asks_again_without_saying_what_was_wrong(
    client: httpx.AsyncClient,
) -> None:
    for name in ("ann", "nobody"):
        response = await client.post("/sign-in", data={"user": name, "password": "wrong"})
        assert response.status_code == 401
        assert "the user name or the password is wrong" in response.text
        assert f'value="{name}"' in response.text
        assert "wrong horse" not in response.text
    assert COOKIE not in client.cookies


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "javascript:alert(1)",
        "evil",
        "/sign-in?to=/sign-in",
        "/" + "x" * 5_000,
        "/\u202e",
    ],
)
async def test_the_sign_in_leads_to_no_other_host(client: httpx.AsyncClient, to: str) -> None:
    response = await sign_in(client, to)
    assert (response.status_code, response.headers["Location"]) == (303, "/")


async def test_the_sign_in_names_the_companys_providers(census: Census) -> None:
    sign_in_at = SignIn(ORIGIN, {"corp": Provider("corp", title="Example & Co")})
    site = create_front(census.store, census.clock, sign_in_at)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url=ORIGIN) as client:
        text = (await client.get("/sign-in", params={"to": "/keys?q=a b"})).text
    assert 'href="/api/v1/oidc/corp/start?next=%2Fkeys%3Fq%3Da%2520b"' not in text
    assert "Sign in with Example &amp; Co" in text


async def test_a_person_reads_on_a_page_why_a_provider_lets_them_in_nowhere_and_a_program_in_a_problem(
    census: Census,
) -> None:
    nobody_there = Provider("corp", issuer="https://127.0.0.1:9/", client_id="keycensus")
    site = create_front(census.store, census.clock, SignIn(ORIGIN, {"corp": nobody_there}))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url=ORIGIN) as client:
        start = "/api/v1/oidc/corp/start?next=/keys?q=x"
        for accepted in ("text/html,*/*;q=0.8", "*/*"):
            response = await client.get(start, headers={"Accept": accepted})
            assert response.status_code == 502
            assert "the provider at 127.0.0.1:9 can&#39;t be asked" in response.text.replace(
                "'", "&#39;"
            )
            is_page = response.headers["Content-Type"].startswith("text/html")
            assert is_page == ("html" in accepted)
            assert ('name="to" value="/keys?q=x"' in response.text) == is_page
            assert ("script-src 'self'" in response.headers["Content-Security-Policy"]) == is_page
        # What is not the way to a provider answers a browser as it does a program.
        refused = await client.get("/api/v1/certificates", headers={"Accept": "text/html"})
        assert refused.headers["Content-Type"] == "application/problem+json"


async def test_the_session_of_before_is_not_taken_over(client: httpx.AsyncClient) -> None:
    await sign_in(client)
    before = client.cookies[COOKIE]
    await sign_in(client)
    assert client.cookies[COOKIE] != before
    planted = {"Cookie": f"{COOKIE}={before}"}
    client.cookies.clear()
    assert (await client.get("/", headers=planted)).status_code == 303


async def test_signing_out_ends_the_session_and_only_a_form_of_ours_can(
    client: httpx.AsyncClient,
) -> None:
    await sign_in(client)
    csrf = csrf_in((await client.get("/")).text)
    for form, headers in (
        ({}, {}),
        ({"csrf": "00" * 64}, {}),
        ({"csrf": "x"}, {}),
        ({"csrf": csrf}, {"Origin": "https://evil.example"}),
        ({"csrf": csrf}, {"Sec-Fetch-Site": "cross-site"}),
        ({"csrf": csrf}, {"Origin": "null"}),
    ):
        response = await client.post("/sign-out", data=form, headers=headers)
        assert response.status_code == 403, (form, headers)
    cookie = client.cookies[COOKIE]
    response = await client.post("/sign-out", data={"csrf": csrf})
    assert (response.status_code, response.headers["Location"]) == (303, "/sign-in?done=signed-out")
    assert '"cache"' in response.headers["Clear-Site-Data"]
    client.cookies.clear()
    assert (await client.get("/", headers={"Cookie": f"{COOKIE}={cookie}"})).status_code == 303


async def test_signing_out_everywhere_ends_the_others_too(client: httpx.AsyncClient) -> None:
    await sign_in(client)
    other = client.cookies[COOKIE]
    client.cookies.clear()
    await sign_in(client)
    csrf = csrf_in((await client.get("/")).text)
    await client.post("/sign-out", data={"csrf": csrf, "everywhere": "yes"})
    client.cookies.clear()
    assert (await client.get("/", headers={"Cookie": f"{COOKIE}={other}"})).status_code == 303


async def test_a_sign_in_that_another_site_sends_is_refused(client: httpx.AsyncClient) -> None:
    form = {"user": "ann", "password": PASSWORD}
    headers = {"Origin": "https://evil.example"}
    response = await client.post("/sign-in", data=form, headers=headers)
    assert response.status_code == 403
    assert COOKIE not in client.cookies


async def test_pages_are_kept_by_nobody_framed_by_nobody_and_run_only_our_files(
    client: httpx.AsyncClient,
) -> None:
    await sign_in(client)
    for address in ("/", "/certificates", "/sign-in", "/nothing"):
        headers = (await client.get(address)).headers
        assert headers["Cache-Control"] == "no-store"
        policy = dict(
            part.strip().partition(" ")[::2]
            for part in headers["Content-Security-Policy"].split(";")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert headers["X-Frame-Options"] == "DENY"
        # With no-referrer, a browser says of our own forms "Origin: null".
        assert headers["Referrer-Policy"] == "same-origin"


async def test_files_have_an_address_of_their_content_and_nothing_else_is_served(
    client: httpx.AsyncClient,
) -> None:
    text = (await client.get("/sign-in")).text
    addresses = re.findall(r'"(/static/[^"]+)"', text)
    assert {address.rpartition("/")[2] for address in addresses} == {
        "site.css",
        "site.js",
        "icon.svg",
    }
    for address in addresses:
        response = await client.get(address)
        assert response.status_code == 200
        assert "immutable" in response.headers["Cache-Control"]
    digest = addresses[0].split("/")[2]
    for name in ("../rendering.py", "..%2frendering.py", "%2e%2e/rendering.py", "site.css/..", ""):
        assert (await client.get(f"/static/{digest}/{name}")).status_code == 404
    assert (await client.get("/static/0000000000000000/site.css")).status_code == 404


def test_a_mask_hides_the_token_anew_each_time() -> None:
    token = "ab" * 32
    first, second = mask(token), mask(token)
    assert first != second
    assert unmask(first) == unmask(second) == token
    assert [unmask(text) for text in ("", "x", "abc", "abcdef")] == [""] * 4
