"""The state's files on the disk: who holds them, how they were left, what is put aside, spare room.

Runs in the reader, which alone writes the directory. Trouble with it is our own storage's, told as
StorageError; scanned files have no part in it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keycensus_agent.errors import (
    StateBusyError,
    StateDamagedError,
    StorageError,
    StorageFullError,
)

# Put-aside databases that are kept for a look; older ones are removed.
CORRUPT_KEPT = 2
# Freed when the disk is full, so that deleting acknowledged rows can still be written.
BALLAST_BYTES = 1024 * 1024
# What the lock file says of a database that turned out damaged while it was used.
_CONDEMNED = "damaged"


def put_aside(path: Path) -> Path:
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


def take_lock(path: Path) -> int:
    """Return the descriptor of the held lock; StateBusyError if another agent holds it."""
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


def write_note(lock: int, note: str) -> None:
    """Note in the lock file who holds it, or how the database was left."""
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, note.encode(), 0)
    except OSError as error:
        # The lock holds without the note; a full disk is met later, and told there.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise


def write_end(lock: int, path: Path, *, condemned: bool) -> None:
    """Note how the database was left: in order, or to be put aside."""
    write_note(lock, _CONDEMNED if condemned else f"clean {_mark(path)}")


def is_condemned(lock: int) -> bool:
    """Whether whoever held the database last found it damaged."""
    return _read_note(lock) == _CONDEMNED


def _mark(path: Path) -> str:
    facts = path.stat()
    return f"{facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


def was_closed(path: Path, lock: int) -> bool:
    """Whether the database is as this agent left it when it last ended in order."""
    note = _read_note(lock)
    log = path.with_name(path.name + "-wal")
    try:
        return not log.exists() and note == f"clean {_mark(path)}"
    except OSError:
        return False


def ensure_ballast(path: Path) -> Path:
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


def is_of_the_disk(error: sqlite3.Error) -> bool:
    """Whether the trouble is the disk's or the directory's, so that a fresh file would not help."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code == sqlite3.SQLITE_READONLY:
        # It was just opened for writing, so it is not the disk: the header says so.
        return False
    return code & 0xFF in {
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
    }


@contextmanager
def database_errors(where: str = "") -> Iterator[None]:
    """Turn what SQLite says into StorageError; scanned files have no part in it."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
            raise _full(where) from error
        if is_of_the_disk(error):
            raise StorageError(
                f"the agent's state{where} can't be used: {error}. Check the disk it is on and "
                "who owns its directory."
            ) from error
        raise StateDamagedError(
            f"the agent's state{where} is damaged ({error}). Start the agent again: it puts the "
            "file aside and scans anew; nothing at the collector is lost."
        ) from error


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
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
