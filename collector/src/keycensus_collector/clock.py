"""The collector's clock, passed in wherever time matters so that tests can move it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """What tells the time."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch, UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Return milliseconds since the epoch, UTC."""
        return time.time_ns() // 1_000_000


class FixedClock:
    """A clock that stands still until it is moved; for tests and replays."""

    def __init__(self, now_ms: int) -> None:
        self.current_ms = now_ms

    def now_ms(self) -> int:
        """Return the time that was set, milliseconds since the epoch."""
        return self.current_ms

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`, which may be negative."""
        self.current_ms += int(seconds * 1000)
