"""The agent's memory between sweeps: one SQLite database that the reader alone opens.

It is a cache of the disk and of what the collector acknowledged; both can be had again. So a file
that can't be used is put aside and the agent starts over with a full sweep; a file written by a
newer agent is left alone and refused.

Invariant (level-triggered): what still has to be reported is the difference between `place`/`gap`
and `acknowledged`; `outbox` is that difference as a list, with the states in between, and can be
rebuilt from it at any time (`outbox.rebuild`).
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keycensus_agent.errors import (
    StateBusyError,
    StateDamagedError,
    StateNewerError,
    StorageError,
    StorageFullError,
)

SCHEMA_VERSION = 2
# Put-aside databases that are kept for a look; older ones are removed.
CORRUPT_KEPT = 2
# Write-ahead log pages before a checkpoint: small, so that a full disk is met with little to undo.
CHECKPOINT_PAGES = 256
# Freed when the disk is full, so that deleting acknowledged rows can still be written.
BALLAST_BYTES = 1024 * 1024

_SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
-- One row a directory that was listed whole: the digest of what lstat said of its names, to compare
-- with, and its length. `path` has NUL for / so that its order is the order of the walk.
CREATE TABLE directory (
    path BLOB PRIMARY KEY, mount BLOB NOT NULL, digest BLOB NOT NULL, weight INTEGER NOT NULL
) WITHOUT ROWID;
-- What was digested; apart, since it is fifty times as long and read only where something changed.
CREATE TABLE listing (path BLOB PRIMARY KEY, listing BLOB NOT NULL) WITHOUT ROWID;
-- Mounts that a place was ever seen on.
CREATE TABLE mount (
    key BLOB PRIMARY KEY, type TEXT NOT NULL, source BLOB NOT NULL, root BLOB NOT NULL,
    mount_point BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE place (
    path BLOB PRIMARY KEY, key BLOB NOT NULL UNIQUE, directory BLOB NOT NULL,
    is_link INTEGER NOT NULL, mount BLOB NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
    manifest BLOB NOT NULL, row BLOB NOT NULL, row_hash BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX place_directory ON place (directory);
CREATE INDEX place_mount ON place (mount);
CREATE TABLE gap (key BLOB PRIMARY KEY, row BLOB NOT NULL, row_hash BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blob (hash BLOB PRIMARY KEY, kind INTEGER NOT NULL, data BLOB NOT NULL);
-- What the collector has, by its own word.
CREATE TABLE acknowledged (
    class INTEGER NOT NULL, key BLOB NOT NULL, row_hash BLOB NOT NULL, PRIMARY KEY (class, key)
) WITHOUT ROWID;
-- States not yet acknowledged, in order. `row` null: gone. `sequence` set: part of a fixed batch.
CREATE TABLE outbox (
    item INTEGER PRIMARY KEY, class INTEGER NOT NULL, key BLOB NOT NULL, row BLOB,
    cause TEXT NOT NULL, observed_ms INTEGER NOT NULL, skipped INTEGER NOT NULL,
    gone_reason TEXT NOT NULL, sequence INTEGER, position INTEGER
);
CREATE INDEX outbox_key ON outbox (class, key);
CREATE INDEX outbox_sequence ON outbox (sequence);
CREATE TABLE batch (sequence INTEGER PRIMARY KEY, message BLOB NOT NULL);
-- What the collector will not take, until the row changes.
CREATE TABLE refused (
    class INTEGER NOT NULL, key BLOB NOT NULL, row_hash BLOB NOT NULL, reason TEXT NOT NULL,
    PRIMARY KEY (class, key)
) WITHOUT ROWID;
"""


class State:
    """The open database. `connection` is in autocommit; write inside `transaction()`."""

    def __init__(self, connection: sqlite3.Connection, lock: int | None) -> None:
        self.connection = connection
        self._lock = lock
        self._path: Path | None = None
        self._ballast: Path | None = None
        self.quarantined: Path | None = None

    # --- opening and closing ------------------------------------------------------------------

    @classmethod
    def open(cls, path: Path) -> State:
        """Open or create the database at `path`, alone.

        Raises StateBusyError if another process has it, StateNewerError if a newer agent wrote it,
        StorageError if the directory can't be used. A damaged file is renamed to
        `<name>.corrupt-<seconds>` and replaced by an empty one (`quarantined` names it).
        """
        with _storage_errors(path):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _take_lock(path.with_suffix(".lock"))
        try:
            with _storage_errors(path):
                return cls._open_locked(path, lock)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def _open_locked(cls, path: Path, lock: int) -> State:
        quarantined = None
        try:
            connection = _connect(path, checked=_was_closed(path, lock))
        except (sqlite3.Error, UnicodeDecodeError, IsADirectoryError) as error:
            # UnicodeDecodeError: the driver choked on SQLite's message about the damage.
            if isinstance(error, sqlite3.Error) and _is_of_the_disk(error):
                raise
            quarantined = _put_aside(path)
            connection = _connect(path)
        state = cls(connection, lock)
        _write_note(lock, str(os.getpid()))
        state._path = path
        state.quarantined = quarantined
        state._ballast = _ensure_ballast(path.with_suffix(".ballast"))
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
            _prepare(connection)
        return cls(connection, None)

    def close(self) -> None:
        """Close the database and let another process have it."""
        self.connection.close()
        if self._lock is not None:
            if self._path is not None:
                _write_note(self._lock, f"clean {_mark(self._path)}")
            os.close(self._lock)
            self._lock = None

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
            _ensure_ballast(self._ballast)

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


def _is_of_the_disk(error: sqlite3.Error) -> bool:
    """Whether the trouble is the disk's or the directory's, so that a fresh file would not help."""
    primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return primary in {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
    }


def _connect(path: Path, *, checked: bool = False) -> sqlite3.Connection:
    """Open, check and prepare; sqlite3.DatabaseError if the file is damaged.

    `checked`: nothing has touched the file since this agent closed it, so it is not read whole.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # Exclusive: no other process opens it, so no shared-memory file is needed. FULL: a
        # commit is on the disk before anybody is told (durability before acknowledgement).
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 1048576")
        connection.execute("PRAGMA cache_size = -4096")
        damage = "ok"
        if not checked:
            (damage,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        _prepare(connection, str(damage))
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, damage: str = "ok") -> None:
    """Check the content and create what is missing; sqlite3.DatabaseError if it is damaged."""
    if damage != "ok":
        raise sqlite3.DatabaseError(damage)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > SCHEMA_VERSION:
        raise StateNewerError(
            f"the agent's state has schema {version}, this agent knows {SCHEMA_VERSION}: "
            "it was written by a newer agent. Install that version again, or move the state "
            "directory away to start over with a full scan."
        )
    if version == SCHEMA_VERSION:
        # A database whose tables were lost passes quick_check; this does not.
        connection.execute("SELECT 1 FROM meta, place, outbox, batch LIMIT 1").fetchone()
        if connection.execute("SELECT 1 FROM meta WHERE name = 'instance'").fetchone() is None:
            raise sqlite3.DatabaseError("the state has no instance")
        return
    connection.execute("BEGIN IMMEDIATE")
    for statement in _SCHEMA.split(";\n"):
        if statement.strip():
            connection.execute(statement)
    connection.execute("INSERT INTO meta VALUES ('instance', ?)", (secrets.token_bytes(16),))
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _put_aside(path: Path) -> Path:
    """Rename a damaged database and its log; remove what was put aside long ago."""
    aside = path.with_name(f"{path.name}.corrupt-{time.time_ns() // 1_000_000}")
    path.rename(aside)
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    older = sorted(path.parent.glob(f"{path.name}.corrupt-*"))[:-CORRUPT_KEPT]
    for stale in older:
        if stale.is_dir():
            continue
        stale.unlink()
    return aside


def _take_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    if not _lock_soon(descriptor):
        note = _read_note(descriptor)
        holder = note if note.isdigit() else "unknown"
        os.close(descriptor)
        raise StateBusyError(
            f"another keycensus-agent (pid {holder}) uses the state directory {path.parent}: "
            "stop it, or give this one its own --state-dir."
        )
    return descriptor


def _lock_soon(descriptor: int) -> bool:
    """Take the lock; `status` may hold it for a moment, to see whether an agent does."""
    for _ in range(10):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def _read_note(lock: int) -> str:
    return os.pread(lock, 128, 0).decode("ascii", "replace").strip()


def _write_note(lock: int, note: str) -> None:
    """Note in the lock file who holds it, or how the database was left."""
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, note.encode(), 0)
    except OSError as error:
        # The lock holds without the note; a full disk is met later, and told there.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def _mark(path: Path) -> str:
    facts = path.stat()
    return f"{facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def _was_closed(path: Path, lock: int) -> bool:
    """Whether the database is as this agent left it when it last ended in order."""
    note = _read_note(lock)
    log = path.with_name(path.name + "-wal")
    try:
        return not log.exists() and note == f"clean {_mark(path)}"
    except OSError:
        return False


def _ensure_ballast(path: Path) -> Path:
    """Reserve BALLAST_BYTES at `path` unless the disk is too full for it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EOPNOTSUPP, errno.EINVAL):
            raise
        path.unlink(missing_ok=True)
    return path


@contextmanager
def database_errors(where: str = "") -> Iterator[None]:
    """Turn what SQLite says into StorageError; scanned files have no part in it."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise _full(where) from error
        if _is_of_the_disk(error):
            raise StorageError(
                f"the agent's state{where} can't be used: {error}. Check the disk it is on and "
                "who owns its directory."
            ) from error
        raise StateDamagedError(
            f"the agent's state{where} is damaged ({error}). Start the agent again: it puts the "
            "file aside and scans anew; nothing at the collector is lost."
        ) from error


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Turn trouble with the file at `path` into StorageError."""
    where = f" {path}"
    try:
        with database_errors(where):
            yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full(where) from error
        raise StorageError(
            f"the agent's state{where} can't be used: {error.strerror or error}. The directory "
            "must exist on a writable disk and belong to the user that the agent runs as."
        ) from error


def _full(where: str) -> StorageFullError:
    return StorageFullError(
        f"the disk under the agent's state{where} is full: free some space. Nothing that was "
        "acknowledged or stored is lost; the agent goes on from there."
    )
