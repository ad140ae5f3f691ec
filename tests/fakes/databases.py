"""Where a test's store is: in a file, or in a PostgreSQL server that a test run starts once.

A test that uses the fixture `each_database` runs on both; what makes stores asks `new_store`.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from fakes.postgres import ROLE, PostgresServer, running_server

from keycensus_collector.store.engine import Store

PRODUCTS = ("sqlite", "postgresql")

# By the superuser, for whom foreign keys may wait.
_EMPTY = """
DO $$ DECLARE name text; BEGIN
    SET session_replication_role = replica;
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
        IF name NOT IN ('alembic_version', 'removal', 'audit_chain') THEN EXECUTE format('DELETE FROM %I', name); END IF;
    END LOOP;
    UPDATE audit_chain SET last_no = 0, hash = decode(repeat('00', 32), 'hex');
    PERFORM setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S';
END $$
"""


@dataclass
class Databases:
    """The databases of one test process; the server starts when it is first asked for."""

    product: str = "sqlite"
    _closing: ExitStack = field(default_factory=ExitStack)
    _server: PostgresServer | None = None
    _urls: list[str] = field(default_factory=list)
    _file: Path | None = None
    _opened: list[Store] = field(default_factory=list)

    def note(self, store: Store) -> Store:
        """Remember a store, for `close_stores`."""
        self._opened.append(store)
        return store

    def close_stores(self) -> None:
        """Close what tests have left open."""
        while self._opened:
            self._opened.pop().close()

    def copy_file(self, target: Path) -> None:
        """Make an SQLite database with all tables: migrating takes longer than most tests."""
        if self._file is None:
            directory = self._closing.enter_context(tempfile.TemporaryDirectory())
            self._file = Path(directory) / "empty.db"
            Store.create(f"sqlite:///{self._file}").close()
        shutil.copy(self._file, target)

    @property
    def server(self) -> PostgresServer:
        """The server, which runs until `close`."""
        if self._server is None:
            self._server = self._closing.enter_context(running_server())
        return self._server

    def empty_url(self) -> str:
        """Return the address of a PostgreSQL database with all tables, which nobody uses."""
        for url in self._urls:
            superuser = url.replace(f"//{ROLE}@", "//postgres@")
            with psycopg.connect(superuser, autocommit=True) as connection:
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                ).fetchone()
                if row == (1,):
                    connection.execute(_EMPTY)
                    return url
        self._urls.append(self.server.database_with_tables())
        return self._urls[-1]

    def close(self) -> None:
        """Stop the server."""
        self.close_stores()
        self._closing.close()


DATABASES = Databases()


def new_store(directory: Path, name: str = "collector.db") -> Store:
    """Return an open store without rows: `name` in `directory`, or a database of the server's."""
    if DATABASES.product == "postgresql":
        return DATABASES.note(Store.open(DATABASES.empty_url()))
    DATABASES.copy_file(directory / name)
    return DATABASES.note(Store.open(f"sqlite:///{directory}/{name}"))
