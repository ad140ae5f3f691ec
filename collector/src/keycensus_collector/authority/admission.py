"""How many streams may begin a second, over all agents: what a whole fleet that comes back runs into.

A stream that begins costs look-ups and a transaction, which those that are open need too. So there is a
rate, after a burst; who comes above it waits for a few seconds, in turn by certificate so that one that
calls without end delays itself; and who would wait for longer is told when to come back, each a
little later than the one before. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Hashable

from keycensus_collector.errors import Refusal
from keycensus_collector.fairness import FairQueue

# What may begin at once after a quiet time, in seconds of the rate.
_BURST_SECONDS = 10.0
# How long one waits here at most: an agent gives a silent collector up after a minute.
_PATIENCE_SECONDS = 5.0
# How many calls under one certificate may wait. Copies of one machine share one, and each is to be told.
_CALLS_OF_ONE = 16
_LEAST_SECONDS = 0.001
# The latest that anyone is told to come back.
_MOST_SECONDS = 300.0


class Admission:
    """Lets `per_second` streams begin a second."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._tokens = per_second * _BURST_SECONDS
        self._counted_at = -math.inf
        self._room = max(1, math.floor(per_second * _PATIENCE_SECONDS))
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue()
        self._waiting: Counter[Hashable] = Counter()
        # When the one who was refused last was told to come back, by the loop's clock.
        self._promised = 0.0

    async def begin(self, asker: Hashable) -> None:
        """Return when a stream of `asker` may begin; Refusal "busy" with when to come back."""
        now = asyncio.get_running_loop().time()
        self._count(now)
        if not self._queue and self._tokens >= 1:
            self._tokens -= 1
            return
        if self._waiting[asker] >= _CALLS_OF_ONE or self._waiting.total() >= self._room:
            raise Refusal(
                "busy", "too many agents come at once", retry_after_seconds=self._promise(now)
            )
        await self._wait(asker)

    async def _wait(self, asker: Hashable) -> None:
        loop = asyncio.get_running_loop()
        admitted: asyncio.Future[None] = loop.create_future()
        if not self._queue:
            loop.call_later(self._seconds_to_next(), self._admit)
        self._queue.put(asker, admitted)
        self._waiting[asker] += 1
        try:
            await admitted
        finally:
            self._waiting[asker] -= 1
            if not self._waiting[asker]:
                del self._waiting[asker]

    def _admit(self) -> None:
        """Let in whom there is room for, in turn; those who left meanwhile took none."""
        loop = asyncio.get_running_loop()
        self._count(loop.time())
        while self._queue and self._tokens >= 1:
            admitted = self._queue.take()
            left = admitted.done()
            self._queue.charge(0.0 if left else 1.0)
            if not left:
                self._tokens -= 1
                admitted.set_result(None)
        if self._queue:
            loop.call_later(self._seconds_to_next(), self._admit)

    def _count(self, now: float) -> None:
        earned = max(0.0, now - self._counted_at) * self._rate
        self._tokens = min(self._rate * _BURST_SECONDS, self._tokens + earned)
        self._counted_at = now

    def _seconds_to_next(self) -> float:
        # Not less than the clock can tell: what is missing may be a rounding error.
        return max(_LEAST_SECONDS, (1 - self._tokens) / self._rate)

    def _promise(self, now: float) -> int:
        """Return seconds until another may come: behind those who wait and who were told before."""
        self._promised = min(max(self._promised, now) + 1 / self._rate, now + _MOST_SECONDS)
        return math.ceil(_PATIENCE_SECONDS + self._promised - now)
