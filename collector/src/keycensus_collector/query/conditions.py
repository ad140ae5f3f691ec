"""What a condition asks of one value: the right-hand sides of queries, parsed. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal as Word
from typing import TypeVar


@dataclass(frozen=True, slots=True)
class Text:
    """Text in any case. `glob`: all of it, `*` stands for anything; `part`: a part, with `*`."""

    pattern: str
    how: Word["glob", "part", "equal"]


@dataclass(frozen=True, slots=True)
class Path:
    """A path, in its case. `below`: it, or what is below; `glob`: with `*` and `**`."""

    pattern: str
    how: Word["below", "glob", "equal", "part"]


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to before `high`; None is no bound."""

    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the words that a field can have, or yes or no."""

    value: str


@dataclass(frozen=True, slots=True)
class Known:
    """The value is known, or there is none."""

    known: bool


@dataclass(frozen=True, slots=True)
class Hash:
    """A hash from `low` to `high`, both included: it starts with some digits."""

    low: bytes
    high: bytes


@dataclass(frozen=True, slots=True)
class Serial:
    """One of these serial numbers, lower-case hexadecimal without leading zeros."""

    values: tuple[str, ...]


_Test = TypeVar("_Test")


def expected(kind: type[_Test], test: object) -> _Test:
    """Return a test that checking made sure is of this kind; TypeError if it did not."""
    if not isinstance(test, kind):
        raise TypeError(f"{test!r} is no {kind.__name__}")
    return test


Test = Text | Path | Range | Choice | Known | Hash | Serial
