"""The places of this host as the reader knows them, and what changes about them.

Every method that writes belongs inside the sweep's transaction. A change is stored with the row
itself, so that after a crash either both are there or neither.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from keycensus_agent.model import (
    Blob,
    Cause,
    Gap,
    Place,
    Role,
    RowClass,
    Status,
    gap_key,
    key_of,
)
from keycensus_agent.reader.convert import encode_gap, encode_place, gap_of, place_at, place_of
from keycensus_agent.reader.discovery.mounts import parent_of
from keycensus_agent.reader.purpose import role_with
from keycensus_agent.reader.report.convert import Change
from keycensus_agent.reader.report.outbox import MISSING_BLOB, Outbox
from keycensus_agent.reader.state import LINKS_MARK, TREES_MARK, State

# The setting that says on which packages and directories the stored places' facts rest
# (`place_context`); empty when there are places that were not looked at for it.
CONTEXT_MARK = "context_mark"
# Why a place is gone that is told in a container's or volume's scope now.
IN_SCOPE = "in-scope"
# The detail of a gap for a root that is not swept any more; the sweep writes it.
FORMER_ROOT = "not among the roots"


@dataclass(frozen=True, slots=True)
class Known:
    """One place as it was last stored."""

    path: bytes
    is_link: bool
    mount: bytes
    manifest: bytes
    row_hash: bytes


class Findings:
    """The `place`, `gap` and `blob` tables, and the outbox beside them."""

    def __init__(self, state: State, outbox: Outbox, now_ms: Callable[[], int]) -> None:
        self._state = state
        self._connection = state.connection
        self._outbox = outbox
        self._now_ms = now_ms
        self.changed = 0
        # Files that became places.
        self.appeared = 0
        # Rows that changed since this sweep began.
        self._fresh: set[bytes] = set()
        # Where the last sweep could not look; read when it is first asked for.
        self._gaps: set[bytes] | None = None

    # --- looking ------------------------------------------------------------------------------

    def in_directory(self, directory: bytes) -> dict[bytes, Known]:
        """Return the known places directly in a directory, by path."""
        return {
            path: Known(path, bool(is_link), mount, manifest, row_hash)
            for path, is_link, mount, manifest, row_hash in self._connection.execute(
                "SELECT path, is_link, mount, manifest, row_hash FROM place WHERE directory = ?",
                (directory,),
            )
        }

    def at(self, path: bytes) -> Known | None:
        """Return the known place at a path."""
        row = self._connection.execute(
            "SELECT path, is_link, mount, manifest, row_hash FROM place WHERE path = ?", (path,)
        ).fetchone()
        return None if row is None else Known(row[0], bool(row[1]), row[2], row[3], row[4])

    def children_of(self, directory: bytes, mount: bytes) -> set[str]:
        """Return the names directly in a directory below which places are known on this mount."""
        prefix = directory.rstrip(b"/") + b"/"
        rows = self._connection.execute(
            "SELECT DISTINCT directory FROM place WHERE path > ? AND path < ? AND mount = ?"
            " AND directory != ?",
            (prefix, prefix[:-1] + b"0", mount, directory),
        )
        return {os.fsdecode(path[len(prefix) :].split(b"/", 1)[0]) for (path,) in rows}

    def any_below(self, directory: bytes) -> bool:
        """Whether places are known at or below a path."""
        row = self._connection.execute(
            "SELECT 1 FROM place WHERE path = ? OR (path > ? AND path < ?) LIMIT 1",
            (directory, directory + b"/", directory + b"0"),
        ).fetchone()
        return row is not None

    def links(self) -> dict[bytes, Known]:
        """Return every known place that is a link, by path."""
        return {
            path: Known(path, True, mount, manifest, row_hash)
            for path, mount, manifest, row_hash in self._connection.execute(
                "SELECT path, mount, manifest, row_hash FROM place WHERE is_link = 1"
            )
        }

    def row(self, path: bytes) -> bytes:
        """Return the stored row of a known place."""
        (row,) = self._connection.execute(
            "SELECT row FROM place WHERE path = ?", (path,)
        ).fetchone()
        return bytes(row)

    # --- writing ------------------------------------------------------------------------------

    def store(
        self, place: Place, mount: bytes, blobs: tuple[Blob, ...], *, parser: bool = False
    ) -> None:
        """Store a place as it is now; a change if its row differs from what was known.

        `parser` says that the file was only read again because the agent learned more.
        """
        known = self.at(place.path)
        row = encode_place(place)
        row_hash = hashlib.sha256(row).digest()
        if known is None:
            self.appeared += not place.target
            # Its package is looked up at the end of the sweep, with that of all others.
            self._state.put(CONTEXT_MARK, b"")
        elif known.row_hash != row_hash:
            package = place_of(self.row(place.path)).package
            place = replace(place, package=package, role=role_with(place.role, package))
            row = encode_place(place)
            row_hash = hashlib.sha256(row).digest()
        fresh = self._connection.executemany(
            "INSERT OR IGNORE INTO blob VALUES (?, ?, ?)",
            [(blob.hash, blob.kind.value, blob.data) for blob in blobs],
        ).rowcount
        key = key_of(place)
        tree = self._tree_of(key)
        if known is not None and known.row_hash == row_hash and known.mount == mount:
            if fresh > 0:
                self.offer_again(tree or key)
            return
        cause = self._cause(known, place.path, place.manifest, parser=parser)
        self._state.put(LINKS_MARK, b"")
        self._connection.execute(
            "INSERT OR REPLACE INTO place VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                place.path,
                key,
                parent_of(place.path),
                bool(place.target),
                mount,
                _signed(place.facts.device),
                _signed(place.facts.inode),
                place.manifest,
                row,
                row_hash,
                tree,
            ),
        )
        if tree or place.role is Role.TRUST_STORE:
            self._state.put(TREES_MARK, b"")
        if not tree and (known is None or known.row_hash != row_hash):
            self.tell(key, row, cause)

    def note_target(self, path: bytes, device: int, inode: int) -> None:
        """Note to which file a link that is a place leads."""
        target = signed_identity(device, inode)
        self._connection.execute(
            "UPDATE place SET device = ?, inode = ? WHERE path = ? AND (device, inode) != (?, ?)",
            (*target, path, *target),
        )

    def each(self) -> Iterator[tuple[bytes, Place]]:
        """Yield every known place by its path, without what rows don't carry."""
        for path, row in self._connection.execute("SELECT path, row FROM place").fetchall():
            yield path, place_at(path, row)

    def directories(self) -> list[bytes]:
        """Return the directories that have places."""
        rows = self._connection.execute("SELECT DISTINCT directory FROM place ORDER BY directory")
        return [directory for (directory,) in rows]

    def directories_of(self, inode: int) -> list[bytes]:
        """Return the directories of places that are, or may be, names of one file."""
        rows = self._connection.execute(
            "SELECT DISTINCT directory FROM place WHERE inode = ?", (_signed(inode),)
        )
        return [directory for (directory,) in rows]

    def amend(self, place: Place) -> None:
        """Store what became known of a known place whose file is as it was."""
        path, row = place.path, encode_place(place)
        self._connection.execute(
            "UPDATE place SET row = ?, row_hash = ? WHERE path = ?",
            (row, hashlib.sha256(row).digest(), path),
        )
        # A link, or one in a tree, may lead here.
        self._state.put(LINKS_MARK, b"")
        self._state.put(TREES_MARK, b"")
        key = key_of(place)
        if self._tree_of(key):
            return
        if key in self._fresh and self._outbox.complete(RowClass.PLACE, key, row):
            return
        self.tell(key, row, Cause.FACTS if self._state.complete else Cause.FIRST)

    def _tree_of(self, key: bytes) -> bytes:
        """Return the key of the tree that a place is told with; empty if it is told itself."""
        row = self._connection.execute("SELECT tree FROM place WHERE key = ?", (key,)).fetchone()
        return b"" if row is None else bytes(row[0])

    def tell(self, key: bytes, row: bytes | None, cause: Cause, gone_reason: str = "") -> None:
        """Note that what is told under a place's key has a new state; None: it is told no longer."""
        self._add(Change(RowClass.PLACE, key, row, cause, self._now_ms(), gone_reason=gone_reason))

    def is_told(self, key: bytes) -> bool:
        """Whether the collector has, or may have, a place under this key."""
        return self._outbox.is_out(RowClass.PLACE, key)

    def withdraw(self, key: bytes, reason: str) -> None:
        """Have a place told no longer that stands as it did; what was not sent is never sent."""
        self._outbox.forget_waiting(RowClass.PLACE, key)
        if self.is_told(key):
            self.tell(key, None, Cause.COVERAGE, gone_reason=reason)

    def offer_again(self, key: bytes) -> None:
        """Take back the refusal of a row that needed a blob, which was lost here and is back."""
        taken = self._connection.execute(
            "DELETE FROM refused WHERE class = ? AND key = ? AND reason = ?",
            (RowClass.PLACE.value, key, MISSING_BLOB),
        ).rowcount
        if taken:
            self._state.put_number("outbox_rebuild", 1)

    def _cause(self, known: Known | None, path: bytes, manifest: bytes, *, parser: bool) -> Cause:
        if not self._state.complete:
            return Cause.FIRST
        if parser:
            return Cause.PARSER
        if known is not None and known.manifest == manifest:
            return Cause.FACTS
        return Cause.COVERAGE if self._was_unseen(known, path) else Cause.CONTENT

    def _was_unseen(self, known: Known | None, path: bytes) -> bool:
        """Whether a place is new to the agent only: before, it could not look there, or read it."""
        if known is not None:
            before = place_of(self.row(path)).status if not known.manifest else None
            return before is Status.UNREADABLE
        if self._gaps is None:
            rows = self._connection.execute("SELECT row FROM gap").fetchall()
            gaps = [gap_of(row) for (row,) in rows]
            # A former root covers what is new below a present one, too.
            self._gaps = {gap.prefix for gap in gaps if gap.detail != FORMER_ROOT}
        return any(above in self._gaps for above in _with_parents(path))

    def lose(self, known: Known, reason: str) -> None:
        """Say that a place is gone; `reason` is "removed" or "holds-nothing"."""
        found = self._connection.execute(
            "SELECT key, tree FROM place WHERE path = ?", (known.path,)
        ).fetchone()
        if found is None:
            return  # lost already, with the directory that it was in
        key, tree = found
        self._connection.execute("DELETE FROM place WHERE path = ?", (known.path,))
        self._state.put(LINKS_MARK, b"")
        if tree:
            self._state.put(TREES_MARK, b"")
        else:
            cause = Cause.COVERAGE if reason == IN_SCOPE else Cause.CONTENT
            self.tell(key, None, cause, gone_reason=reason)

    def lose_below(self, path: bytes, mount: bytes) -> int:
        """Say that every place below a vanished directory is gone, if it was on this mount."""
        rows = self._connection.execute(
            "SELECT path, is_link, manifest, row_hash FROM place"
            " WHERE path > ? AND path < ? AND mount = ?",
            (path + b"/", path + b"0", mount),
        ).fetchall()
        for place_path, is_link, manifest, row_hash in rows:
            self.lose(Known(place_path, bool(is_link), mount, manifest, row_hash), "removed")
        return len(rows)

    def gaps(self) -> list[Gap]:
        """Return the stored gaps."""
        return [gap_of(row) for (row,) in self._connection.execute("SELECT row FROM gap")]

    def below(self, directory: bytes) -> list[tuple[bytes, Place]]:
        """Return the known places below a directory."""
        rows = self._connection.execute(
            "SELECT path, row FROM place WHERE path > ? AND path < ?",
            (directory + b"/", directory + b"0"),
        )
        return [(path, place_at(path, row)) for path, row in rows]

    def move(self, path: bytes, place: Place, mount: bytes) -> None:
        """Have a known place stand at another path of the host, or in another scope."""
        key, row = key_of(place), encode_place(place)
        before = self._connection.execute(
            "SELECT key, row_hash, tree FROM place WHERE path = ?", (path,)
        ).fetchone()
        # A tree moves with its names; names of another scope are none of it.
        tree = before[2] if before[0] == key else b""
        row_hash = hashlib.sha256(row).digest()
        self._connection.execute("DELETE FROM place WHERE key = ? AND path != ?", (key, path))
        self._connection.execute(
            "UPDATE OR REPLACE place SET path = ?, key = ?, directory = ?, mount = ?, row = ?,"
            " row_hash = ?, tree = ? WHERE path = ?",
            (place.path, key, parent_of(place.path), mount, row, row_hash, tree, path),
        )
        for mark in (CONTEXT_MARK, LINKS_MARK, TREES_MARK):
            self._state.put(mark, b"")
        if before[0] != key:
            self.tell(before[0], None, Cause.COVERAGE, gone_reason=IN_SCOPE)
            self.tell(key, row, Cause.COVERAGE)
        elif before[1] != row_hash and not tree:
            self.tell(key, row, Cause.FACTS)

    def move_trees(self, prefix: bytes, successor: bytes) -> None:
        """Have the trees below a directory stand below another one."""
        below = self._connection.execute(
            "SELECT path FROM tree WHERE path > ? AND path < ?", (prefix + b"/", prefix + b"0")
        ).fetchall()
        self._connection.executemany(
            "UPDATE OR REPLACE tree SET path = ? WHERE path = ?",
            [(successor + path[len(prefix) :], path) for (path,) in below],
        )

    def lose_all_below(self, directory: bytes, reason: str) -> None:
        """Say that every place below a directory is gone, on whatever mount it was."""
        for path, _ in self.below(directory):
            known = self.at(path)
            if known is not None:
                self.lose(known, reason)

    def settle_gaps(self, gaps: list[Gap], closes: Callable[[Gap], bool] = lambda _: True) -> None:
        """Store the gaps of a sweep; stored ones that are not among them go, if it `closes` them."""
        self._gaps = None
        current = {gap_key(gap): encode_gap(gap) for gap in gaps}
        stored = dict(self._connection.execute("SELECT key, row FROM gap").fetchall())
        now_ms = self._now_ms()
        for key, row in current.items():
            if stored.get(key) == row:
                continue
            self._connection.execute(
                "INSERT OR REPLACE INTO gap VALUES (?, ?, ?)",
                (key, row, hashlib.sha256(row).digest()),
            )
            cause = Cause.COVERAGE if self._state.complete else Cause.FIRST
            self._add(Change(RowClass.GAP, key, row, cause, now_ms))
        for key in stored.keys() - current.keys():
            if not closes(gap_of(stored[key])):
                continue
            self._connection.execute("DELETE FROM gap WHERE key = ?", (key,))
            self._add(
                Change(RowClass.GAP, key, None, Cause.COVERAGE, now_ms, gone_reason="removed")
            )

    def _add(self, change: Change) -> None:
        self._outbox.add(change)
        self._fresh.add(change.key)
        self.changed += 1


def _with_parents(path: bytes) -> Iterator[bytes]:
    """Yield a path and every directory above it."""
    while len(path) > 1:
        yield path
        path = path.rpartition(b"/")[0] or b"/"
    yield b"/"


def _signed(number: int) -> int:
    """Fit an unsigned 64-bit number (inode, device) into SQLite's signed integers."""
    return number - (1 << 64) if number >= 1 << 63 else number


def signed_identity(device: int, inode: int) -> tuple[int, int]:
    """Return (device, inode) as the `place` table has them."""
    return _signed(device), _signed(inode)
