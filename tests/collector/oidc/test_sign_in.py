"""Signing in at a provider of OpenID Connect: the way there and back, and who can't go it."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from fakes.oidc_provider import CLIENT_SECRET
from fakes.signing_in import START, Site
from sqlalchemy import select
from structlog.testing import capture_logs

from keycensus_collector.api.oidc import STATE_COOKIE
from keycensus_collector.api.security import COOKIE
from keycensus_collector.oidc.states import LIFE_MS
from keycensus_collector.store.schema import audit
from keycensus_collector.store.tables.access import user_session
from keycensus_collector.store.tables.oidc import oidc_state


def refused(response: httpx.Response, status: int, reason: str) -> str:
    """Hold that a sign-in was refused so, and let nobody in; return what it told."""
    problem = response.json()
    assert (response.status_code, problem.get("reason")) == (status, reason), response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "Set-Cookie" not in response.headers
    return str(problem["detail"])


def with_parameters(url: str, **changed: str | None) -> str:
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | changed
    kept = {name: value for name, value in query.items() if value is not None}
    return parts._replace(query=urlencode(kept)).geturl()


async def test_the_way_there_and_back_gives_a_session_as_a_password_does(site: Site) -> None:
    site.provider.person |= {"groups": ["staff", "operations", "unknown"]}
    async with site.browser() as browser:
        (listed,) = [
            each for each in (await browser.get("/api/v1/oidc")).json() if each["name"] == "corp"
        ]
        assert listed == {"name": "corp", "title": "Corp", "start": START, "end": ""}
        back = await site.back(browser, f"{START}?next=/certificates?q=expires%3C30d")
        response = await browser.get(back)
        assert response.status_code == 303, response.text
        assert response.headers["Location"] == "/certificates?q=expires%3C30d"
        cookies = {each.partition("=")[0]: each for each in response.headers.get_list("Set-Cookie")}
        attributes = {part.strip().lower() for part in cookies[COOKIE].split(";")[1:]}
        assert attributes == {"httponly", "path=/", "samesite=lax", "secure"}
        assert "Max-Age=0" in cookies[STATE_COOKIE]
        session = (await browser.get("/api/v1/session")).json()
        assert (session["user"], session["role"]) == ("anna", "operator")
        (mine,) = (await browser.get("/api/v1/sessions")).json()
        assert (mine["how"], mine["address"]) == ("oidc:corp", "192.0.2.1")
        out = await browser.post("/api/v1/logout", headers={"X-CSRF-Token": session["csrf"]})
        assert out.status_code == 204
        assert (await browser.get("/api/v1/whoami")).status_code == 401
    told = {(row.actor, row.action, row.subject) for row in site.census.rows(select(audit))}
    assert {
        ("oidc:corp", "user.add", "anna"),
        ("oidc:corp", "user.link", "anna"),
        ("user:anna", "session.begin", "anna"),
    } <= told


async def test_what_is_asked_of_the_provider_is_new_each_time_and_sealed(site: Site) -> None:
    async with site.browser() as browser, site.browser() as other:
        asked = []
        for client in (browser, browser, other):
            response = await client.get(START)
            cookie = response.headers["Set-Cookie"]
            attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
            assert attributes == {
                "httponly", "path=/", "samesite=lax", "secure", f"max-age={LIFE_MS // 1000}",
            }  # fmt: skip
            asked.append(parse_qs(urlsplit(response.headers["Location"]).query))
    for name in ("state", "nonce", "code_challenge"):
        assert len({each[name][0] for each in asked}) == 3, name
    for each in asked:
        assert each["redirect_uri"] == ["https://census/api/v1/oidc/corp/callback"]
        assert (each["code_challenge_method"], each["response_type"]) == (["S256"], ["code"])
        assert browser.cookies[STATE_COOKIE] not in str(each)


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/%09/evil.example",
        "javascript:alert(1)",
        "certificates",
        "",
        "/\r\nSet-Cookie: x=y",
        "/a\\b",
    ],
)
async def test_it_leads_nowhere_but_to_this_collector(site: Site, target: str) -> None:
    async with site.browser() as browser:
        response = await browser.get(START, params={"next": target})
        if response.status_code == 303:  # what a browser takes for a path of ours
            back = await site.at_provider(response.headers["Location"])
            landed = (await browser.get(back)).headers["Location"]
            assert str(httpx.URL("https://census/api/").join(landed)).startswith("https://census/")
            assert target == "/%09/evil.example"
        else:
            assert (response.status_code, response.json()["type"]) == (400, "#usage")


async def test_a_state_comes_back_once(site: Site) -> None:
    async with site.browser() as browser:
        back = await site.back(browser)
        cookie = browser.cookies[STATE_COOKIE]
        assert (await browser.get(back)).status_code == 303
        asked = site.provider.asked.count("/token")
        browser.cookies.set(STATE_COOKIE, cookie, domain="census.local")
        again = await browser.get(back)
        assert "begin again" in refused(again, 400, "replayed-state")
        assert site.provider.asked.count("/token") == asked
    assert site.refusals()[-1].detail.count("replayed-state") == 1


async def test_another_browser_can_not_finish_what_one_began(site: Site) -> None:
    async with site.browser() as attacker, site.browser() as victim:
        asked = site.provider.asked.count("/token")
        back = await site.back(attacker)
        refused(await victim.get(back), 400, "foreign-state")
        await victim.get(START)  # it has a cookie of its own now
        refused(await victim.get(back), 400, "foreign-state")
        victim.cookies.set(STATE_COOKIE, "", domain="census.local")
        refused(await victim.get(back), 400, "foreign-state")
        assert COOKIE not in victim.cookies
        assert site.provider.asked.count("/token") == asked


async def test_a_state_that_was_changed_or_is_missing_late_or_anothers_is_refused(
    site: Site,
) -> None:
    async with site.browser() as browser:
        back = await site.back(browser)
        state = parse_qs(urlsplit(back).query)["state"][0]
        flipped = state[:5] + ("A" if state[5] != "A" else "B") + state[6:]
        for changed in (None, "", "x", flipped, state + "x", state.partition(".")[0], "é." * 5):
            refused(await browser.get(with_parameters(back, state=changed)), 400, "foreign-state")
        other = back.replace("/oidc/corp/", "/oidc/other/")
        refused(await browser.get(other), 400, "foreign-state")
        late = await site.back(browser)
        site.census.clock.advance(LIFE_MS / 1000)
        refused(await browser.get(late), 400, "late")


async def test_what_the_provider_refuses_is_told(site: Site) -> None:
    async with site.browser() as browser:
        site.provider.denies = "access_denied"
        refused(await site.sign_in(browser), 403, "denied")
        site.provider.denies = "server_error\x1b[31m<script>"
        detail = refused(await site.sign_in(browser), 502, "provider-error")
        assert "\x1b" not in detail
        site.provider.denies = ""
        back = await site.back(browser)
        refused(await browser.get(with_parameters(back, code=None)), 502, "answer")
        back = await site.back(browser)
        refused(await browser.get(with_parameters(back, code="another")), 502, "code")
    reasons = [row.detail for row in site.refusals()[-4:]]
    for reason, detail in zip(("denied", "provider-error", "answer", "code"), reasons, strict=True):
        assert f'"reason": "{reason}"' in detail
        assert '"address": "192.0.2.1"' in detail


async def test_the_answer_of_another_provider_is_not_taken_for_this_ones(site: Site) -> None:
    async with site.browser() as browser:
        site.provider.iss = "https://evil.example"
        refused(await site.sign_in(browser), 502, "issuer")
        site.provider.iss = site.provider.issuer
        assert (await site.sign_in(browser)).status_code == 303
        site.provider.iss = None
        site.provider.described = {"authorization_response_iss_parameter_supported": True}
        site.configure()
        refused(await site.sign_in(browser), 502, "issuer")


async def test_a_code_of_one_sign_in_does_not_finish_another(site: Site) -> None:
    """The verifier of PKCE hangs on the state, so a code that was injected is worth nothing."""
    async with site.browser() as browser:
        stolen = parse_qs(urlsplit(await site.back(browser)).query)["code"][0]
        back = await site.back(browser)
        refused(await browser.get(with_parameters(back, code=stolen)), 502, "code")


async def test_a_session_from_before_is_never_taken_on(site: Site) -> None:
    async with site.browser() as browser:
        await site.sign_in(browser)
        first = browser.cookies[COOKIE]
        await site.sign_in(browser)
        assert browser.cookies[COOKIE] != first
        async with site.browser() as other:
            other.cookies.set(COOKIE, first, domain="census.local")
            assert (await other.get("/api/v1/whoami")).status_code == 401
            planted = "a" * 64
            other.cookies.set(COOKIE, planted, domain="census.local")
            await site.sign_in(other)
            assert other.cookies[COOKIE] != planted


async def test_who_comes_back_too_often_with_nothing_waits(site: Site) -> None:
    async with site.browser("192.0.2.66") as browser, site.browser() as elsewhere:
        for _ in range(20):
            refused(await browser.get("/api/v1/oidc/corp/callback"), 400, "foreign-state")
        good = await site.back(browser)
        waits = await browser.get(good)
        assert (waits.status_code, waits.json()["type"]) == (429, "#too-many-attempts")
        assert waits.headers["Retry-After"] == str(waits.json()["retry_after"])
        assert (await site.sign_in(elsewhere)).status_code == 303
        site.census.clock.advance(2)
        assert (await browser.get(good)).status_code == 303


async def test_signing_in_many_times_from_one_address_is_no_guessing(site: Site) -> None:
    async with site.browser("192.0.2.67") as browser:
        for _ in range(22):
            assert (await site.sign_in(browser)).status_code == 303


async def test_no_secret_stands_in_the_database_or_the_log(site: Site) -> None:
    with capture_logs() as logs:
        async with site.browser() as browser:
            back = await site.back(browser)
            secret = browser.cookies[STATE_COOKIE]
            await browser.get(back)
            site.provider.change = {"nonce": "x"}
            refused(await site.sign_in(browser), 502, "nonce")
    query = parse_qs(urlsplit(back).query)
    rows = site.census.rows(select(audit)) + site.census.rows(select(user_session))
    everything = repr(logs) + repr(rows) + repr(site.census.rows(select(oidc_state)))
    for text in (secret, query["code"][0], query["state"][0], CLIENT_SECRET):
        assert text not in everything


async def test_states_are_kept_no_longer_than_they_could_come_back(site: Site) -> None:
    async with site.browser() as browser:
        await site.sign_in(browser)
        site.census.clock.advance(LIFE_MS / 1000)
        await site.sign_in(browser)
    assert len(site.census.rows(select(oidc_state))) == 1


async def test_signing_out_at_the_provider_is_a_link(site: Site) -> None:
    async with site.browser() as browser:
        refused(await browser.get("/api/v1/oidc/corp/end"), 502, "configuration")
        site.configure(end_session=True)
        listed = (await browser.get("/api/v1/oidc")).json()
        response = await browser.get(listed[0]["end"])
        url = urlsplit(response.headers["Location"])
        assert (response.status_code, url.path) == (303, "/logout")
        assert parse_qs(url.query) == {
            "client_id": ["keycensus"],
            "post_logout_redirect_uri": ["https://census/"],
        }


async def test_a_provider_that_is_not_configured_is_not_there(site: Site) -> None:
    async with site.browser() as browser:
        for end in ("start", "callback", "end"):
            response = await browser.get(f"/api/v1/oidc/none%1b/{end}")
            assert (response.status_code, response.json()["type"]) == (404, "#not-found")
