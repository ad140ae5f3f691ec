"""What one stream still has to look at: a few messages, and news from elsewhere.

Bounded: whoever reads the network waits when the stream is busy, and so does the agent behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from keycensus_collector.errors import Refusal

# By weight: 64 small messages, which saves many turns of the event loop, or two batches.
CAPACITY = 64

_Item = TypeVar("_Item")


class StreamEndedError(Exception):
    """The agent half-closed the stream, or it broke; everything that came was looked at."""


class Inbox(Generic[_Item]):
    """Belongs to one event loop; one task puts, one takes."""

    def __init__(self) -> None:
        self._items: deque[tuple[_Item, int]] = deque()
        self._weight = 0
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._woken = False
        self._ended = False
        self._refusal: Refusal | None = None

    async def put(self, item: _Item, weight: int) -> None:
        """Add an item, waiting for room; one of any weight finds room in an empty box."""
        while self._weight and self._weight + weight > CAPACITY:
            self._room.clear()
            await self._room.wait()
        self._items.append((item, weight))
        self._weight += weight
        self._news.set()

    @property
    def has_items(self) -> bool:
        """Whether `take` would return an item at once."""
        return bool(self._items)

    def end(self) -> None:
        """Say that nothing more will be put."""
        self._ended = True
        self._news.set()

    def wake(self) -> None:
        """Make `take` return, with or without an item."""
        self._woken = True
        self._news.set()

    def stop(self, refusal: Refusal) -> None:
        """Make `take` raise; the first reason counts."""
        self._refusal = self._refusal or refusal
        self._news.set()

    async def take(self, timeout_seconds: float | None) -> _Item | None:
        """Return the next item, or None after `wake` or the timeout.

        Raises the Refusal of `stop` before anything else, and StreamEndedError after the last item.
        """
        while True:
            if self._refusal is not None:
                raise self._refusal
            if self._items:
                item, weight = self._items.popleft()
                self._weight -= weight
                self._room.set()
                return item
            if self._woken:
                self._woken = False
                return None
            if self._ended:
                raise StreamEndedError
            self._news.clear()
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._news.wait()
            except TimeoutError:
                return None
