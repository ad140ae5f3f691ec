"""Long lists of keys in pieces that every database takes as bound parameters of one statement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

# SQLite takes 32,766 parameters, PostgreSQL 65,535; plans of shorter lists are made faster.
CHUNK = 1_000

_Item = TypeVar("_Item")


def chunked(items: Sequence[_Item]) -> Iterator[Sequence[_Item]]:
    """Yield `items` in order in pieces of at most CHUNK."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
