"""The store: one database, one writer, several readers, and the rules by which they share it.

Everything that the collector keeps is reached through a `Store`. Readers see a snapshot and never
wait; writes happen one after another, each a transaction that is on disk when `write()` returns.
Work for the event loop goes through `run_read` and `run_write`, which use threads of the store's
own. What is particular to one database product stands in `sqlite` and `postgresql`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Self, TypeVar, cast

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect

from keycensus_collector.errors import StoreAgainError, StoreError, StoreNewerError
from keycensus_collector.store.address import CACHE_MIB, is_postgresql
from keycensus_collector.store.product import Product
from keycensus_collector.store.revisions import (
    MIGRATIONS,
    RevisionStatus,
    revision_status,
    upgrade,
)
from keycensus_collector.store.sqlite import Sqlite, create_file, database_path
from keycensus_collector.store.writing import WriteThread

_Result = TypeVar("_Result")

_READERS = 4
# How often a transaction is tried that the database gave up before its end, and seconds between.
_TRIES = 4
_TRY_AGAIN_SECONDS = 0.2


# How long a read for what runs in this context may take; None: as long as it does. People's port sets
# it, since any query can be asked there, and each read holds one of a few threads.
read_seconds: ContextVar[float | None] = ContextVar("read_seconds", default=None)


def upsert(connection: Connection, table: Table) -> sqlite_dialect.Insert:
    """Return an INSERT for the connection's database that takes `on_conflict_do_update/_nothing`.

    Both products spell it alike; the static type is SQLite's.
    """
    if connection.dialect.name == "postgresql":
        return cast("sqlite_dialect.Insert", postgresql.insert(table))
    return sqlite_dialect.insert(table)


class Store:
    """One open database. Use `create` or `open`; close it, or use it as a context manager."""

    def __init__(self, product: Product) -> None:
        self._product = product
        # What messages call the database: a file, or an address without secrets.
        self.name = product.name
        # Whether other collectors may have it, too.
        self.is_shared = product.is_shared
        # Whether the last write that was tried is on disk: what `health` tells who watches us.
        self.can_write = True
        self._write_lock = threading.Lock()
        self._write_thread = WriteThread()
        self._read_threads = ThreadPoolExecutor(_READERS, thread_name_prefix="store-read")

    @classmethod
    def create(cls, url: str, *, migrations: Path = MIGRATIONS) -> Store:
        """Make all tables in a new database at `url`; StoreError if there are any already.

        SQLite's file is made, PostgreSQL's database is there and empty.
        """
        if not is_postgresql(url):
            create_file(database_path(url))
        store = cls(_product(url))
        try:
            store._check_unused(migrations)
            store._migrate(migrations)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def open(
        cls,
        url: str,
        *,
        upgrade: bool = False,
        migrations: Path = MIGRATIONS,
        cache_mib: int = CACHE_MIB,
    ) -> Store:
        """Open the database at `url`.

        An older database is an error that names `db upgrade`, or with `upgrade` is copied beside
        itself (SQLite) and brought up to date. Raises StoreNewerError for one of a newer program,
        StoreBusyError if another process holds it (SQLite), StoreError if it is missing or damaged.
        """
        store = cls(_existing(url, cache_mib))
        try:
            store._bring_up_to_date(migrations, may_upgrade=upgrade)
        except BaseException:
            store.close()
            raise
        return store

    @classmethod
    def revision_of(cls, url: str) -> RevisionStatus:
        """Return the revision of a database, whatever it is; see `open`."""
        return cls.peek(url, revision_status)

    @classmethod
    def peek(cls, url: str, function: Callable[[Connection], _Result]) -> _Result:
        """Run `function` with a reading connection to a database of whatever revision."""
        with cls(_existing(url)) as store, store.read() as connection:
            return function(connection)

    def revision(self, migrations: Path = MIGRATIONS) -> RevisionStatus:
        """Return the database's revision beside this program's newest."""
        with self.read() as connection:
            return revision_status(connection, migrations)

    def _check_unused(self, migrations: Path) -> None:
        if self.revision(migrations).current:
            raise StoreError(f"{self.name} is in use already; nothing was changed")

    def _bring_up_to_date(self, migrations: Path, *, may_upgrade: bool) -> None:
        status = self.revision(migrations)
        if not status.known:
            raise StoreNewerError(
                f"{self.name} was made by a newer keycensus-collector (revision {status.current}, "
                f"this program knows up to {status.newest}); nothing was changed. Install that "
                "version again, or restore the backup from before its upgrade"
            )
        if not status.current:
            raise StoreError(
                f"{self.name} is no keycensus database, or its creation did not finish; move it "
                "away and run: keycensus-collector init"
            )
        if status.is_newest:
            return
        if not may_upgrade:
            raise StoreError(
                f"{self.name} is at revision {status.current}, this program needs {status.newest}; "
                "run: keycensus-collector db upgrade"
            )
        self._product.keep_copy(status.newest)
        self._migrate(migrations)

    def _migrate(self, migrations: Path) -> None:
        with self.write() as connection:
            upgrade(connection, migrations)
            self._product.after_upgrade(connection)

    def complete(self) -> None:
        """Make what an upgrade could not make then: indexes that need an extension, for instance."""
        with self.write() as connection:
            self._product.after_upgrade(connection)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a connection that can only read, in a transaction that sees one snapshot."""
        with self._product.mapped_errors(), self._product.reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give the writing connection: committed when the block ends, rolled back if it raises.

        Others wait meanwhile, so nothing slow belongs inside. Not to be nested.
        """
        with self._write_lock:
            try:
                with self._product.mapped_errors(), self._product.writer.begin() as connection:
                    yield connection
            except StoreError:
                self.can_write = False
                raise
            self.can_write = True

    async def run_read(self, function: Callable[[Connection], _Result]) -> _Result:
        """Run `function` with a reading connection in a thread of the store's.

        StoreSlowError if it takes longer than `read_seconds`, where that is set.
        """
        seconds = read_seconds.get()

        def work() -> _Result:
            with self.read() as connection:
                if seconds is None:
                    return function(connection)
                with self._product.limited(connection, seconds):
                    return function(connection)

        return await asyncio.get_running_loop().run_in_executor(self._read_threads, work)

    async def run_write(
        self,
        function: Callable[[Connection], _Result],
        *,
        urgent: bool = False,
        asker: Hashable = None,
        once: bool = False,
    ) -> _Result:
        """Run `function` with the writing connection in the store's writing thread.

        When this returns, the transaction is on disk. `urgent` goes before what only waits; of that,
        each `asker` gets the same share of the time. A
        caller that is cancelled stops nothing that has begun: it is committed or rolled back as if
        nobody had asked for the result. `function` is called again if the database gave up on its
        transaction (PostgreSQL: a fail-over, a deadlock), so it changes nothing but the database;
        not if `once`.
        """

        def work() -> _Result:
            return self._write_again(function, 1 if once else _TRIES)

        return await asyncio.wrap_future(
            self._write_thread.submit(work, urgent=urgent, asker=asker)
        )

    def _write_again(self, function: Callable[[Connection], _Result], tries: int) -> _Result:
        """Run `function` in a transaction, and anew if that ended before all of it was done.

        Once all was done the commit may have reached the disk, whatever became of its answer: that
        is for the caller to find out.
        """
        for left in reversed(range(tries)):
            is_done = False
            try:
                with self.write() as connection:
                    result = function(connection)
                    is_done = True
            except StoreAgainError:
                if is_done or not left:
                    raise
                time.sleep(_TRY_AGAIN_SECONDS)
            else:
                return result
        raise AssertionError  # the last try returned or raised

    def close(self) -> None:
        """Finish what is running, close every connection, and let others have the database."""
        self._write_thread.close()
        self._read_threads.shutdown(wait=True)
        self._product.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _existing(url: str, cache_mib: int = CACHE_MIB) -> Product:
    """Open a database that is there; StoreError names `init` if there is none."""
    if not is_postgresql(url):
        path = database_path(url)
        if not path.exists():
            raise StoreError(f"there is no database at {path}; run: keycensus-collector init")
    return _product(url, cache_mib)


def _product(url: str, cache_mib: int = CACHE_MIB) -> Product:
    if not is_postgresql(url):
        return Sqlite(url, _READERS, cache_mib)
    # Here, because its driver takes as long to load as a command does to run.
    from keycensus_collector.store.postgresql import PostgreSql

    return PostgreSql(url, _READERS)
