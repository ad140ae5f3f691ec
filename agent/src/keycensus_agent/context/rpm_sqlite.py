"""Header blobs of an RPM database in SQLite's file format (rpm 4.16 and later; Fedora 33, RHEL 9).

Format: SQLite's "Database File Format" (fileformat2.html). Read by its pages and not by SQLite, which is
not to be given a stranger's file in the process that can read every key; a write-ahead log is not read.
Runs in the reader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise

from keycensus_agent.context.root_files import BlobFile, DamagedError

_MAGIC = b"SQLite format 3\0"
_TABLE = b"Packages"
_INTERIOR, _LEAF = 5, 13
# A B-tree of the largest file there can be is not as deep.
_DEPTH_LIMIT = 20


def blobs(file: BlobFile) -> Iterator[bytes]:
    """Yield every value of the table Packages; DamagedError, OSError."""
    pages = _Pages(file)
    for record in pages.records(1):
        columns = _columns(record)
        if len(columns) >= 4 and columns[0] == b"table" and columns[1] == _TABLE:
            root = int.from_bytes(columns[3], "big")
            for row in pages.records(root):
                values = _columns(row)
                if len(values) >= 2:
                    yield values[1]
            return
    raise DamagedError("it has no table of packages")


class _Pages:
    def __init__(self, file: BlobFile) -> None:
        head = file.read(0, 100)
        if head[:16] != _MAGIC:
            raise DamagedError("it is no SQLite database")
        (size,) = struct.unpack_from(">H", head, 16)
        self._file = file
        self._size = 65536 if size == 1 else size
        self._usable = self._size - head[20]
        if self._size < 512 or self._size & (self._size - 1) or self._usable < 480:
            raise DamagedError("its pages have no valid size")

    def _page(self, number: int) -> bytes:
        if number < 1:
            raise DamagedError("it names a page that can't be")
        return self._file.read((number - 1) * self._size, self._size)

    def records(self, root: int) -> Iterator[bytes]:
        """Yield the records of the table whose B-tree starts at page `root`."""
        pending = [(root, 0)]
        while pending:
            number, depth = pending.pop()
            if depth > _DEPTH_LIMIT:
                raise DamagedError("its tree goes round in circles")
            page = self._page(number)
            start = 100 if number == 1 else 0
            kind, count = page[start], int.from_bytes(page[start + 3 : start + 5], "big")
            if kind == _LEAF:
                for cell in _cells(page, start + 8, count):
                    yield self._payload(page, cell)
            elif kind == _INTERIOR:
                children = [_number(page, cell) for cell in _cells(page, start + 12, count)]
                children.append(_number(page, start + 8))
                pending += [(child, depth + 1) for child in reversed(children)]
            else:
                raise DamagedError("a page of its tree is none")

    def _payload(self, page: bytes, cell: int) -> bytes:
        length, at = _varint(page, cell)
        _, at = _varint(page, at)  # the row's number
        local = self._local(length)
        payload = page[at : at + local]
        if local == length:
            return payload
        pieces, left = [payload], length - local
        following = _number(page, at + local)
        while left > 0:
            overflow = self._page(following)
            following = _number(overflow, 0)
            piece = overflow[4 : min(self._usable, 4 + left)]
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def _local(self, length: int) -> int:
        """Return how many bytes of a payload lie in the tree's own page."""
        most = self._usable - 35
        if length <= most:
            return length
        least = (self._usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (self._usable - 4)
        return local if local <= most else least


def _cells(page: bytes, start: int, count: int) -> tuple[int, ...]:
    if start + 2 * count > len(page):
        raise DamagedError("a page has more cells than room")
    return struct.unpack_from(f">{count}H", page, start)


def _number(page: bytes, at: int) -> int:
    if at + 4 > len(page):
        raise DamagedError("a page points outside of itself")
    return int.from_bytes(page[at : at + 4], "big")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for used, byte in enumerate(data[at : at + 9], start=1):
        if used == 9:
            return value << 8 | byte, at + used
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + used
    raise DamagedError("a number has no end")


# Bytes of integers and floating-point numbers by serial type; 8 and 9 are the numbers 0 and 1.
_FIXED = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)


def _columns(record: bytes) -> list[bytes]:
    """Return the columns of a record as their bytes."""
    header, at = _varint(record, 0)
    sizes = []
    while at < min(header, len(record)):
        kind, at = _varint(record, at)
        sizes.append((kind - 12) // 2 if kind >= 12 else _FIXED[kind])
    offsets = [header]
    for size in sizes:
        offsets.append(offsets[-1] + size)
    return [record[start:end] for start, end in pairwise(offsets)]
