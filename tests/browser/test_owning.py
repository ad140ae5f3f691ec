"""Owners, labels and answers in a real browser, by keyboard: without script as with it."""

from __future__ import annotations

from fakes.chromium import tab
from fakes.served import Served
from playwright.sync_api import Browser


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
