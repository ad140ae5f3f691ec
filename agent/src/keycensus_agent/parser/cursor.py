"""Read length-prefixed binary formats from front to back, never past their end.

Parser side: pure, on hostile bytes. Keystores of Java and others are made of numbers and counted bytes;
what stands before a break is read, so that an error costs only what comes after it.
"""

from __future__ import annotations

from typing import Literal


class CutError(ValueError):
    """A store breaks off or holds what it can't; `str()` is the stable reason."""


class Cursor:
    """A position in some bytes. Every read moves it; one beyond the end is a CutError.

    `sound` is where the last thing ended that was what it should be: behind an error lengths are not to
    be believed, and what they made one pass over is looked at again from there.
    """

    def __init__(
        self, data: bytes, position: int = 0, order: Literal["big", "little"] = "big"
    ) -> None:
        self.data = data
        self.position = position
        self.sound = position
        self._order = order

    def vouch(self) -> None:
        """Note that everything up to here made sense."""
        self.sound = self.position

    @property
    def left(self) -> int:
        """Number of bytes that were not read yet."""
        return len(self.data) - self.position

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        end = self.position + size
        if not self.position <= end <= len(self.data):
            raise CutError("truncated")
        taken = self.data[self.position : end]
        self.position = end
        return taken

    def number(self, size: int) -> int:
        """Return the next unsigned number of `size` bytes."""
        return int.from_bytes(self.take(size), self._order)

    def counted(self, size: int) -> bytes:
        """Return the bytes that a number of `size` bytes counts."""
        return self.take(self.number(size))
