"""The store: one database, one writer, several readers, and the rules by which they share it.

Everything that the collector keeps is reached through a `Store`. Readers see a snapshot and never
wait; writes happen one after another, each a transaction that is on disk when `write()` returns.
Work for the event loop goes through `run_read` and `run_write`, which use threads of the store's
own. What is particular to one database product stands in `sqlite`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Self, TypeVar, cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from keycensus_collector.errors import StoreError, StoreNewerError
from keycensus_collector.store import sqlite
from keycensus_collector.store.revisions import (
    MIGRATIONS,
    RevisionStatus,
    revision_status,
    upgrade,
)
from keycensus_collector.store.writing import WriteThread

_Result = TypeVar("_Result")

_READERS = 4


def upsert(connection: Connection, table: Table) -> sqlite_dialect.Insert:
    """Return an INSERT for the connection's database that takes `on_conflict_do_update/_nothing`.

    Both products spell it alike; the static type is SQLite's.
    """
    if connection.dialect.name == "postgresql":
        return cast("sqlite_dialect.Insert", postgresql.insert(table))
    return sqlite_dialect.insert(table)


class Store:
    """One open database. Use `create` or `open`; close it, or use it as a context manager."""

    def __init__(self, url: URL) -> None:
        self.path = sqlite.database_path(url)
        self._lock = sqlite.Lock(self.path)
        self._lock.take()
        self._writer = sqlite.writer_engine(url)
        self._reader = sqlite.reader_engine(url, _READERS)
        # Whether the last write that was tried is on disk: what `health` tells who watches us.
        self.can_write = True
        self._write_lock = threading.Lock()
        self._write_thread = WriteThread()
        self._read_threads = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")

    @classmethod
    def create(cls, url: str, *, migrations: Path = MIGRATIONS) -> Store:
        """Make a new database at `url`, with all tables; StoreError if there is one already."""
        address = _parsed(url)
        sqlite.create_file(sqlite.database_path(address))
        store = cls(address)
        try:
            store._migrate(migrations)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(cls, url: str, *, upgrade: bool = False, migrations: Path = MIGRATIONS) -> Store:
        """Open the database at `url`.

        An older database is an error that names `db upgrade`, or with `upgrade` is copied beside
        itself and brought up to date. Raises StoreNewerError for one of a newer program,
        StoreBusyError if another process holds it, StoreError if it is missing or damaged.
        """
        address = _parsed(url)
        path = sqlite.database_path(address)
        if not path.exists():
            raise StoreError(f"there is no database at {path}; run: keycensus-collector init")
        store = cls(address)
        try:
            store._bring_up_to_date(migrations, may_upgrade=upgrade)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def revision_of(cls, url: str) -> RevisionStatus:
        """Return the revision of a database that nobody uses, whatever it is; see `open`."""
        address = _parsed(url)
        path = sqlite.database_path(address)
        if not path.exists():
            raise StoreError(f"there is no database at {path}; run: keycensus-collector init")
        with cls(address) as store:
            return store.revision()

    def revision(self, migrations: Path = MIGRATIONS) -> RevisionStatus:
        """Return the database's revision beside this program's newest."""
        with self.read() as connection:
            return revision_status(connection, migrations)

    def _bring_up_to_date(self, migrations: Path, *, may_upgrade: bool) -> None:
        status = self.revision(migrations)
        if not status.known:
            raise StoreNewerError(
                f"{self.path} was made by a newer keycensus-collector (revision {status.current}, "
                f"this program knows up to {status.newest}); nothing was changed. Install that "
                "version again, or restore the backup from before its upgrade"
            )
        if not status.current:
            raise StoreError(
                f"{self.path} is no keycensus database, or its creation did not finish; move it "
                "away and run: keycensus-collector init"
            )
        if status.is_newest:
            return
        if not may_upgrade:
            raise StoreError(
                f"{self.path} is at revision {status.current}, this program needs {status.newest}; "
                "run: keycensus-collector db upgrade"
            )
        copy = self.path.with_name(f"{self.path.name}.before-{status.newest}")
        if not copy.exists():
            sqlite.back_up(self.path, copy)
        self._migrate(migrations)

    def _migrate(self, migrations: Path) -> None:
        with self.write() as connection:
            upgrade(connection, migrations)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that can only read, in a transaction that sees one snapshot."""
        with sqlite.mapped_errors(self.path), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give the writing connection: committed when the block ends, rolled back if it raises.

        Others wait meanwhile, so nothing slow belongs inside. Not to be nested.
        """
        with self._write_lock:
            try:
                with sqlite.mapped_errors(self.path), self._writer.begin() as connection:
                    yield connection
            except StoreError:
                self.can_write = False
                raise
            self.can_write = True

    async def run_read(self, function: Callable[[Connection], _Result]) -> _Result:
        """Run `function` with a reading connection in a thread of the store's."""

        def work() -> _Result:
            with self.read() as connection:
                return function(connection)

        return await asyncio.get_running_loop().run_in_executor(self._read_threads, work)

    async def run_write(
        self,
        function: Callable[[Connection], _Result],
        *,
        urgent: bool = False,
        asker: Hashable = None,
    ) -> _Result:
        """Run `function` with the writing connection in the store's writing thread.

        When this returns, the transaction is on disk. `urgent` goes before what only waits; of that,
        each `asker` gets the same share of the time. A
        caller that is cancelled stops nothing that has begun: it is committed or rolled back as if
        nobody had asked for the result.
        """

        def work() -> _Result:
            with self.write() as connection:
                return function(connection)

        return await asyncio.wrap_future(
            self._write_thread.submit(work, urgent=urgent, asker=asker)
        )

    def close(self) -> None:
        """Finish what is running, close every connection, and let others have the database."""
        self._write_thread.close()
        self._read_threads.shutdown(wait=True)
        self._reader.dispose()
        self._writer.dispose()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _parsed(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError:
        raise StoreError(
            "the database address can't be read; write it as sqlite:////absolute/path"
        ) from None
    if address.get_backend_name() != "sqlite":
        raise StoreError(
            f"{address.get_backend_name()} databases are not supported by this version; "
            "use sqlite:////absolute/path"
        )
    return address
