"""Ranges in names of hosts, as Ansible writes them: web[01:10], db-[a:f], [0:10:2]. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Names that one pattern may stand for; a bigger fleet is listed.
MOST_NAMES = 100_000
_RANGES = 8
_RANGE = re.compile(r"\[(\d+|[A-Za-z]):(\d+|[A-Za-z])(?::(\d+))?\]")


def names_of(pattern: str) -> Iterator[str]:
    """Yield the names that a pattern stands for; ValueError if it is none, or for too many."""
    if pattern.count("[") > _RANGES:
        raise ValueError(f"{pattern[:80]!r} has more than {_RANGES} ranges")
    found = _RANGE.search(pattern)
    if found is None:
        if "[" in pattern or "]" in pattern:
            raise ValueError(f"{pattern!r} has a range that is none: web[01:10], db[a:f], [0:10:2]")
        yield pattern
        return
    values = list(_values(*found.groups()))
    count = 0
    for rest in names_of(pattern[found.end() :]):
        for value in values:
            count += 1
            if count > MOST_NAMES:
                raise ValueError(f"{pattern!r} stands for more than {MOST_NAMES:,} hosts")
            yield pattern[: found.start()] + value + rest


def _values(first: str, last: str, step: str | None) -> Iterator[str]:
    stride = int(step) if step else 1
    if stride < 1:
        raise ValueError("the step of a range is 1 or more")
    if first.isdigit() != last.isdigit() or first.islower() != last.islower():
        raise ValueError(f"[{first}:{last}] goes from one kind of value to another")
    low, high = (int(first), int(last)) if first.isdigit() else (ord(first), ord(last))
    if high < low or (high - low) // stride >= MOST_NAMES:
        raise ValueError(f"[{first}:{last}] is empty, or has more than {MOST_NAMES:,} values")
    width = len(first) if first.isdigit() and first.startswith("0") else 0
    for number in range(low, high + 1, stride):
        yield str(number).zfill(width) if first.isdigit() else chr(number)
