"""Owners, labels and answers in a real browser, by keyboard: without script as with it."""

from __future__ import annotations

from fakes.chromium import tab
from fakes.served import Served
from playwright.sync_api import Browser, expect


def test_rows_are_chosen_and_changed_by_keyboard_without_script(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served, script=False) as opened:
        page = opened.open("/hosts?q=host:ci*")
        page.get_by_label("Choose ci.example.com").press("Space")
        page.get_by_role("button", name="the chosen rows").press("Enter")
        page.get_by_label("Key", exact=True).fill("rack")
        page.get_by_label("Value", exact=True).fill("7b")
        page.get_by_label("Value", exact=True).press("Enter")
        assert page.get_by_role("heading", name="Set the label rack=7b").is_visible()
        page.get_by_role("button", name="Set the label rack=7b: 1").press("Enter")
        assert "It is done." in page.inner_text("main")
        page.get_by_role("link", name="ci.example.com").press("Enter")
        assert "rack 7b by hand" in page.inner_text("main")
        opened.check()


def test_all_rows_are_chosen_at_once_and_stay_so_while_the_page_lives(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served) as opened:
        page = opened.open("/certificates")
        page.get_by_role("button", name="Choose all rows here").press("Enter")
        boxes = page.locator("#live input[type=checkbox]")
        assert boxes.count() == page.locator("#live input:checked").count() > 5
        page.get_by_role("button", name="Choose all rows here").press("Enter")
        assert page.locator("#live input:checked").count() == 0
        opened.check()


def test_enter_in_a_field_answers_nothing_for_the_first_line(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served) as opened:
        page = opened.open("/recertification/q4?team=platform")
        page.get_by_label("Remark").fill("of which?")
        page.get_by_label("Remark").press("Enter")
        assert page.get_by_label("Remark").input_value() == "of which?"
        page.get_by_role("button", name="Theirs").first.press("Enter")
        assert "It is said." in page.inner_text("main")
        assert page.url.endswith("team=platform&done=answered")
        opened.check()


def test_all_that_a_query_lists_is_given_to_a_team_told_first(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served, "gil", "operator") as opened:
        page = opened.open("/certificates?q=host:ci*")
        page.get_by_role("button", name="that the query lists").press("Enter")
        form = page.locator('form[action="/change/owner"]')
        form.get_by_label("Team or person").fill("security")
        form.get_by_label("Why").fill("they run it")
        form.get_by_label("Why").press("Enter")
        told = page.get_by_role("heading", name="what it would do")
        expect(told).to_be_visible()
        expect(page.locator("dl.facts").first).to_contain_text("Would change")
        page.locator("section[aria-labelledby=told] button.main").press("Enter")
        expect(page.get_by_role("status")).to_contain_text("It is done.")
        opened.check()


def test_a_query_becomes_a_view_and_a_tile_that_leads_to_it(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served, "tia", "operator") as opened:
        page = opened.open("/views")
        page.get_by_label("Name").fill("by-keyboard")
        page.get_by_label("Query").last.fill("name:shop.example.com")
        page.get_by_label("Query").last.press("Enter")
        expect(page.get_by_role("status")).to_have_text("The view is saved.")
        opened.open("/tiles")
        page.get_by_label("by keyboard", exact=True).press("Space")
        page.get_by_role("button", name="Keep").press("Enter")
        expect(page.get_by_role("status")).to_have_text("The overview is arranged.")
        opened.open("/")
        tile = page.locator("a.tile", has_text="by keyboard")
        figure = tile.locator("strong").inner_text()
        tile.press("Enter")
        expect(page.locator("h1")).to_have_text(f"Certificates {figure}")
        expect(page.locator("#q")).to_have_value("name:shop.example.com")
        opened.check()


def test_somebody_leaves_and_what_goes_with_them_is_told_first(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served, "lou", "operator") as opened:
        page = opened.open("/people")
        page.get_by_label("Short name").fill("kim")
        page.get_by_label("Full name").fill("Kim Leaver")
        page.get_by_label("Full name").press("Enter")
        expect(page.get_by_role("status")).to_have_text("The person is saved.")
        opened.open("/people/kim")
        page.get_by_role("link", name="They leave").press("Enter")
        page.get_by_label("Who takes what they hold").fill("security")
        page.get_by_label("Who takes what they hold").press("Enter")
        expect(page.get_by_role("heading", name="What goes with them")).to_be_visible()
        page.get_by_role("button", name="Let kim leave").press("Enter")
        expect(page.get_by_role("status")).to_contain_text("They have left.")
        opened.check()


def test_a_token_is_made_shown_once_and_revoked(browser: Browser, served: Served) -> None:
    with tab(browser, served, "tom", "operator") as opened:
        page = opened.open("/account")
        page.get_by_label("What it is for").fill("nightly report")
        page.get_by_label("What it is for").press("Enter")
        expect(page.locator("main")).to_contain_text("kcu_")
        page.get_by_role("link", name="Your account").last.press("Enter")
        row = page.get_by_role("row", name="nightly report")
        expect(row).to_contain_text("good")
        row.get_by_role("button", name="Revoke").press("Enter")
        expect(page.get_by_role("status")).to_have_text("The token is revoked.")
        expect(page.get_by_role("row", name="nightly report")).to_contain_text("revoked")
        opened.check()


def test_a_list_is_sorted_by_its_headings_with_the_keyboard(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served, "sue", "viewer") as opened:
        page = opened.open("/certificates?q=ca:no")
        for way in ("ascending", "descending"):
            page.get_by_role("columnheader", name="Certificate").get_by_role("link").press("Enter")
            expect(page.locator(f'th[aria-sort="{way}"]')).to_have_text("Certificate")
            names = page.locator("#live tbody td:nth-child(1) a").all_inner_texts()
            assert names == sorted(names, reverse=way == "descending")
            expect(page.locator("#q")).to_have_value("ca:no")
        opened.check()


def test_a_password_is_set_and_a_team_dissolved_by_keyboard_without_script(
    browser: Browser, served: Served
) -> None:
    with tab(browser, served, script=False) as opened:
        page = opened.open("/users")
        page.get_by_label("Name", exact=True).fill("pat")
        page.get_by_label("Name", exact=True).press("Enter")
        page.get_by_text("Set their password").press("Enter")
        page.get_by_label("New password", exact=True).fill("correct horse battery")
        page.get_by_label("New password again").fill("correct horse battery")
        page.get_by_label("New password again").press("Enter")
        assert "The password is set" in page.inner_text("main")
        page = opened.open("/teams")
        page.get_by_label("Name", exact=True).fill("brief")
        page.get_by_label("Name", exact=True).press("Enter")
        page.get_by_role("link", name="Dissolve it").press("Enter")
        page.get_by_label("Who takes what it holds").fill("security")
        page.get_by_label("Who takes what it holds").press("Enter")
        assert "to be security" in page.inner_text("main")
        page.get_by_role("button", name="Dissolve brief").press("Enter")
        assert "The team is dissolved." in page.inner_text("main")
        page = opened.open("/clones")
        page.get_by_label("Of which hosts").fill("host:none")
        page.get_by_label("Of which hosts").press("Enter")
        assert "No host that the query lists" in page.inner_text("main")
        opened.check()
