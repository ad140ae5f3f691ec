"""What the readers of archives hand on: members, one after another.

Parser side, pure. Only the current member's stream may be read, and only until the next is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keycensus_agent.parser.archive.effort import Effort
from keycensus_agent.parser.archive.policy import Selection
from keycensus_agent.parser.archive.streams import Stream

# A size that is not known: larger than any file.
UNKNOWN_SIZE = 1 << 62
# Names are cut here already when they are read: an archive may claim any length.
NAME_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Member:
    """One file in an archive: its name as it stands there, its bytes, and how many there should be.

    Without a stream its bytes can't be had, and `problem` is the stable reason.
    """

    name: bytes
    stream: Stream | None
    size: int = UNKNOWN_SIZE
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Damage:
    """Something of the archive itself is damaged; `problem` is the stable reason."""

    problem: str


Members = Iterator[Member | Damage]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a reader of archives is given.

    Members that `selection` does not take are not handed on, and told to `count_passed`.
    """

    stream: Stream
    effort: Effort
    selection: Selection
    count_passed: Callable[[int], None]
