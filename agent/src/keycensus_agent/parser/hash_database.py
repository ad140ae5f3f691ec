"""Read the pairs of a hash database as Berkeley DB 1.85 wrote them.

Parser side: pure, on hostile bytes. A header of big-endian numbers, then pages whose numbers are in the
order that the header names; pairs lie in a page from its end on. Values longer than a page are
spread over several in a way that is not followed. Source: hash.h, page.h and hash_page.c of 4.4BSD.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

MAGIC = b"\0\x06\x15\x61"
_VERSION = 2
_ORDERS: dict[int, Literal["little", "big"]] = {1234: "little", 4321: "big"}
_PAGE_BYTES = {1 << power for power in range(9, 17)}
# Offsets below mark what is no pair: pages that follow, and parts of long values.
_REAL_KEY = 4


def is_hash_database(data: bytes) -> bool:
    """Tell by the header's numbers."""
    return (
        data.startswith(MAGIC)
        and _number(data, 4) == _VERSION
        and _number(data, 8) in _ORDERS
        and _number(data, 12) in _PAGE_BYTES
    )


def _number(data: bytes, position: int) -> int:
    return int.from_bytes(data[position : position + 4], "big")


def pairs(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the pairs of every page; pages that hold something else, or nonsense, are passed over."""
    order, size = _ORDERS[_number(data, 8)], _number(data, 12)
    for start in range(size, len(data), size):
        yield from _page(data[start : start + size], order)


def _page(page: bytes, order: Literal["little", "big"]) -> Iterator[tuple[bytes, bytes]]:
    count = int.from_bytes(page[:2], order)
    if count % 2 or 2 * count > len(page):
        return
    offsets = [int.from_bytes(page[at : at + 2], order) for at in range(2, 2 * count + 2, 2)]
    end = len(page)
    for key, value in zip(offsets[::2], offsets[1::2], strict=True):
        if not _REAL_KEY <= value <= key <= end:
            return
        yield page[key:end], page[value:key]
        end = value
