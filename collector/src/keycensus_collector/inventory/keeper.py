"""The worker that keeps figures over everything and knows which trust stores differ from the fleet.

It takes at most a twentieth of its time for that: what costs much is counted more rarely. Reading is apart
from writing, so that no writing transaction waits for a count.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import structlog

from keycensus_collector.clock import Clock
from keycensus_collector.inventory.coverage import count_coverage
from keycensus_collector.inventory.figures import (
    OVERVIEW,
    Counted,
    count_one,
    forget_old,
    keep,
    keep_page,
    keep_that_counted,
    kept_dimensions,
)
from keycensus_collector.inventory.odd_stores import keep_pairs, known_pairs, odd_pairs
from keycensus_collector.inventory.summary import count_summary
from keycensus_collector.store.duties import Duties
from keycensus_collector.store.engine import Store
from keycensus_collector.views.shown import VIEWS, count_view, name_of, views_of_everybody
from keycensus_collector.views.week import WEEK

PAUSE_SECONDS = 60.0
_POLL_SECONDS = 1.0
# After a round of work it rests this many times as long.
_REST = 20

_log = structlog.get_logger(__name__)


class Keeper:
    """Works until cancelled. Made from a store and a clock."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._duties = Duties(store)

    async def run(self) -> None:
        """Work until cancelled; trouble is logged and tried again."""
        try:
            await self._run()
        finally:
            await self._duties.release()

    async def _run(self) -> None:
        """Work when it is time, and hold the duty meanwhile, so that no other collector counts, too."""
        due = 0.0
        while True:
            try:
                if await self._duties.is_ours("figures") and time.monotonic() >= due:
                    began = time.monotonic()
                    await self.run_once()
                    due = began + max(PAUSE_SECONDS, _REST * (time.monotonic() - began))
            except Exception:  # noqa: BLE001 - logged whole; what was kept stays, and says its time
                _log.exception("figures.round-failed")
                due = time.monotonic() + PAUSE_SECONDS
            await asyncio.sleep(_POLL_SECONDS)

    async def run_once(self) -> None:
        """Count all figures that are kept, one after another, and look at all trust stores."""
        await self._overview()
        for target, by in await self._store.run_read(kept_dimensions):
            counted = await self._counted(target, by, partial(count_one, target=target, by=by))
            await self._store.run_write(partial(keep, counted=counted))
        pairs = await self._store.run_read(odd_pairs)
        if pairs != await self._store.run_read(known_pairs):
            await self._store.run_write(partial(keep_pairs, pairs=pairs))

    async def _overview(self) -> None:
        """Count what the first page shows of views, and the counts that scripts look at first."""
        summary = await self._counted("summary", "", count_summary)
        await self._store.run_write(partial(keep, counted=summary))
        coverage = await self._counted("coverage", "", count_coverage)
        views = [
            await self._counted(VIEWS, name_of(view), partial(count_view, view=view))
            for view in (*await self._store.run_read(views_of_everybody), *WEEK)
        ]
        groups = [
            await self._counted(
                "certificates", by, partial(count_one, target="certificates", by=by)
            )
            for by in OVERVIEW
        ]
        await self._store.run_write(partial(keep_page, page=[coverage, *views, *groups]))
        await self._store.run_write(partial(keep_that_counted, now_ms=self._clock.now_ms()))
        await self._store.run_write(partial(forget_old, now_ms=self._clock.now_ms()))

    async def _counted(self, what: str, by: str, count: Callable[..., object]) -> Counted:
        now_ms, began = self._clock.now_ms(), time.monotonic()
        found = await self._store.run_read(partial(count, now_ms=now_ms))
        return Counted(what, by, now_ms, int(1000 * (time.monotonic() - began)), found)
