"""The overview's tiles: the usual ones, one's own in their order, those of a team."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from fakes.browser import Page, signed_in
from fakes.census import Census
from fakes.declaring import WANTED, a_census, make
from sqlalchemy import select

from keycensus_collector.store.schema import audit
from keycensus_collector.web.tiles import USUAL


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = a_census(tmp_path_factory.mktemp("census"))
    make(census, WANTED)
    yield census
    census.store.close()


def names(page: Page) -> list[str]:
    bite = page.text.partition('id="bite"')[2].partition("</section>")[0]
    return [name.replace(" ", "-") for name in re.findall(r"</strong>\s*<span>([^<]+)", bite)]


async def test_tiles_are_chosen_ordered_and_taken_back(census: Census) -> None:
    async with signed_in(census, "tim") as browser:
        assert names(await browser.get("/")) == list(USUAL)
        page = await browser.get("/tiles")
        places: dict[str, Any] = {
            "place.expired": "3",
            "place.shared-keys": "1",
            "place.silent-hosts": "2",
        }
        wanted = ["expired", "shared-keys", "silent-hosts"]
        page = await browser.send(page, "/tiles", tile=wanted, **places)
        assert names(page) == ["shared-keys", "silent-hosts", "expired"]
        assert "These tiles are your own." in page.words
        page = await browser.get("/tiles")
        assert page.form("/tiles").fields["tile"] == ["shared-keys", "silent-hosts", "expired"]
        page = await browser.send(page, "/tiles", 400, tile=[])
        assert "choose 1 to 40 tiles" in page.words
        page = await browser.send(page, "/tiles", reset="yes")
        assert names(page) == list(USUAL)


async def test_a_teams_tiles_are_seen_by_who_is_in_it_and_arranged_none(census: Census) -> None:
    async with signed_in(census, "boss") as browser:
        page = await browser.get("/tiles")
        await browser.send(page, "/tiles", tile=["ownerless"], team="web")
        assert names(await browser.get("/")) == list(USUAL)
    async with signed_in(census, "bob", "viewer") as browser:
        assert names(await browser.get("/")) == ["ownerless"]
        page = await browser.get("/tiles")
        assert "team" not in page.form("/tiles").fields
        await browser.send(page, "/tiles", 403, tile=["expired"], team="web")
        assert names(await browser.send(page, "/tiles", tile=["expired"])) == ["expired"]
    told = [
        row.subject
        for row in census.rows(select(audit.c.subject, audit.c.action))
        if row.action == "tiles.share"
    ]
    assert told == ["web"]
