"""Search a text for several expressions at once, in its order, at the speed of literal strings.

Parser side: pure. CPython's `re` skips through a text where an expression begins with a literal; of an
alternation, or behind a look-behind, it tries every position, which takes ten times as long. So each
alternative is an expression of its own here, found by a literal of it, and what comes first is told by
where they stand.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple


class Start(NamedTuple):
    """One expression: `whole` is matched `back` octets before each match of `literal`."""

    literal: re.Pattern[bytes]
    whole: re.Pattern[bytes] | None = None
    """None: `literal` is all of it."""
    back: int = 0

    def search(self, text: bytes, position: int) -> re.Match[bytes] | None:
        """Return the first match that begins at `position` or after it; None if there is none."""
        found = self.literal.search(text, position + self.back)
        while found is not None and self.whole is not None:
            whole = self.whole.match(text, found.start() - self.back)
            if whole is not None:
                return whole
            found = self.literal.search(text, found.start() + 1)
        return found


class Starts:
    """The matches of several expressions in `text`, asked for with rising positions."""

    def __init__(self, starts: Sequence[Start], text: bytes) -> None:
        self._text = text
        self._ahead = [(start, found) for start in starts if (found := start.search(text, 0))]

    def after(self, position: int) -> re.Match[bytes] | None:
        """Return the first match that begins at `position` or after it; None if there is none."""
        first: re.Match[bytes] | None = None
        kept = []
        for start, known in self._ahead:
            found = known if known.start() >= position else start.search(self._text, position)
            if found is not None:
                kept.append((start, found))
                if first is None or found.start() < first.start():
                    first = found
        self._ahead = kept
        return first
