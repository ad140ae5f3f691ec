"""The turn of two threads: the one that writes, and the one that decodes what is written next.

SQLite's driver gives the interpreter away at each row it writes. A thread that decodes meanwhile keeps it
for milliseconds, a thousand times a batch. So both take turns; the next batch is decoded while this one
is brought to disk. Who decodes a large batch gives way in between: what others wait to write is small.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# What the writer needs to wake up, and more.
_WAKING_SECONDS = 0.0002


class Turn:
    """For one thread that writes and one that decodes at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_wanted = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Wait for the turn, and have it until the block ends."""
        self._is_wanted = True
        with self._lock:
            self._is_wanted = False
            yield

    @contextmanager
    def decoding(self) -> Iterator[None]:
        """Wait for the turn, and have it until the block ends, but while `give_way` gives it away."""
        with self._lock:
            yield

    def give_way(self) -> None:
        """Let the writer go before, if it waits. Only inside of `decoding`."""
        if not self._is_wanted:
            return
        self._lock.release()
        try:
            # A lock goes to whoever asks first, which would be this thread again.
            while self._is_wanted:
                time.sleep(_WAKING_SECONDS)
        finally:
            self._lock.acquire()
