"""Bare SQL for the intake's budget: reads rows that intake wrote, and writes them with nothing but `executemany`.

SQLite in a file of its own with the collector's pragmas, or PostgreSQL in a database of its own with `synchronous_commit`
as the server has it, each row a row of one `executemany` a table, one commit for each transaction of intake's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psycopg
from fakes.postgres import PostgresServer
from psycopg import sql

Rows = list[tuple[str, list[tuple[Any, ...]]]]  # by table

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA cache_size = -65536",
    "PRAGMA mmap_size = 0",
)


class Writer(Protocol):
    """Writes transactions, each of them rows by table."""

    def write(self, tables: Rows) -> None:
        """Write one transaction."""


class Database(Protocol):
    """One fresh database; `url` is how the collector calls it."""

    url: str

    def rows_of(self, table: str) -> list[tuple[Any, ...]]:
        """Return all rows of a table in the order of writing."""

    def writer(self) -> AbstractContextManager[Writer]:
        """Give what writes to it."""


class SqliteDatabase:
    """A file in `directory`."""

    # Tables without numbers of rows, in the order of what they belong to, or in none: hashes are written as they come.
    _ORDERS = {
        "manifest_entry": "(SELECT m.rowid FROM manifest m WHERE m.hash = manifest), position",
        "holding": "substr(artifact, 9)",
    }

    def __init__(self, directory: Path) -> None:
        self._path = directory / "intake.db"
        self.url = f"sqlite:///{self._path}"

    def rows_of(self, table: str) -> list[tuple[Any, ...]]:
        """Return all rows of a table in the order of writing."""
        order = self._ORDERS.get(table, "rowid")
        with closing(sqlite3.connect(self._path)) as database:
            statement = f'SELECT * FROM "{table}" ORDER BY {order}'  # noqa: S608 - our own names
            return database.execute(statement).fetchall()

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Give a connection with the collector's pragmas."""
        with closing(sqlite3.connect(self._path, isolation_level=None)) as database:
            for pragma in _PRAGMAS:
                database.execute(pragma)
            yield _SqliteWriter(database)


class _SqliteWriter:
    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def write(self, tables: Rows) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        for table, rows in tables:
            if rows:
                marks = ",".join("?" * len(rows[0]))
                statement = f'INSERT INTO "{table}" VALUES ({marks})'  # noqa: S608 - our own names
                self._database.executemany(statement, rows)
        self._database.execute("COMMIT")


class PostgresDatabase:
    """A new database of `server`."""

    def __init__(self, server: PostgresServer) -> None:
        self.url = server.new_database()

    def rows_of(self, table: str) -> list[tuple[Any, ...]]:
        """Return all rows of a table in the order of writing."""
        with psycopg.connect(self.url) as connection:
            statement = sql.SQL("SELECT * FROM {} ORDER BY ctid").format(sql.Identifier(table))
            return connection.execute(statement).fetchall()

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """Give a connection."""
        with psycopg.connect(self.url) as connection:
            yield _PostgresWriter(connection)


class _PostgresWriter:
    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def write(self, tables: Rows) -> None:
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for table, rows in tables:
                if rows:
                    marks = sql.SQL(",").join([sql.Placeholder()] * len(rows[0]))
                    statement = sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE VALUES ({})")
                    cursor.executemany(statement.format(sql.Identifier(table), marks), rows)


def transactions(database: Database, tables: Sequence[str], pieces: int) -> list[Rows]:
    """Return the rows of the tables in the order of writing, cut into as many transactions."""
    cut: list[Rows] = [[] for _ in range(pieces)]
    for table in tables:
        rows = database.rows_of(table)
        size = -(-len(rows) // pieces)
        for at in range(pieces):
            cut[at].append((table, rows[at * size : (at + 1) * size]))
    return cut
