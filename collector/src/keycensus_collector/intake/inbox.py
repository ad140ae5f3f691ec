"""What one stream still has to look at: a few messages, and news from elsewhere.

Bounded: whoever reads the network waits when the stream is busy, and so does the agent behind it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Generic, TypeVar

from keycensus_collector.errors import Refusal

# One being handled, one decoded meanwhile.
_CAPACITY = 2

_Item = TypeVar("_Item")


class StreamEndedError(Exception):
    """The agent half-closed the stream, or it broke; everything that came was looked at."""


class Inbox(Generic[_Item]):
    """Belongs to one event loop; one task puts, one takes."""

    def __init__(self) -> None:
        self._items: deque[_Item] = deque()
        self._room = asyncio.Event()
        self._news = asyncio.Event()
        self._woken = False
        self._ended = False
        self._refusal: Refusal | None = None

    async def put(self, item: _Item) -> None:
        """Add an item, waiting for room."""
        while len(self._items) >= _CAPACITY:
            self._room.clear()
            await self._room.wait()
        self._items.append(item)
        self._news.set()

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
                self._room.set()
                return self._items.popleft()
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
