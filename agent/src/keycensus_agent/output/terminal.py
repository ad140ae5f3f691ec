"""What a terminal gets and a pipe does not: width, colour, progress."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TextIO

_PROGRESS_SECONDS = 0.2
_NARROWEST = 60
_ERASE_LINE = "\r\x1b[K"


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a person looks at the stream."""
    return stream.isatty()


def width_of(stream: TextIO) -> int:
    """Return a terminal's columns; 0 for anything else."""
    if not is_terminal(stream):
        return 0
    return max(shutil.get_terminal_size((100, 25)).columns, _NARROWEST)


def wants_colour(stream: TextIO) -> bool:
    """Tell whether to colour: a terminal that can, and nobody said no (no-color.org)."""
    return (
        is_terminal(stream)
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb"
    )


class ProgressLine:
    """One line on a terminal that says how far a scan is; nothing elsewhere.

    `clock` gives seconds, monotonic.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._clock = clock
        self._active = is_terminal(stream)
        self._next = 0.0
        self._shown = False

    def show(self, directories: int, files: int, found: int) -> None:
        """Say how far it is, at most five times a second."""
        if not self._active:
            return
        now = self._clock()
        if now < self._next:
            return
        self._next = now + _PROGRESS_SECONDS
        self._shown = True
        self._stream.write(
            f"{_ERASE_LINE}{directories:,} directories, {files:,} files, {found:,} found"
        )
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away, before anything else is written."""
        if self._shown:
            self._stream.write(_ERASE_LINE)
            self._stream.flush()
            self._shown = False
