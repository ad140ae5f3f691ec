"""How long the parser may be at one file: by the wall clock, and longer while it has to share the processor.

A child that hangs uses none. One that others keep from the processor uses what it gets; what it may use
in all it bounds itself.
"""

from __future__ import annotations

from collections.abc import Callable

# Of the time that has passed, what a child that works has had of a processor at least.
_WORKING_SHARE = 0.01
# How often the time begins anew.
_EXTENSIONS = 9


class Patience:
    """Counts from the last progress. Seconds of `clock` are monotonic, of the child's of its processor time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.restart(0.0)

    def restart(self, used: float) -> None:
        """Note progress: a file begins, or was answered, when the child had `used` so much in all."""
        self._since, self._used, self._extensions = self._clock(), used, 0

    def left(self, seconds: float) -> float:
        """Return how much is left of `seconds`; not above 0 if they are over."""
        return self._since + seconds - self._clock()

    def extend(self, seconds: float, used: float) -> bool:
        """Begin anew, once `seconds` are over, if the child has worked meanwhile; tell whether."""
        worked, self._used = used - self._used, used
        if worked < seconds * _WORKING_SHARE or self._extensions >= _EXTENSIONS:
            return False
        self._extensions += 1
        self._since = self._clock()
        return True
