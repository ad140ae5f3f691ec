"""Every page that is led to shows the day that is asked for, or says that it does not and where to look instead."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fakes.browser import signed_in
from fakes.census import Census
from fakes.recertified import BY, Company

from keycensus_collector.ownership.applying import apply_rules
from keycensus_collector.ownership.leaving import leave
from keycensus_collector.ownership.moving import dissolve_team
from keycensus_collector.ownership.people import Person, add_person
from keycensus_collector.ownership.settings import FALLBACK, change_setting
from keycensus_collector.ownership.teams import add_member, create_team, team_no
from keycensus_collector.ownership.worker import settle
from keycensus_collector.web.sections import SECTIONS

_OF_TODAY = "This page is of today"
_RULE = "owners:\n  - {{rule: {}, of: hosts, host: {}, owner: {}}}\n"


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
        page = await browser.get("/views", as_of="2026-01-31")
        assert "/certificates?as_of=2026-01-31" in page.links
        assert "/audit?since=2026-01-31&until=2026-01-31" in page.links
        page = await browser.get("/audit", since="2026-01-31", until="2026-01-31")
        for asked in ("soon", "<b>soon</b>", "999999999999999y"):
            page = await browser.get("/views", as_of=asked)
            assert f"as it was on {asked} is not kept" in page.words
            assert "no date or age" in page.words
        page = await browser.get("/views", as_of="10d")
        assert "no date or age" not in page.words
        await browser.get("/teams", 400, as_of="soon")
    census.store.close()


async def test_who_may_not_read_the_audit_log_is_not_led_there(census: Census) -> None:
    async with signed_in(census, "vic", "viewer") as browser:
        page = await browser.get("/views", as_of="10d")
        assert _OF_TODAY in page.words
        assert not [link for link in page.links if link.startswith("/audit")]
    census.store.close()


class Moved:
    """A company in which much became another ten days after `then`, a date."""

    def __init__(self, directory: Path) -> None:
        self.company = company = Company.create(directory)
        self.census = company.census
        with self.census.store.write() as connection:
            now: dict[str, Any] = {"now_ms": company.now_ms, **BY}
            change_setting(connection, FALLBACK, str(team_no(connection, "desk")), **now)
            apply_rules(connection, text=_RULE.format("of-web", "web1", "web"), **now)
        self.then = datetime.fromtimestamp(company.now_ms / 1000, UTC).date().isoformat()
        company.later(10)
        with self.census.store.write() as connection:
            now["now_ms"] = company.now_ms
            add_person(connection, Person("bob"), **now)
            create_team(connection, "late", **now)
            add_member(connection, "late", "bob", **now)
            leave(connection, "anna", to="desk", **now)
            apply_rules(connection, text=_RULE.format("of-db", "db1", "desk"), **now)
            dissolve_team(connection, "db", into="desk", **now)
            change_setting(connection, FALLBACK, "", **now)
            settle(connection, company.now_ms)


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moved]:
    made = Moved(tmp_path_factory.mktemp("moved"))
    yield made
    made.census.store.close()


async def test_teams_are_shown_as_they_were(moved: Moved) -> None:
    async with signed_in(moved.census) as browser:
        page = await browser.get("/teams")
        assert {"/teams/late", "/teams/desk"} <= set(page.links)
        assert "/teams/db" not in page.links
        page = await browser.get("/teams", as_of=moved.then)
        assert {f"/teams/db?as_of={moved.then}", f"/people/anna?as_of={moved.then}"} <= set(
            page.links
        )
        assert "late" not in page.words
        assert "What nobody owns" in page.words
        assert [form.action for form in page.forms if form.method == "post"] == ["/sign-out"]
        page = await browser.get("/teams/db", as_of=moved.then)
        assert "1 host given by hand" in page.words
        assert "Dissolved on" not in page.words
        page = await browser.get("/teams/db")
        assert "Dissolved on" in page.words
        assert "1 host" not in page.words
        assert "anna" in (await browser.get("/teams/web", as_of=moved.then)).words
        assert "anna" not in (await browser.get("/teams/web")).words
        page = await browser.get("/teams/late", as_of=moved.then)
        assert "There was no team late yet." in page.words
        await browser.get("/teams/never", 404, as_of=moved.then)


async def test_people_are_shown_as_they_were(moved: Moved) -> None:
    async with signed_in(moved.census) as browser:
        page = await browser.get("/people", as_of=moved.then)
        assert f"/teams/web?as_of={moved.then}" in page.links
        assert "bob" not in page.words
        assert "/people/bob" in (await browser.get("/people")).links
        page = await browser.get("/people/anna", as_of=moved.then)
        assert f"/teams/web?as_of={moved.then}" in page.links
        assert "left 20" not in page.words
        page = await browser.get("/people/anna")
        assert "left 20" in page.words
        assert "/teams/web" not in page.links
        page = await browser.get("/people/bob", as_of=moved.then)
        assert "There was no person bob yet." in page.words


async def test_rules_are_shown_as_they_were(moved: Moved) -> None:
    async with signed_in(moved.census) as browser:
        page = await browser.get("/rules", as_of=moved.then)
        assert {"of-web", "of-db"} & set(page.words.split()) == {"of-web"}
        assert "Version 1," in page.words
        page = await browser.get("/rules")
        assert {"of-web", "of-db"} & set(page.words.split()) == {"of-db"}
        page = await browser.get("/rules", as_of="2001-01-01")
        assert "Version" not in page.words
        assert "No rule says whose anything is." in page.words


async def test_what_a_team_owned_is_what_the_lists_of_that_day_count(moved: Moved) -> None:
    async with signed_in(moved.census) as browser:
        found = (await browser.get("/teams/db", as_of=moved.then)).tiles
        assert {"/certificates", "/hosts"} <= {way.partition("?")[0] for way in found}
        for way, figure in found.items():
            listed = await browser.get(way)
            assert f"As it was on {moved.then}" in listed.words
            assert listed.total == figure, way
