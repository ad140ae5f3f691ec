"""What the agent remembers of directories, so that an unchanged file is not opened again.

Per directory one blob: for each regular file inode, ctime and size, and the names of its links and
sub-directories. ctime changes with the content, the mode, the owner and the name and can't be set
by a program, so mtime adds nothing to it. Equal blobs, on the same mount: nothing changed here.
"""

from __future__ import annotations

import marshal
import zlib
from collections.abc import Iterable

from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.state import State

# Marshal without references: equal values give equal bytes, and it is several times faster than
# packing or JSON. It is only ever read back from the agent's own state.
_MARSHAL_VERSION = 2
# Rows that are fetched ahead: the walk asks in the order of the table.
_WINDOW = 512

FileMark = tuple[str, int, int, int]
Listing = tuple[list[FileMark], list[str], list[str]]


def listing_of(directory: Directory) -> Listing:
    """Return (files as (name, inode, ctime_ns, size), links, sub-directories)."""
    files = [
        (name, facts.st_ino, facts.st_ctime_ns, facts.st_size) for name, facts in directory.files
    ]
    children = directory.children
    if directory.pruned:
        children = sorted([*children, *(name for name, _ in directory.pruned)])
    return files, directory.links, children


def encode_listing(listing: Listing) -> bytes:
    """Return the bytes that are compared and stored."""
    return marshal.dumps(listing, _MARSHAL_VERSION)


def decode_listing(data: bytes, checksum: int) -> Listing | None:
    """Read back what `encode_listing` wrote; None if it is not what was stored."""
    if zlib.crc32(data) != checksum:
        return None
    files, links, children = marshal.loads(data)  # noqa: S302 - our own bytes, see the checksum
    return files, links, children


def order_key(path: bytes) -> bytes:
    """Return the key under which a directory is stored: sorted, it is the order of a walk."""
    return path[1:].replace(b"/", b"\0")


class DirectoryMemory:
    """The `directory` table, read ahead in the order of the walk."""

    def __init__(self, state: State) -> None:
        self._connection = state.connection
        self._rows: dict[bytes, tuple[bytes, bytes, int]] = {}
        self._first, self._last = b"\xff", b""  # no key lies between them
        self._open_ended = False

    def recall(self, path: bytes) -> tuple[bytes, bytes, int] | None:
        """Return (mount key, encoded listing, its checksum) as last seen, or None."""
        key = order_key(path)
        if key < self._first or (key > self._last and not self._open_ended):
            self._fetch(key)
        return self._rows.get(key)

    def _fetch(self, key: bytes) -> None:
        rows = self._connection.execute(
            "SELECT path, mount, listing, checksum FROM directory"
            " WHERE path >= ? ORDER BY path LIMIT ?",
            (key, _WINDOW),
        ).fetchall()
        self._rows = {row[0]: row[1:] for row in rows}
        self._first = key
        self._open_ended = len(rows) < _WINDOW
        self._last = rows[-1][0] if rows else key

    def remember(self, rows: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Store (path, mount key, encoded listing) rows; inside a transaction."""
        self._connection.executemany(
            "INSERT OR REPLACE INTO directory VALUES (?, ?, ?, ?)",
            [
                (order_key(path), mount, listing, zlib.crc32(listing))
                for path, mount, listing in rows
            ],
        )
        self._drop_window()

    def _drop_window(self) -> None:
        self._rows = {}
        self._first, self._last = b"\xff", b""
        self._open_ended = False

    def forget_below(self, path: bytes, mount: bytes) -> None:
        """Forget a directory that is gone and what was below it on the same mount."""
        key = order_key(path)
        self._connection.execute(
            "DELETE FROM directory WHERE (path = ? OR (path > ? AND path < ?)) AND mount = ?",
            (key, key + b"\0", key + b"\x01", mount),
        )
        self._drop_window()
