"""Codes that the `keycensus` command exchanges for a token: for whom, how often, and with what."""

from __future__ import annotations

import secrets
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fakes.signing_in import START, Site, person
from sqlalchemy import select

from keycensus_collector.access.users import change_user
from keycensus_collector.api.security import COOKIE
from keycensus_collector.oidc.states import challenge_of
from keycensus_collector.store.schema import audit
from keycensus_collector.store.tables.oidc import oidc_code

VERIFIER = secrets.token_urlsafe(32)
COMMAND = f"{START}?command=50000.{challenge_of(VERIFIER)}"


async def brought(site: Site, browser: httpx.AsyncClient) -> dict[str, str]:
    """Sign in for a command; return what the browser brings to its port."""
    response = await site.sign_in(browser, COMMAND)
    assert response.status_code == 303, response.text
    assert "Set-Cookie" not in response.headers
    url = urlsplit(response.headers["Location"])
    assert (url.scheme, url.netloc, url.path) == ("http", "127.0.0.1:50000", "/")
    return {name: values[0] for name, values in parse_qs(url.query).items()}


async def redeem(client: httpx.AsyncClient, code: str, verifier: str = VERIFIER) -> httpx.Response:
    body = {"code": code, "verifier": verifier, "name": "laptop", "days": 5}
    return await client.post("/api/v1/oidc/token", json=body)


async def test_a_code_gets_a_token_once(site: Site) -> None:
    async with site.browser() as browser, site.browser() as command:
        code = (await brought(site, browser))["code"]
        assert COOKIE not in browser.cookies
        made = await redeem(command, code)
        assert made.status_code == 201, made.text
        headers = {"Authorization": f"Bearer {made.json()['token']}"}
        me = (await command.get("/api/v1/whoami", headers=headers)).json()
        assert (me["user"], me["role"]) == ("anna", "viewer")
        again = await redeem(command, code)
        assert (again.status_code, again.json()["type"]) == (401, "#unauthenticated")
    (row,) = site.census.rows(
        select(audit).where(audit.c.action == "api-token.create", audit.c.subject == "anna")
    )
    assert (row.actor, '"name": "laptop"' in row.detail) == ("user:anna", True)


async def test_a_code_is_worth_nothing_without_its_verifier_or_late(site: Site) -> None:
    async with site.browser() as browser, site.browser() as command:
        code = (await brought(site, browser))["code"]
        assert code not in repr(site.census.rows(select(oidc_code)))
        for verifier in ("", challenge_of(VERIFIER), secrets.token_urlsafe(32)):
            assert (await redeem(command, code, verifier)).status_code == 401
            assert (await redeem(command, code)).status_code == 401  # and it is spent
            code = (await brought(site, browser))["code"]
        site.census.clock.advance(60)
        assert (await redeem(command, code)).status_code == 401
        code = (await brought(site, browser))["code"]
        with site.census.store.write() as connection:
            change_user(connection, name="anna", disabled=True, now_ms=1, actor="operator")
        assert (await redeem(command, code)).status_code == 401
        with site.census.store.write() as connection:
            change_user(connection, name="anna", disabled=False, now_ms=1, actor="operator")
    assert site.refusals()[-1].action == "session.refused"


async def test_who_guesses_codes_waits(site: Site) -> None:
    async with site.browser("192.0.2.68") as command:
        for _ in range(20):
            assert (await redeem(command, secrets.token_hex(32))).status_code == 401
        assert (await redeem(command, secrets.token_hex(32))).status_code == 429


async def test_a_refusal_is_brought_to_the_command(site: Site) -> None:
    site.provider.person = person("eve", "strangers")
    async with site.browser() as browser:
        said = await brought(site, browser)
    assert said["error"] == "not-allowed"
    assert "ask whoever gives access" in said["error_description"]


@pytest.mark.parametrize(
    "command",
    [
        "1023." + "a" * 43,
        "65536." + "a" * 43,
        "50000." + "a" * 42,
        "50000",
        "evil.example." + "a" * 43,
    ],
)
async def test_it_goes_to_a_port_of_this_machine_only(site: Site, command: str) -> None:
    async with site.browser() as browser:
        response = await browser.get(START, params={"command": command})
    assert (response.status_code, response.json()["type"]) == (400, "#usage")
