"""Header blobs of an RPM database in Berkeley DB's hash format (RHEL 8 and before, Fedora to 32, old SUSE).

Format: Berkeley DB's src/dbinc/db_page.h. All pages are looked at in the file's order: those of the hash have pairs
of items, key and value; a value is in the page or in a chain of overflow pages. Numbers have the byte order of the
machine that made the file, so the magic number tells it.
Runs in the reader.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from keycensus_agent.context.root_files import BlobFile, DamagedError

_MAGIC = 0x00061561
_PAGE_HEADER = 26
_HASH_UNSORTED, _OVERFLOW, _HASH = 2, 7, 13
_IN_PAGE, _OFF_PAGE = 1, 3
# The key of the record that holds the highest number of a package is zero, its value as short.
_SHORTEST = 16


def blobs(file: BlobFile) -> Iterator[bytes]:
    """Yield every package's header; DamagedError, OSError."""
    head = file.read(0, 72)
    order = next((o for o in "<>" if struct.unpack_from(f"{o}I", head, 12)[0] == _MAGIC), None)
    if order is None:
        raise DamagedError("it is no Berkeley database with a hash")
    size, encrypted = struct.unpack_from(f"{order}IB", head, 20)
    if not 512 <= size <= 65536 or size & (size - 1) or encrypted:
        raise DamagedError("its pages have no valid size, or are encrypted")
    pages = _Pages(file, order, size)
    for number in range(1, file.size // size):
        for blob in pages.values(number):
            if len(blob) >= _SHORTEST:
                yield blob


class _Pages:
    def __init__(self, file: BlobFile, order: str, size: int) -> None:
        self._file = file
        self._order = order
        self._size = size

    def values(self, number: int) -> Iterator[bytes]:
        """Yield the values of a page's pairs; none if the page is of another kind."""
        page = self._file.read(number * self._size, self._size)
        if page[25] not in (_HASH, _HASH_UNSORTED):
            return
        (count,) = struct.unpack_from(f"{self._order}H", page, 20)
        if _PAGE_HEADER + 2 * count > self._size:
            raise DamagedError("a page has more items than room")
        offsets = struct.unpack_from(f"{self._order}{count}H", page, _PAGE_HEADER)
        for position in range(1, count, 2):
            # Items lie from the end of the page towards its beginning.
            start, end = offsets[position], offsets[position - 1]
            if start + 1 > self._size:
                raise DamagedError("an item lies outside of its page")
            if page[start] == _IN_PAGE:
                yield page[start + 1 : end]
            elif page[start] == _OFF_PAGE and start + 12 <= self._size:
                first, length = struct.unpack_from(f"{self._order}II", page, start + 4)
                yield self._overflow(first, length)

    def _overflow(self, number: int, length: int) -> bytes:
        pieces: list[bytes] = []
        while length > 0:
            page = self._file.read(number * self._size, self._size)
            (used,) = struct.unpack_from(f"{self._order}H", page, 22)
            if page[25] != _OVERFLOW or not 0 < used <= self._size - _PAGE_HEADER:
                raise DamagedError("a value's pages end too early")
            (number,) = struct.unpack_from(f"{self._order}I", page, 16)
            pieces.append(page[_PAGE_HEADER : _PAGE_HEADER + used])
            length -= used
        return b"".join(pieces)
