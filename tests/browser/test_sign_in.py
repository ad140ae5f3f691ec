"""Signing in at the company's provider in a real browser, being refused there, and signing out everywhere.

Each with script and without; the provider is on another host's real TLS, and asks the person, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import pytest
from fakes.census import Census, certificate
from fakes.chromium import Tab, tab
from fakes.oidc_provider import OidcProvider
from fakes.pki import issue
from fakes.served import Served
from fakes.signing_in import person, provider_beside
from playwright.sync_api import Browser, Page, expect

from keycensus_collector.access.users import change_user
from keycensus_collector.api.security import REFRESH

WANTED = "/certificates?q=host%3Aweb1*"


@dataclass(frozen=True, slots=True)
class Company:
    """A collector with one host, and the provider at which its people sign in."""

    census: Census
    served: Served
    provider: OidcProvider
    host: int

    def tab(
        self, browser: Browser, name: str = "", role: str = "", *, script: bool
    ) -> AbstractContextManager[Tab]:
        """Give a tab that may go to the provider, too."""
        others = (self.provider.issuer,)
        return tab(browser, self.served, name, role, script=script, others=others)

    def answers(self, **said: object) -> None:
        """Let the provider tell the truth, but for what is said here."""
        truth = OidcProvider(self.provider.issuer, self.provider.ca_file, self.provider.now)
        for name in ("change", "denies", "answers"):
            setattr(self.provider, name, said.get(name, getattr(truth, name)))


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    directory = tmp_path_factory.mktemp("company")
    census = Census.create(directory)
    host = census.host("web1.example.com")
    with provider_beside(census, directory) as (provider, settings):
        provider.asks = True
        corp = replace(settings, end_session=True)
        served = Served(census, directory, "", {"corp": corp})
        yield Company(census, served, provider, host)
        served.close()


def go_to_provider(page: Page) -> None:
    page.get_by_role("link", name="Sign in with Corp").press("Enter")


def come_back(page: Page) -> None:
    page.get_by_role("link", name="Go on").press("Enter")


@pytest.mark.parametrize("script", [True, False])
def test_who_signs_in_at_the_provider_lands_where_they_wanted_to_go_in_the_role_of_their_groups(
    browser: Browser, company: Company, *, script: bool
) -> None:
    """And signs out here, then there."""
    company.answers()
    company.provider.person = person("anna", "staff", "operations")
    with company.tab(browser, script=script) as opened:
        page = opened.open(WANTED)
        go_to_provider(page)
        expect(page.get_by_role("heading", name="Who are you?")).to_be_visible()
        assert page.url.startswith(company.provider.issuer)
        come_back(page)
        expect(page.locator("h1")).to_have_text("Certificates 0")
        assert page.url == company.served.url + WANTED
        page.locator("header summary").press("Enter")
        expect(page.get_by_text("Signed in as anna, operator.")).to_be_visible()
        page.get_by_role("link", name="Your account").press("Enter")
        expect(page.get_by_role("cell", name="oidc:corp")).to_be_visible()
        page.locator("header summary").press("Enter")
        page.get_by_role("button", name="Sign out", exact=True).press("Enter")
        expect(page.get_by_role("status")).to_have_text("You are signed out.")
        if script:
            assert not opened.barriers()
        page.get_by_role("link", name="Sign out at Corp, too").press("Enter")
        expect(page.get_by_label("Password")).to_be_visible()
        assert company.provider.asked[-1] == "/logout"
        opened.open(WANTED)
        expect(page.get_by_label("Password")).to_be_visible()
        opened.check()


@pytest.mark.parametrize("script", [True, False])
def test_who_is_refused_is_told_why_and_what_to_do_and_can_go_on_from_there(
    browser: Browser, company: Company, *, script: bool
) -> None:
    """To where they wanted to go before they were refused."""
    company.answers()
    company.provider.person = person("vic")
    with company.tab(browser, script=script) as opened:
        page = opened.open(WANTED)
        go_to_provider(page)
        come_back(page)
        expect(page.locator("header summary")).to_have_text("vic")
    enable = partial(disable, company, disabled=False)
    with company.tab(browser, script=script) as opened:
        opened.open(WANTED)
        for begin, words, reason in refusals(company):
            begin()
            refused(opened, words, reason)
            company.answers()
            company.provider.person = person("vic")
            enable()
        if script:
            assert not opened.barriers()
        go_to_provider(opened.page)
        come_back(opened.page)
        expect(opened.page.locator("h1")).to_have_text("Certificates 0")
        assert opened.page.url == company.served.url + WANTED
        opened.check()


def refusals(company: Company) -> list[tuple[Callable[[], None], str, str]]:
    """Return how it comes to each refusal, with some of the words and the reason that are told."""
    provider = company.provider
    down: dict[str, object] = {"/token": (500, {}, b"")}
    hostile = "<img src=x onerror=alert(1)>"
    return [
        (
            partial(company.answers, change={"aud": "another"}),
            "the ID token is for another, not for us",
            "audience",
        ),
        (
            partial(company.answers, change={"nonce": "another"}),
            "the ID token is of another sign-in",
            "nonce",
        ),
        (
            partial(setattr, provider, "person", person("eve", "strangers")),
            "eve is in no group that has a role, and may not sign in here",
            "not-allowed",
        ),
        (partial(disable, company, disabled=True), "user vic is disabled here", "disabled"),
        (partial(company.answers, denies="access_denied"), "you did not allow it", "denied"),
        (partial(company.answers, denies=hostile), hostile, "provider-error"),
        (partial(company.answers, answers=down), "the provider exchanged no token", "code"),
    ]


def disable(company: Company, *, disabled: bool) -> None:
    with company.census.store.write() as connection:
        change_user(
            connection,
            name="vic",
            disabled=disabled,
            actor="operator",
            now_ms=company.census.clock.now_ms(),
        )


def refused(opened: Tab, words: str, reason: str) -> None:
    """Go to the provider and back, and read on the page to sign in why that was for nothing."""
    page = opened.page
    go_to_provider(page)
    come_back(page)
    told = page.get_by_role("alert")
    expect(told).to_contain_text(words)
    expect(told.locator("code")).to_have_text(reason)
    expect(page.get_by_label("Password")).to_be_visible()
    expect(page.locator("header summary")).to_have_count(0)


def test_an_open_page_says_that_its_person_signed_out_everywhere_and_shows_no_more_news(
    browser: Browser, company: Company
) -> None:
    with (
        company.tab(browser, "two", "viewer", script=True) as here,
        company.tab(browser, "two", "viewer", script=True) as there,
    ):
        page = there.open(WANTED)
        expect(page.locator("h1")).to_have_text("Certificates 0")
        # Asking for news by itself does not keep a session from ending.
        with page.expect_request(f"**{WANTED}", timeout=15_000) as asked:
            pass
        assert asked.value.headers.get(REFRESH.lower()) == "yes"
        sign_out_everywhere(here)
        told = page.get_by_role("alert")
        expect(told).to_contain_text("You are signed out", timeout=15_000)
        assert not there.barriers()
        census = company.census
        census.report(company.host, "/srv/new.pem", certificate(issue("new.example.com")))
        census.fold()
        page.wait_for_timeout(5_000)
        expect(told).to_have_count(1)
        expect(page.locator("h1")).to_have_text("Certificates 0")
        told.get_by_role("link", name="Sign in").press("Enter")
        expect(page.get_by_label("Password")).to_be_visible()
        expect(page.locator('input[name="to"]')).to_have_value(WANTED)
        there.check()


@pytest.mark.parametrize("script", [True, False])
def test_the_next_click_of_who_was_signed_out_elsewhere_or_by_an_admin_leads_to_the_sign_in(
    browser: Browser, company: Company, *, script: bool
) -> None:
    with (
        company.tab(browser, "sam", "viewer", script=script) as here,
        company.tab(browser, "sam", "viewer", script=script) as there,
        company.tab(browser, "kim", "viewer", script=script) as other,
        company.tab(browser, "root", "admin", script=script) as admin,
    ):
        for opened in (there, other):
            opened.open("/hosts")
        sign_out_everywhere(here)
        next_click(there, signed_in=False)
        next_click(other, signed_in=True)
        other.page.go_back()
        page = admin.open("/users/kim")
        page.get_by_role("button", name="Sign them out everywhere").press("Enter")
        expect(page.get_by_role("status")).to_have_text("The user is signed out everywhere.")
        next_click(other, signed_in=False)
        for opened in (here, there, other, admin):
            opened.check()


def sign_out_everywhere(opened: Tab) -> None:
    page = opened.open("/")
    page.locator("header summary").press("Enter")
    page.get_by_role("button", name="Sign out everywhere").press("Enter")
    expect(page.get_by_role("status")).to_have_text("You are signed out, here and everywhere else.")


def next_click(opened: Tab, *, signed_in: bool) -> None:
    page = opened.page
    page.get_by_role("link", name="web1.example.com").press("Enter")
    expect(page.get_by_label("Password")).to_be_visible(visible=not signed_in)
    expect(page.locator("h1")).to_contain_text("web1.example.com" if signed_in else "keycensus")
