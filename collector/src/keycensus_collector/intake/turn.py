"""The turn of two threads: the one that writes, and the one that decodes what is written next.

SQLite's driver gives the interpreter away at each row it writes. A thread that decodes meanwhile keeps it
for milliseconds, a thousand times a batch. So both take turns: the next batch is decoded while this one
is brought to disk, which needs no interpreter, and otherwise when nobody has anything to write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# What the writer needs to wake up, and more.
_WAKING_SECONDS = 0.0002


class Turn:
    """For one thread that writes and one that decodes at a time; who asks for the former may be many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Each method is one operation on a set or a name, so these need no lock of their own.
        self._waiting: set[object] = set()
        self._on_its_way: object = None  # to the disk

    @contextmanager
    def asking(self, writing: object) -> Iterator[None]:
        """Ask for the writer's turn on behalf of `writing`; the block ends when it is on disk, or given up."""
        self._waiting.add(writing)
        try:
            yield
        finally:
            self._waiting.discard(writing)
            if self._on_its_way is writing:
                self._on_its_way = None

    @contextmanager
    def writing(self, writing: object) -> Iterator[None]:
        """Wait for the turn that was asked for, and have it until the block ends; then comes the commit."""
        with self._lock:
            self._waiting.discard(writing)
            self._on_its_way = None
            yield
            self._on_its_way = writing

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Wait for the turn, and have it until the block ends, but while `give_way` gives it away."""
        with self._lock:
            self.give_way()
            yield

    def give_way(self) -> None:
        """Let the writer go before, if it waits for this. Only inside of `decoding`."""
        if not self._is_wanted():
            return
        self._lock.release()
        try:
            # A lock goes to whoever asks first, which would be this thread again.
            while self._is_wanted():
                time.sleep(_WAKING_SECONDS)
        finally:
            self._lock.acquire()

    def _is_wanted(self) -> bool:
        return bool(self._waiting) and self._on_its_way is None
