"""Tell where the reader waits for a disk that does not answer.

The one thread that walks, opens and reads may wait without an end: for a disk that fails slowly, a server behind a file system that looks
local. The kernel lets no process break off such a call (signal(7)), so a second thread, which is there only while
the disk is looked at, says which path it is. Network file systems are not entered in the first place. Runs in the reader.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from keycensus_agent.reader.whereabouts import HERE, Whereabouts

# A disk that spins up, or retries a bad block, takes half a minute; a parser has less than this for one file.
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 10.0


@dataclass(slots=True)
class Watchdog:
    """Watches inside `with`, also one within another. `tell` gets path and seconds, again at each look.

    When the reader goes on, it is called once with an empty path. It runs in another thread, or at the end.
    """

    tell: Callable[[bytes, float], None]
    patience: float = PATIENCE_SECONDS
    every: float = LOOK_SECONDS
    here: Whereabouts = HERE
    _depth: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _told: bool = False

    def __enter__(self) -> Self:
        self._depth += 1
        if self._depth == 1:
            self.here.at = None
            self._ended = threading.Event()
            self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        if self._depth == 0 and self._thread is not None:
            self.here.at = None
            self._ended.set()
            self._thread.join()
            self._thread = None
            self._tell_going()

    def _watch(self) -> None:
        last, since = self.here.at, time.monotonic()
        while not self._ended.wait(self.every):
            at, now = self.here.at, time.monotonic()
            if at is None or at is not last:
                last, since = at, now
                self._tell_going()
            elif now - since >= self.patience:
                self._told = True
                self.tell(self.here.path(at), now - since)

    def _tell_going(self) -> None:
        if self._told:
            self._told = False
            self.tell(b"", 0.0)
