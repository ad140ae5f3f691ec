"""What is particular to SQLite: files and their modes, the lock, connections, error codes, backup.

Everything else of the store is plain SQL that PostgreSQL understands too. One process at a time
holds a database (a lock file beside it), one connection of it writes, the others are query-only:
SQLite before 3.51.3 can corrupt a WAL that two connections write or checkpoint at once.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from keycensus_collector.errors import StoreBusyError, StoreError, StoreFullError, StoreSlowError
from keycensus_collector.store.address import CACHE_MIB

# The first version without the WAL-reset bug; `doctor` warns below it.
FIXED_VERSION = (3, 51, 3)

# Pages in the WAL before the writer checkpoints: 8 MiB, several full batches.
_CHECKPOINT_PAGES = 2000
_WAL_KEPT_BYTES = 64 * 1024 * 1024
# Of the virtual machine, between looks at the time: some hundred looks a second, which cost nothing.
_STEPS = 100_000
# Only a checkpoint or a reader that starts can hold a lock inside one process, for moments.
_BUSY_MS = 10_000

_SHARED = ("PRAGMA foreign_keys = ON", f"PRAGMA busy_timeout = {_BUSY_MS}", "PRAGMA mmap_size = 0")
_WRITER = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # an acknowledged batch survives a power cut
    f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}",
    f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}",
)
_READER = ("PRAGMA query_only = ON", "PRAGMA wal_autocheckpoint = 0")


def database_path(url: str) -> Path:
    """Return the file of a `sqlite:////path` address; StoreError if it names none."""
    database = _parsed(url).database
    if not database or database == ":memory:":
        raise StoreError(f"{url}: name a file, as in sqlite:////var/lib/keycensus-collector/db")
    return Path(database).absolute()


def _parsed(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError:
        raise StoreError(
            "the database address can't be read; write it as sqlite:////absolute/path or "
            "postgresql://USER@HOST/DATABASE"
        ) from None
    if address.get_backend_name() != "sqlite":
        raise StoreError(
            f"{address.get_backend_name()} databases are not supported; "
            "use sqlite:////absolute/path or postgresql://USER@HOST/DATABASE"
        )
    return address


class Sqlite:
    """A database file, which this process alone holds."""

    is_shared = False

    def __init__(self, url: str, readers: int, cache_mib: int = CACHE_MIB) -> None:
        self._path = database_path(url)
        self.name = str(self._path)
        self._lock = Lock(self._path)
        self._lock.take()
        self.writer = writer_engine(_parsed(url), cache_mib)
        self.reader = reader_engine(_parsed(url), readers, cache_mib)

    def mapped_errors(self) -> AbstractContextManager[None]:
        """Turn the driver's errors into the collector's, each with what to do."""
        return mapped_errors(self._path)

    @contextmanager
    def limited(self, connection: Connection, seconds: float) -> Iterator[None]:
        """End what a reading connection does after a time, with StoreSlowError."""
        driver = connection.connection.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise TypeError(type(driver))
        until = time.monotonic() + seconds
        driver.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
        try:
            yield
        finally:
            driver.set_progress_handler(None, 0)

    def keep_copy(self, newest: str) -> None:
        """Copy the file beside itself, unless that was done for the same upgrade."""
        copy = self._path.with_name(f"{self._path.name}.before-{newest}")
        if not copy.exists():
            back_up(self._path, copy)

    def after_upgrade(self, connection: Connection) -> None:
        """Nothing: SQLite's text is in the order of its bytes as it is."""
        del connection

    def close(self) -> None:
        """Close every connection and release the lock."""
        self.reader.dispose()
        self.writer.dispose()
        self._lock.release()


# `hide_parameters`, for both: an error's text may reach a log, what stands in rows must not.
def writer_engine(url: URL, cache_mib: int) -> Engine:
    """Return an engine with the one connection that writes; each transaction is BEGIN IMMEDIATE."""
    engine = create_engine(url, pool_size=1, max_overflow=0, hide_parameters=True)
    _prepare(engine, (*_SHARED, *_WRITER, _cache(cache_mib * 1024)), "BEGIN IMMEDIATE")
    return engine


def reader_engine(url: URL, connections: int, cache_mib: int) -> Engine:
    """Return an engine whose connections can't write; each transaction is one snapshot.

    Each has half the writer's cache: what one read, the others read from the kernel's.
    """
    engine = create_engine(
        url, pool_size=connections, max_overflow=connections, hide_parameters=True
    )
    _prepare(engine, (*_SHARED, *_READER, _cache(cache_mib * 512)), "BEGIN")
    return engine


def _cache(kib: int) -> str:
    return f"PRAGMA cache_size = -{kib}"


def _prepare(engine: Engine, pragmas: tuple[str, ...], begin: str) -> None:
    """Set up each new connection, and begin transactions ourselves.

    Python's driver would begin one late and not for every statement (SQLAlchemy, "Enabling
    Non-Legacy SQLite Transactional Modes").
    """

    def connected(dbapi_connection: sqlite3.Connection, _record: object) -> None:
        dbapi_connection.isolation_level = None
        for pragma in pragmas:
            dbapi_connection.execute(pragma)

    def began(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", began)


def create_file(path: Path) -> None:
    """Make an empty database file for its owner alone, and its directory where there is none."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        raise StoreError(f"{path} is there already; nothing was changed") from None
    except OSError as error:
        raise StoreError(
            f"{path} can't be made: {error.strerror}; check owner and mode of {path.parent}"
        ) from error


class Lock:
    """The lock file `<database>.lock`: whoever holds it is the one process of this database."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._descriptor = -1

    def take(self) -> None:
        """Take the lock and write our process id into it; StoreBusyError names who has it."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"{self._path} can't be opened: {error.strerror}; run this as the database's owner"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreBusyError(
                f"{self._path.with_suffix('')} is in use by process {holder}; stop that process, "
                "or use the commands of the running server"
            ) from None
        with suppress(OSError):  # a full disk must not keep the server from starting
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; a second time does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def back_up(source: Path, target: Path) -> None:
    """Copy a database that nobody writes to into the new file `target`, mode 0600."""
    create_file(target)
    try:
        with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
            old.backup(new)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise StoreError(f"{source} can't be copied to {target}: {error}") from error


def copy_open_database(connection: Connection, target: Path) -> None:
    """Copy the database of an open connection into the new file `target`, as that sees it.

    Others go on to read and write meanwhile.
    """
    create_file(target)
    source = connection.connection.driver_connection
    if not isinstance(source, sqlite3.Connection):
        raise StoreError("only an SQLite database is one file")
    try:
        with closing(sqlite3.connect(target)) as new:
            source.backup(new)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise StoreError(f"the database can't be copied to {target}: {error}") from error


def check_file(connection: Connection) -> None:
    """Look at every page of a database; StoreError says what is damaged."""
    found = connection.exec_driver_sql("PRAGMA integrity_check").scalar()
    if found != "ok":
        raise StoreError(str(found))


@contextmanager
def mapped_errors(path: Path) -> Iterator[None]:
    """Turn the driver's errors about `path` into the collector's, each with what to do."""
    try:
        yield
    except DBAPIError as error:
        if not isinstance(error.orig, sqlite3.Error):
            raise
        mapped = _mapped(error.orig, path)
        if mapped is None:
            raise
        raise mapped from error
    except sqlite3.Error as error:
        raise _mapped(error, path) or StoreError(f"{path}: {error}") from error


def _mapped(error: sqlite3.Error, path: Path) -> StoreError | None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # absent on ProgrammingError and the like
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path.parent)):
        return StoreFullError(
            f"the file system of {path} is full; nothing was committed. Make room: what agents "
            "report is kept on their hosts until then"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreError(
            f"{path} is damaged or no database ({error}); keep the file, put a backup in its "
            "place, and start again: agents notice and report anew what the backup lacks"
        )
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return StoreError(
            f"{path} can't be opened for writing ({error}); check its owner and mode, and those "
            f"of {path.parent}"
        )
    if code not in _TROUBLE:
        return None
    kind, text = _TROUBLE[code]
    return kind(text.format(path=path, error=error))


_TROUBLE: dict[int, tuple[type[StoreError], str]] = {
    sqlite3.SQLITE_BUSY: (
        StoreBusyError,
        "{path} is locked by another program; find it with: fuser -v {path}",
    ),
    sqlite3.SQLITE_INTERRUPT: (StoreSlowError, "a read took longer than it may, and was ended"),
    sqlite3.SQLITE_IOERR: (
        StoreError,
        "reading or writing {path} failed ({error}); check the disk: dmesg",
    ),
}


def _is_full(directory: Path) -> bool:
    try:
        state = os.statvfs(directory)
    except OSError as error:
        return error.errno == errno.ENOSPC
    return state.f_bavail * state.f_frsize < 64 * 1024 or (state.f_files > 0 and state.f_favail < 1)
