"""The agent's memory between sweeps: one SQLite database that the reader alone opens.

It is a cache of the disk and of what the collector acknowledged; both can be had again. So a file
that can't be used is put aside and the agent starts over with a full sweep; a file written by a
newer agent is left alone and refused.

Invariant (level-triggered): what still has to be reported is the difference between `told`/`gap`
and `acknowledged`; `outbox` is that difference as a list, with the states in between, and can be
rebuilt from it at any time (`outbox.rebuild`).
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keycensus_agent.reader import state_content, state_file
from keycensus_agent.reader.state_file import database_errors, storage_errors

# The setting that says that trees are what the places make (`tree_places`); empty when some changed.
TREES_MARK = "trees_mark"
# The setting that says that every link that is a place says what its target's place does
# (`link_places`); empty when a place changed since.
LINKS_MARK = "links_mark"


class State:
    """The open database. `connection` is in autocommit; write inside `transaction()`."""

    def __init__(self, connection: sqlite3.Connection, lock: int | None) -> None:
        self.connection = connection
        self._lock = lock
        self._path: Path | None = None
        self._ballast: Path | None = None
        self.quarantined: Path | None = None
        # Somebody else may have touched the file since this agent left it: a crash, or a restore.
        self.suspicious = False
        self._condemned = False

    # --- opening and closing ------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path) -> State:
        """Open or create the database at `path`, alone.

        Raises StateBusyError if another process has it, StateNewerError if a newer agent wrote it,
        StorageError if the directory can't be used. A damaged file is renamed to
        `<name>.corrupt-<seconds>` and replaced by an empty one (`quarantined` names it).
        """
        with storage_errors(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = state_file.take_lock(path.with_suffix(".lock"))
        try:
            with storage_errors(path):
                return cls._open_locked(path, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def _open_locked(cls, path: Path, lock: int) -> State:
        quarantined, closed = None, state_file.was_closed(path, lock)
        try:
            if state_file.is_condemned(lock):
                raise sqlite3.DatabaseError("damage was found while it was used")
            connection = state_content.connect(path, checked=closed)
        except (sqlite3.Error, UnicodeDecodeError, IsADirectoryError) as error:
            # UnicodeDecodeError: the driver choked on SQLite's message about the damage.
            if isinstance(error, sqlite3.Error) and state_file.is_of_the_disk(error):
                raise
            quarantined = state_file.put_aside(path)
            connection = state_content.connect(path)
        state = cls(connection, lock)
        state_file.write_note(lock, str(os.getpid()))
        state._path = path
        state.quarantined = quarantined
        state.suspicious = not closed
        state._ballast = state_file.ensure_ballast(path.with_suffix(".ballast"))
        return state

    @classmethod
    def in_memory(cls, path: Path | None = None) -> State:
        """Return a private copy of the database at `path` (or an empty one); changes are lost."""
        connection = sqlite3.connect(":memory:", isolation_level=None)
        if path is not None and path.exists():
            state = cls.open(path)
            try:
                state.connection.backup(connection)
            finally:
                state.close()
        else:
            state_content.prepare(connection)
        return cls(connection, None)

    def close(self) -> None:
        """Close the database and let another process have it."""
        self.connection.close()
        if self._lock is not None:
            if self._path is not None:
                state_file.write_end(self._lock, self._path, condemned=self._condemned)
            os.close(self._lock)
            self._lock = None

    def condemn(self) -> None:
        """Have the next opening put the database aside: it turned out damaged."""
        self._condemned = True

    # --- transactions -------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run a block as one transaction; StorageFullError or StorageError if it can't be kept."""
        with database_errors():
            try:
                self.connection.execute("BEGIN IMMEDIATE")
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    def release_ballast(self) -> bool:
        """Give the reserved space back to a full disk; whether there was any."""
        if self._ballast is None or not self._ballast.exists():
            return False
        self._ballast.unlink()
        return True

    def restore_ballast(self) -> None:
        """Reserve the space again, if the disk has it."""
        if self._ballast is not None:
            state_file.ensure_ballast(self._ballast)

    # --- meta ---------------------------------------------------------------------------------

    def get(self, name: str, default: bytes = b"") -> bytes:
        """Return the value of a setting of the state's own."""
        row = self.connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if row is None else bytes(row[0])

    def put(self, name: str, value: bytes) -> None:
        """Store one; inside a transaction or alone."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def get_number(self, name: str) -> int:
        """Return a number, 0 if it was never set."""
        return int(self.get(name, b"0"))

    def put_number(self, name: str, value: int) -> None:
        """Store a number."""
        self.put(name, str(value).encode())

    @property
    def instance(self) -> bytes:
        """The random identity of this state, 16 bytes."""
        return self.get("instance")

    @property
    def complete(self) -> bool:
        """Whether a full sweep ended with its results in here."""
        return self.get_number("complete") == 1

    def new_instance(self) -> None:
        """Start over towards the collector: nothing is acknowledged; the disk's side stays."""
        with self.transaction() as connection:
            self.put("instance", secrets.token_bytes(16))
            self.put("nonce", b"")
            self.put_number("acknowledged_sequence", 0)
            self.put_number("complete_acknowledged", 0)
            self.put_number("outbox_rebuild", 1)
            for table in ("acknowledged", "outbox", "batch", "refused"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - names from above
