"""What the agent remembers of directories, so that an unchanged file is not opened again.

Per directory one listing: for each regular file inode, ctime and size, and the names of its links and
sub-directories. ctime changes with the content, the mode, the owner and the name and can't be set
by a program, so mtime adds nothing to it. Equal digests of it, on the same mount: nothing changed
here. Only where they differ is the listing itself read back, to see which files changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keycensus_agent.reader.discovery.listing import Listing, decode_listing, digest_of
from keycensus_agent.reader.state import State

# Rows that are fetched ahead, some 100 bytes each: the walk asks in the order of the table. After a
# jump few; the more, the longer it goes straight on.
_FEWEST_AHEAD, _MOST_AHEAD = 32, 4096


def order_key(path: bytes) -> bytes:
    """Return the key under which a directory is stored: sorted, it is the order of a walk."""
    return path[1:].replace(b"/", b"\0")


class DirectoryMemory:
    """The `directory` table, read ahead in the order of the walk, and `listing` beside it."""

    def __init__(self, state: State) -> None:
        self._connection = state.connection
        self._rows: dict[bytes, tuple[bytes, bytes]] = {}
        self._first, self._last = b"\xff", b""  # no key lies between them
        self._open_ended = False
        self._ahead = _FEWEST_AHEAD
        self._used = 0

    def recall(self, path: bytes) -> tuple[bytes, bytes] | None:
        """Return (mount key, digest of the listing) as last seen, or None."""
        key = order_key(path)
        if key < self._first or (key > self._last and not self._open_ended):
            self._fetch(key)
        self._used += 1
        return self._rows.get(key)

    def _fetch(self, key: bytes) -> None:
        straight_on = 2 * self._used >= self._ahead
        self._ahead = min(2 * self._ahead, _MOST_AHEAD) if straight_on else _FEWEST_AHEAD
        self._used = 0
        rows = self._connection.execute(
            "SELECT path, mount, digest FROM directory WHERE path >= ? ORDER BY path LIMIT ?",
            (key, self._ahead),
        ).fetchall()
        self._rows = {row[0]: row[1:] for row in rows}
        self._first = key
        self._open_ended = len(rows) < self._ahead
        self._last = rows[-1][0] if rows else key

    def listing(self, path: bytes, digest: bytes) -> Listing | None:
        """Return the listing as last seen; None if it is not what `digest` was made of."""
        row = self._connection.execute(
            "SELECT listing FROM listing WHERE path = ?", (order_key(path),)
        ).fetchone()
        if row is None or digest_of(row[0]) != digest:
            return None
        return decode_listing(row[0])

    def up_to(self, path: bytes) -> Iterator[tuple[bytes, bytes, Listing]]:
        """Yield (path, mount key, listing) of what comes up to `path` in the order of the walk."""
        for key, mount, encoded in self._connection.execute(
            "SELECT d.path, d.mount, l.listing FROM directory AS d JOIN listing AS l"
            " ON l.path = d.path WHERE d.path <= ?",
            (order_key(path),),
        ):
            yield b"/" + key.replace(b"\0", b"/"), mount, decode_listing(encoded)

    def remember(self, rows: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Store (path, mount key, encoded listing) rows; inside a transaction."""
        keyed = [(order_key(path), mount, encoded) for path, mount, encoded in rows]
        self._connection.executemany(
            "INSERT OR REPLACE INTO directory VALUES (?, ?, ?, ?)",
            [(key, mount, digest_of(encoded), len(encoded)) for key, mount, encoded in keyed],
        )
        self._connection.executemany(
            "INSERT OR REPLACE INTO listing VALUES (?, ?)",
            [(key, encoded) for key, _, encoded in keyed],
        )
        self.drop_window()

    def drop_window(self) -> None:
        """Forget what was read ahead."""
        self._rows = {}
        self._first, self._last = b"\xff", b""
        self._open_ended = False

    def forget_below(self, path: bytes, mount: bytes) -> None:
        """Forget a directory that is gone and what was below it on the same mount."""
        key = order_key(path)
        below = "(path = ? OR (path > ? AND path < ?)) AND mount = ?"
        bounds = (key, key + b"\0", key + b"\x01", mount)
        self._connection.execute(
            f"DELETE FROM listing WHERE path IN (SELECT path FROM directory WHERE {below})",  # noqa: S608
            bounds,
        )
        self._connection.execute(f"DELETE FROM directory WHERE {below}", bounds)  # noqa: S608
        self.drop_window()
