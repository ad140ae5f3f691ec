"""How much work one archive may cause, nested ones included; what is over it stops the search.

Parser side, pure: the clock is passed in. Claims of the archive (sizes, counts) are never believed, so
what is counted is what really came out. Nothing that was found before is lost by a stop.
"""

from __future__ import annotations

from collections.abc import Callable

# Archives within archives, each compression counted: a jar in a war in a tar.gz is four.
DEPTH_LIMIT = 6
# The largest container images and monorepos have some ten thousand files.
MEMBERS_LIMIT = 100_000
# Bytes that come out of decompression, over all members: what two seconds of inflating yield.
BYTES_LIMIT = 512 * 1024 * 1024
# Out against in: honest text is under 20, repetitive logs are under 100, a bomb has 1,000 a layer.
RATIO_LIMIT = 200
RATIO_FREE_BYTES = 16 * 1024 * 1024
# A keystore inside; the largest trust stores are under 1 MiB.
MEMBER_LIMIT = 8 * 1024 * 1024
# What is kept of the findings: public bytes, names, and what an entry itself takes.
KEPT_LIMIT = 6 * 1024 * 1024
ENTRY_BYTES = 1024
# Processor time; the process itself is stopped some seconds later, and then all would be lost.
CPU_SECONDS = 10.0
# Members and pieces between two looks at the clock, each of which is a call of the kernel's.
_STEPS_A_LOOK = 16


class StopSearch(Exception):  # noqa: N818 - not an error: the search ends, what it found stays
    """A limit of the whole archive was hit; `str()` is the stable reason."""


class Effort:
    """What is left. `size` is that of the file, `clock` tells processor time in seconds."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until = clock() + CPU_SECONDS
        self._members = MEMBERS_LIMIT
        self._kept = KEPT_LIMIT
        by_ratio = RATIO_FREE_BYTES + RATIO_LIMIT * size
        self._bytes = min(BYTES_LIMIT, by_ratio)
        self._bytes_reason = "limit-ratio" if by_ratio < BYTES_LIMIT else "limit-size"
        self._until_look = _STEPS_A_LOOK

    def take_members(self, count: int) -> None:
        """Count members met; StopSearch("limit-members" or "limit-cpu")."""
        self._members -= count
        if self._members < 0:
            raise StopSearch("limit-members")
        self._look_at_clock()

    def take_bytes(self, count: int) -> None:
        """Count decompressed bytes; StopSearch("limit-size", "limit-ratio" or "limit-cpu")."""
        self._bytes -= count
        if self._bytes < 0:
            raise StopSearch(self._bytes_reason)
        self._look_at_clock()

    def keep(self, count: int) -> None:
        """Count what is kept of findings; StopSearch("limit-entries")."""
        self._kept -= count
        if self._kept < 0:
            raise StopSearch("limit-entries")

    def _look_at_clock(self) -> None:
        self._until_look -= 1
        if self._until_look <= 0:
            self._until_look = _STEPS_A_LOOK
            if self._clock() > self._until:
                raise StopSearch("limit-cpu")
