"""Every page that is led to shows the day that is asked for, or says that it does not and where to look instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.browser import signed_in
from fakes.census import Census

from keycensus_collector.web.sections import SECTIONS

_OF_TODAY = "This page is of today"


@pytest.fixture
def census(tmp_path: Path) -> Census:
    return Census.create(tmp_path)


async def test_no_page_is_silent_about_a_past_day(census: Census) -> None:
    async with signed_in(census, "ada", "admin") as browser:
        for section in SECTIONS:
            for address, _ in section.pages:
                page = await browser.get(address, as_of="2026-01-31")
                is_past = "As it was on 2026-01-31" in page.words
                assert is_past != (_OF_TODAY in page.words), address
                assert _OF_TODAY not in (await browser.get(address)).words
        page = await browser.get("/rules", as_of="2026-01-31")
        assert "/certificates?as_of=2026-01-31" in page.links
        assert "/audit?since=2026-01-31&until=2026-01-31" in page.links
        page = await browser.get("/audit", since="2026-01-31", until="2026-01-31")
        for asked in ("soon", "<b>soon</b>", "999999999999999y"):
            page = await browser.get("/views", as_of=asked)
            assert f"as it was on {asked} is not kept" in page.words
            assert "no date or age" in page.words
        page = await browser.get("/teams", as_of="10d")
        assert "no date or age" not in page.words
    census.store.close()


async def test_who_may_not_read_the_audit_log_is_not_led_there(census: Census) -> None:
    async with signed_in(census, "vic", "viewer") as browser:
        page = await browser.get("/teams", as_of="10d")
        assert _OF_TODAY in page.words
        assert not [link for link in page.links if link.startswith("/audit")]
    census.store.close()
