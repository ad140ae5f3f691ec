"""What people do at the pages: with the keyboard alone, without script, in each role, while reports come in."""

from __future__ import annotations

from fakes.census import certificate
from fakes.chromium import Tab, tab
from fakes.pki import issue
from fakes.served import Served
from fakes.showroom import Showroom
from playwright.sync_api import Browser, expect


def focused(opened: Tab) -> str:
    """Return what has the keyboard: its id, name or words."""
    return str(
        opened.page.evaluate(
            "(e => e.id || e.name || e.textContent.trim())(document.activeElement)"
        )
    )


def test_everything_of_a_list_is_done_with_the_keyboard(
    browser: Browser, served: Served, showroom: Showroom
) -> None:
    with tab(browser, served, "kay", "operator") as opened:
        page = opened.open("/certificates")
        page.keyboard.press("Tab")
        assert focused(opened) == "Skip to content"
        page.keyboard.press("Enter")
        assert focused(opened) == "main"
        page.keyboard.press("Tab")
        assert focused(opened) == "q"
        page.keyboard.type("exp")
        expect(page.get_by_role("option").first).to_be_visible()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        assert page.locator("#q").input_value().startswith("exp")
        page.keyboard.press("Escape")
        page.locator("#q").fill("")
        page.keyboard.type("name:mail.example.com")
        page.keyboard.press("Escape")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_contain_text("Certificates 1")
        page.locator("summary", has_text="Narrow down").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Issuer")).to_be_visible()
        page.locator("summary", has_text="Columns").focus()
        page.keyboard.press("Space")
        page.get_by_label("Serial").focus()
        page.keyboard.press("Space")
        page.locator(".columns-form button").focus()
        page.keyboard.press("Enter")
        expect(page.get_by_role("columnheader", name="Serial")).to_be_visible()
        expect(page.locator("#q")).to_have_value("name:mail.example.com")
        page.locator("main").focus()
        page.keyboard.press("/")
        assert focused(opened) == "find"
        page.keyboard.type(showroom.known["shop.example.com"].sha256.hex()[:16])
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("shop.example.com")
        opened.check()


def test_what_is_pasted_anywhere_leads_to_it_and_into_a_field_stays_there(
    browser: Browser, served: Served, showroom: Showroom
) -> None:
    issued = showroom.known["shop.example.com"]
    with tab(browser, served, "pam", "viewer") as opened:
        opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        for text in (issued.pem.decode(), issued.sha256.hex(":")):
            page = opened.open("/coverage")
            page.evaluate("text => navigator.clipboard.writeText(text)", text)
            page.keyboard.press("Control+V")
            expect(page.locator("h1")).to_have_text("shop.example.com")
        page = opened.open("/certificates")
        page.locator("#q").focus()
        page.keyboard.press("Control+V")
        expect(page.locator("#q")).to_have_value(text)
        assert page.url.endswith("/certificates")
        opened.check()


def test_the_overview_tells_the_week_and_each_figure_leads_to_what_it_counts(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served, "wes", "viewer") as opened:
        page = opened.open("/")
        week = page.locator("section[aria-labelledby=changed] a.tile")
        assert week.count() == 8
        for number in range(8):
            figure = week.nth(number).locator("strong").inner_text()
            week.nth(number).press("Enter")
            expect(page.locator("h1 .quiet")).to_have_text(figure)
            page.go_back()
        page.get_by_role("link", name="places", exact=True).press("Enter")
        expect(page.get_by_role("heading", name="Came")).to_be_visible()
        assert not opened.barriers()
        opened.check()


def test_pages_do_what_they_do_without_script(browser: Browser, served: Served) -> None:
    with tab(browser, served, "nos", script=False) as opened:
        page = opened.open("/certificates")
        page.locator("#q").fill("host:shop1*")
        page.get_by_role("button", name="Search").click()
        expect(page.get_by_role("link", name="shop.example.com")).to_be_visible()
        page.locator("summary", has_text="Narrow down").click()
        page.get_by_role("link", name="By what the list can be narrowed down").click()
        expect(page.locator("h1")).to_have_text("Narrow down certificates")
        opened.open("/views")
        page.get_by_label("Name").fill("without-script")
        page.get_by_label("Query").last.fill("expires<9d")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status")).to_have_text("The view is saved.")
        page.locator("summary", has_text="nos").click()
        page.get_by_role("button", name="Sign out", exact=True).click()
        expect(page.get_by_label("Password")).to_be_visible()


def test_what_an_agent_reports_shows_on_an_open_page_which_keeps_its_place(
    browser: Browser, served: Served, showroom: Showroom
) -> None:
    census = showroom.census
    with tab(browser, served, "liv") as opened:
        page = opened.open("/certificates?q=name:fresh.example.com")
        expect(page.locator("h1")).to_have_text("Certificates 0")
        page.locator("#q").fill("half a quer")
        made = issue("fresh.example.com", issuer=showroom.known["inner"], days=400)
        census.report(showroom.hosts["ci.example.com"], "/srv/fresh.pem", certificate(made))
        census.fold()
        expect(page.get_by_role("link", name="fresh.example.com")).to_be_visible(timeout=30_000)
        expect(page.locator("h1")).to_have_text("Certificates 1")
        assert page.locator("#q").input_value() == "half a quer"
        opened.check()
    census.gone(showroom.hosts["ci.example.com"], "/srv/fresh.pem")
    census.fold()


def test_who_may_not_is_offered_nothing_and_told_so(browser: Browser, served: Served) -> None:
    with tab(browser, served, "vic", "viewer") as opened:
        page = opened.open("/views")
        expect(page.get_by_role("heading", name="Save a query as a view")).to_have_count(0)
        assert page.locator('header a[href^="/users"]').count() == 0
    with tab(browser, served, "", script=True) as opened:
        page = opened.open("/certificates?q=host:web1*")
        expect(page.get_by_label("Password")).to_be_visible()
        opened.check()
