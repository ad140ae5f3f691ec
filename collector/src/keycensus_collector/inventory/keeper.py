"""The worker that keeps figures over everything and knows which trust stores differ from the fleet.

It takes at most a twentieth of its time for that: what costs much is counted more rarely. Reading is apart
from writing, so that no writing transaction waits for a count.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial

import structlog

from keycensus_collector.clock import Clock
from keycensus_collector.inventory.figures import count_one, keep, kept_dimensions
from keycensus_collector.inventory.odd_stores import keep_pairs, known_pairs, odd_pairs
from keycensus_collector.store.duties import Duties
from keycensus_collector.store.engine import Store

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
        for target, by in await self._store.run_read(kept_dimensions):
            now_ms, began = self._clock.now_ms(), time.monotonic()
            count = partial(count_one, target=target, by=by, now_ms=now_ms)
            found = await self._store.run_read(count)
            took_ms = int(1000 * (time.monotonic() - began))
            await self._store.run_write(
                partial(keep, target=target, found=found, at_ms=now_ms, took_ms=took_ms)
            )
        pairs = await self._store.run_read(odd_pairs)
        if pairs != await self._store.run_read(known_pairs):
            await self._store.run_write(partial(keep_pairs, pairs=pairs))
