"""Who is next at something that only one can have: start-time fair queueing.

Every asker gets the same share of the time, whatever it asks for; who asked for little lately is served
before who asked for much. So one agent that sends as fast as it can delays another by one piece of its
work, not by all of it. Source: Goyal, Vin, Cheng, "Start-time Fair Queueing" (1996). Pure but for
`FairGate`, which belongs to an event loop.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections import deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

_Item = TypeVar("_Item")

# Shares that are remembered before those that are used up are forgotten.
_REMEMBERED = 1024


class FairQueue(Generic[_Item]):
    """Items by asker. `take` one, and `charge` what it cost before the next is taken."""

    def __init__(self) -> None:
        self._virtual = 0.0
        self._finished: dict[Hashable, float] = {}
        self._waiting: dict[Hashable, deque[_Item]] = {}
        # Askers that wait, by the virtual time at which their first item may start.
        self._order: list[tuple[float, int, Hashable]] = []
        self._numbers = itertools.count()
        self._served: tuple[Hashable, float] | None = None

    def __bool__(self) -> bool:
        """Tell whether an item waits."""
        return bool(self._waiting)

    def put(self, asker: Hashable, item: _Item) -> None:
        """Add an item behind the asker's others."""
        items = self._waiting.setdefault(asker, deque())
        items.append(item)
        if len(items) == 1 and (self._served is None or self._served[0] != asker):
            self._line_up(asker)

    def take(self) -> _Item:
        """Return the item that is next; IndexError if none waits."""
        start, _, asker = heapq.heappop(self._order)
        self._virtual = start
        self._served = asker, start
        items = self._waiting[asker]
        item = items.popleft()
        if not items:
            del self._waiting[asker]
        return item

    def charge(self, seconds: float) -> None:
        """Say what the item that was taken last cost."""
        if self._served is None:
            return
        asker, start = self._served
        self._served = None
        if not self._waiting:
            # Nobody was kept waiting: nothing is owed.
            self._finished.clear()
            return
        self._finished[asker] = start + seconds
        if asker in self._waiting:
            self._line_up(asker)
        if len(self._finished) > _REMEMBERED:
            self._finished = {
                key: finished
                for key, finished in self._finished.items()
                if finished > self._virtual
            }

    def _line_up(self, asker: Hashable) -> None:
        start = max(self._virtual, self._finished.get(asker, 0.0))
        heapq.heappush(self._order, (start, next(self._numbers), asker))


class FairGate:
    """Lets one asker at a time through; belongs to one event loop."""

    def __init__(self) -> None:
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue()
        self._busy = False

    @asynccontextmanager
    async def turn(self, asker: Hashable) -> AsyncIterator[None]:
        """Wait for a turn, and have it until the block ends."""
        admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put(asker, admitted)
        self._admit()
        try:
            await admitted
        except asyncio.CancelledError:
            if not admitted.cancelled():
                self._leave(0.0)
            raise
        began = time.perf_counter()
        try:
            yield
        finally:
            self._leave(time.perf_counter() - began)

    def _admit(self) -> None:
        while self._queue and not self._busy:
            admitted = self._queue.take()
            if admitted.cancelled():
                self._queue.charge(0.0)
            else:
                self._busy = True
                admitted.set_result(None)

    def _leave(self, seconds: float) -> None:
        self._busy = False
        self._queue.charge(seconds)
        self._admit()
