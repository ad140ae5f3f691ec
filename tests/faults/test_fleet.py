"""A small fleet that loses its collector, and a short soak: the long forms are `make fleet`, `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.fleet import homecoming
from benchmarks.soak import Soak

AGENTS = 48
WINDOW_SECONDS = 12.0

# A connection to SQLite: the database, its log and its shared memory.
POOLED_DESCRIPTORS = 3


@pytest.mark.long
async def test_a_fleet_that_lost_its_collector_comes_back_spread_and_is_served(
    tmp_path: Path,
) -> None:
    """Everything acknowledged is in the inventory: `homecoming` holds it against that itself."""
    seen = await homecoming(tmp_path, AGENTS, WINDOW_SECONDS)
    assert len(seen.returned) == AGENTS
    quarters = [sum(seen.histogram[start : start + 3]) for start in range(0, 12, 3)]
    # Of 48 even throws a quarter gets fewer than 3 or more than 26 once in a million times.
    assert min(quarters) >= 3, quarters
    assert max(quarters) <= 26, quarters
    assert any(len(each.tries) > 1 for each in seen.returned), "nobody met the dead collector"
    assert len(seen.enrolments) == 3


@pytest.mark.long
async def test_reconnects_leave_no_descriptor_and_no_thread_behind(tmp_path: Path) -> None:
    soak = Soak(tmp_path, agents=8, seconds=24, every=2.0, resets_every=4.0)
    samples = await soak.run()
    assert soak.reports > 10
    later = samples[len(samples) // 4 :]
    for side in ("collector", "reader"):
        ways = [getattr(sample, side) for sample in later]
        half = len(ways) // 2
        first, last = ways[:half], ways[half:]
        # The least of each half: what is open for the moment comes and goes. A pool may open one more
        # connection to the database late; what is lost at each of the fifty reconnects would be more.
        assert (
            min(each.descriptors for each in last)
            <= min(each.descriptors for each in first) + POOLED_DESCRIPTORS
        )
        assert min(each.threads for each in last) <= max(each.threads for each in first)
        grown = min(each.memory_bytes for each in last) - max(each.memory_bytes for each in first)
        assert grown < 16 * 1024 * 1024
