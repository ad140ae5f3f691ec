"""What the provider answers, over real TLS: bounded, checked, and its keys as they change."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from typing import Any

import httpx
import pytest
from fakes.oidc_provider import CLIENT_SECRET
from fakes.signing_in import START, Site
from joserfc.jwk import OctKey

from keycensus_collector.api.oidc import clients
from keycensus_collector.oidc.provider import ProviderClient
from keycensus_collector.oidc.settings import SignIn
from keycensus_collector.oidc.transport import MOST_BYTES, Transport

DISCOVERY = "/.well-known/openid-configuration"
JSON = {"Content-Type": "application/json"}


async def outcome(site: Site, start: str = START) -> str:
    """Sign in with what the collector knows; return the reason of the refusal, or ""."""
    async with site.browser() as browser:
        begun = await browser.get(start)
        if begun.status_code != 303:
            return reason(begun)
        response = await browser.get(await site.at_provider(begun.headers["Location"]))
        return "" if response.status_code == 303 else reason(response)


def reason(response: httpx.Response) -> str:
    problem = response.json()
    assert (response.status_code, problem["type"]) == (502, "#sign-in"), problem
    return str(problem["reason"])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"aud": "another"}, "audience"),
        ({"iss": "https://evil.example"}, "issuer"),
        ({"nonce": "another"}, "nonce"),
        ({"exp": 1}, "expired"),
        ({"iat": 1 << 33}, "clock"),
        ({"sub": None}, "claim"),
    ],
)
async def test_a_token_that_does_not_hold_lets_nobody_in(
    site: Site, change: dict[str, Any], expected: str
) -> None:
    site.provider.change = change
    assert await outcome(site) == expected
    assert f'"reason": "{expected}"' in site.refusals()[-1].detail


async def test_a_token_that_the_provider_did_not_sign_lets_nobody_in(site: Site) -> None:
    provider = site.provider
    shared = OctKey.import_key(CLIENT_SECRET * 2)
    provider.sign = provider.signed_by(shared, "HS256", kid=str(provider.key.kid))
    assert await outcome(site) == "algorithm"
    stranger = type(provider)("", provider.ca_file, provider.now).key
    provider.sign = provider.signed_by(stranger, "RS256", kid=str(provider.key.kid))
    assert await outcome(site) == "signature"
    provider.sign = lambda _: "no token"
    assert await outcome(site) == "answer"


async def test_keys_are_read_anew_when_one_is_unknown_and_not_more_often_than_that(
    site: Site,
) -> None:
    provider = site.provider
    assert await outcome(site) == ""
    before = provider.asked.count("/keys")
    assert await outcome(site) == ""
    assert provider.asked.count("/keys") == before
    site.census.clock.advance(31)
    old = provider.rotate()
    assert await outcome(site) == ""
    assert provider.asked.count("/keys") == before + 1
    provider.sign = provider.signed_by(old, "RS256", kid=str(old.kid))
    assert await outcome(site) == "unknown-key"
    assert await outcome(site) == "unknown-key"
    assert provider.asked.count("/keys") == before + 1  # within half a minute: not again
    site.census.clock.advance(31)
    assert await outcome(site) == "unknown-key"
    assert provider.asked.count("/keys") == before + 2


async def test_description_and_keys_are_read_anew_after_an_hour(site: Site) -> None:
    asked = site.provider.asked
    asked.clear()
    for expected in (1, 1, 2):
        assert await outcome(site) == ""
        assert (asked.count(DISCOVERY), asked.count("/keys")) == (expected, expected)
        site.census.clock.advance(1_801)


@pytest.mark.parametrize("path", [DISCOVERY, "/token", "/keys"])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, JSON, b"{" * 100_000), {"answer"}),
        ((200, JSON | {"Content-Encoding": "gzip"}, gzip.compress(b"{}")), {"answer"}),
        ((200, JSON, b"[1]"), {"answer", "issuer", "code"}),
        ((200, JSON, b"{}"), {"answer", "issuer"}),
        ((302, {"Location": "https://localhost:1/"}, b""), {"answer", "code"}),
        ((500, {}, b"<html>"), {"answer", "code"}),
    ],
)
async def test_an_answer_that_is_none_lets_nobody_in(
    site: Site, path: str, answer: tuple[int, dict[str, str], bytes], expected: set[str]
) -> None:
    site.provider.answers = {path: answer}
    assert await outcome(site) in expected


async def test_a_good_answer_that_is_too_long_is_not_read_to_its_end(site: Site) -> None:
    whole = json.dumps(site.provider.discovery()).encode()
    for size, expected in ((MOST_BYTES, ""), (MOST_BYTES + 1, "answer")):
        site.configure()
        site.provider.answers = {DISCOVERY: (200, JSON, whole.ljust(size))}
        assert await outcome(site) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"issuer": "https://evil.example"}, "issuer"),
        ({"token_endpoint": "http://localhost/token"}, "answer"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "answer"),
        ({"jwks_uri": "file:///etc/passwd"}, "answer"),
        ({"jwks_uri": None}, "answer"),
        ({"jwks_uri": "https://user@localhost/keys"}, "answer"),
        ({"token_endpoint": "https://[::1/token"}, "answer"),
        ({"end_session_endpoint": "http://localhost/"}, "answer"),
    ],
)
async def test_a_description_that_leads_elsewhere_is_refused(
    site: Site, said: dict[str, Any], expected: str
) -> None:
    site.provider.described = said
    assert await outcome(site) == expected


async def test_a_provider_that_is_not_there_is_told(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    site.configure(issuer=f"https://localhost:{port}")
    assert await outcome(site) == "provider-down"


async def test_a_provider_that_says_nothing_is_waited_for_no_longer_than_said(site: Site) -> None:
    site.provider.silent = threading.Event()
    transport = Transport(site.settings.ca_file, seconds=0.3)
    client = ProviderClient(site.settings, site.census.clock, "https://census/back", transport)
    asking = clients(SignIn("https://census", {}), site.census.clock)
    site.app.state.oidc = type(asking)("https://census", {"corp": client})
    try:
        assert await outcome(site) == "provider-down"
    finally:
        site.provider.silent.set()


async def test_a_provider_whose_certificate_is_of_no_known_authority_is_not_asked(
    site: Site,
) -> None:
    site.configure(ca_file=None)
    asked = len(site.provider.asked)
    assert await outcome(site) == "provider-down"
    assert len(site.provider.asked) == asked


async def test_a_client_secret_that_is_missing_empty_or_open_is_told_and_a_wrong_one_refused(
    site: Site,
) -> None:
    secret = site.settings.client_secret_file
    assert secret is not None
    for name, content, mode, expected in (
        ("none", None, 0o600, "configuration"),
        ("empty", "\n", 0o600, "configuration"),
        ("open", "x", 0o604, "configuration"),
        ("wrong", "x", 0o640, "code"),
    ):
        file = secret.with_name(name)
        if content is not None:
            file.write_text(content)
            file.chmod(mode)
        site.configure(client_secret_file=file)
        assert await outcome(site) == expected
    site.configure(client_secret_file=secret, ca_file=secret)
    assert await outcome(site) == "configuration"


async def test_the_secret_goes_where_the_provider_wants_it(site: Site) -> None:
    site.provider.described = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert await outcome(site) == ""


async def test_claims_can_come_from_userinfo_if_it_is_of_the_same_person(site: Site) -> None:
    more = {"groups": ["census-admins"], "nonce": "x", "aud": "x"}
    site.provider.person |= {"groups": None}
    site.provider.described = {"userinfo": more}
    async with site.browser() as browser:
        response = await site.sign_in(browser)
        assert (response.status_code, response.json()["reason"]) == (403, "not-allowed")
        site.configure(userinfo=True)
        assert (await site.sign_in(browser)).status_code == 303
        assert (await browser.get("/api/v1/whoami")).json()["role"] == "admin"
    site.provider.described = {"userinfo": more | {"sub": "somebody-else"}}
    assert await outcome(site) == "claim"
    site.provider.answers = {"/userinfo": (200, JSON, json.dumps(None).encode())}
    assert await outcome(site) == "claim"
