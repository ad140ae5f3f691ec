"""Read tables of an SQLite database that a stranger wrote, from memory, and nothing but tables.

Parser side, under its filter: SQLite gets the bytes, never a file. It is told to run no function, view,
trigger, virtual table or extension, and its work is counted; a page that is damaged costs the rows
on it. Import it before the filter: it loads a library. Source: sqlite.org/security.html, sqlite3_deserialize.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

# Longest value, in bytes: a CRL of a big authority.
_VALUE_LIMIT = 4 * 1024 * 1024
# Steps of SQLite's machine for one file, and how many are done between two looks at the count: reading a
# row of a hundred columns takes some 10.
_STEPS = 20_000_000
_STEPS_AT_ONCE = 10_000
_ROWS = 100_000
# Read and write version in a database's header: 2 says that a journal file lies beside it.
_JOURNAL_AT, _NO_JOURNAL = 18, b"\1\1"

Row = dict[str, bytes]


class DatabaseError(ValueError):
    """The bytes can't be read as a database; `str()` is the stable reason."""


class Table:
    """The rows of one table, as far as they can be read; `damaged` tells whether some could not."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.damaged = False


def read_tables(data: bytes, wanted: Mapping[str, Sequence[str]]) -> dict[str, Table]:
    """Return the tables of `wanted` that are there, each with those of its columns that are there.

    Values are bytes, and text as UTF-8; columns that are NULL or numbers are left out of their row.
    DatabaseError if not even the list of tables can be read, or if this Python's SQLite (before 3.36, by
    how it was built) reads no database from memory.
    """
    if not hasattr(sqlite3.Connection, "deserialize"):
        raise DatabaseError("unsupported-sqlite")
    try:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            _restrict(connection)
            connection.deserialize(data[:_JOURNAL_AT] + _NO_JOURNAL + data[_JOURNAL_AT + 2 :])
            connection.set_authorizer(_only_tables)
            found = _ordinary_tables(connection)
            return {
                name: _read(connection, name, columns)
                for name, columns in wanted.items()
                if name in found
            }
    # UnicodeError: SQLite's messages quote names of the file, and Python decodes them.
    except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
        if isinstance(error, sqlite3.OperationalError) and "memory" in str(error):
            raise MemoryError from None
        raise DatabaseError("malformed-database") from None


def _restrict(connection: sqlite3.Connection) -> None:
    connection.text_factory = bytes
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")
    connection.execute("PRAGMA temp_store=MEMORY")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _VALUE_LIMIT)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    left = _STEPS // _STEPS_AT_ONCE

    def count_down() -> int:
        nonlocal left
        left -= 1
        return 1 if left < 0 else 0

    connection.set_progress_handler(count_down, _STEPS_AT_ONCE)


def _only_tables(
    action: int,
    table: str | None,
    _column: str | None,
    _database: str | None,
    origin: str | None,
) -> int:
    """Let SQLite read columns of tables, if no view or trigger asks for them."""
    del table
    read = action in {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ} and origin is None
    return sqlite3.SQLITE_OK if read else sqlite3.SQLITE_DENY


def _ordinary_tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT type, name, sql FROM sqlite_master")
    found: set[str] = set()
    for kind, name, sql in rows.fetchmany(_ROWS):
        if kind == b"table" and isinstance(sql, bytes) and _is_plain(sql):
            found.add(bytes(name).decode("utf-8", "replace"))
    return found


def _is_plain(sql: bytes) -> bool:
    """Tell whether a table is one, and all of its columns are stored: none has an expression."""
    return sql[:13].upper() == b"CREATE TABLE " and sql.count(b"(") == 1


def _read(connection: sqlite3.Connection, name: str, columns: Sequence[str]) -> Table:
    table = Table()
    # Names come from callers of ours alone.
    head = connection.execute(f"SELECT * FROM {name} LIMIT 0")  # noqa: S608 - as said
    there = {str(field[0]) for field in head.description}
    present = [column for column in columns if column in there]
    # Around a damaged page: from the front, then from the back.
    for order in ("ASC", "DESC"):
        query = f"SELECT {', '.join(present)} FROM {name} ORDER BY rowid {order}"  # noqa: S608 - as said
        try:
            table.rows.extend(_rows(connection, query, present))
        except sqlite3.DatabaseError:
            table.damaged = True
        else:
            break
    return table


def _rows(connection: sqlite3.Connection, query: str, columns: Sequence[str]) -> Iterator[Row]:
    for count, values in enumerate(connection.execute(query), 1):
        yield {
            column: value
            for column, value in zip(columns, values, strict=True)
            if isinstance(value, bytes)
        }
        if count >= _ROWS:
            return
