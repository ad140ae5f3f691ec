"""The overview of a large inventory is there before its figures are: it counts nothing that takes long, and says so."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from collector.web.test_figures_equal import figures as figures_of
from fakes.browser import signed_in
from fakes.census import Census
from fakes.small_inventory import NOW, random_inventory, write

from keycensus_collector.clock import FixedClock
from keycensus_collector.inventory import figures
from keycensus_collector.inventory.keeper import Keeper

_COUNTED = "Being counted"
_HOUR = 3_600_000


async def test_the_overview_waits_for_no_figure_and_then_shows_the_last_ones_with_their_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    census = Census(write(random_inventory(0), tmp_path), FixedClock(NOW))
    async with signed_in(census, "ada") as browser:
        usual = (await browser.get("/")).text
        monkeypatch.setattr(figures, "FEW_PLACES", 0)
        monkeypatch.setattr(figures, "CHEAP_MS", 0)
        first = (await browser.get("/")).text
        assert "counts this inventory for the first time" in first
        assert first.count(_COUNTED) == usual.count('<a class="tile')
        assert not figures_of(first)
        await asyncio.to_thread(lambda: asyncio.run(Keeper(census.store, census.clock).run_once()))
        then = (await browser.get("/")).text
        assert _COUNTED not in then
        assert figures_of(then) == figures_of(usual)
    # The collector was away for a day: what it counted last is shown, and says when that was.
    later = Census(census.store, FixedClock(NOW + 24 * _HOUR))
    async with signed_in(later, "bea") as browser:
        old = (await browser.get("/")).text
        assert _said(old) == _said(then)
        assert figures_of(old) == figures_of(usual)
        # Few places are counted instead.
        monkeypatch.setattr(figures, "FEW_PLACES", 1_000_000)
        assert _said((await browser.get("/")).text) != _said(then)
    census.store.close()


def _said(text: str) -> str:
    found = re.search(r'<p class="quiet">As of ([^.;]+)', text)
    assert found is not None
    return found[1]
