"""Rows into tables by the hundred thousand: COPY into PostgreSQL, executemany into SQLite."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Column, Connection, Table

from keycensus_collector.store import schema

_AT_ONCE = 50_000


def _empty(column: Column[Any]) -> Any:  # noqa: ANN401 - any column
    if column.nullable:
        return None
    empty: dict[str, Any] = {"str": "", "int": 0, "bytes": b"", "bool": False}
    return empty[column.type.python_type.__name__]


class Writer:
    """Collects rows as mappings or tuples in the order of `columns`, and writes them by thousands."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
        self._columns: dict[str, list[str]] = {}
        self._empty: dict[str, dict[str, Any]] = {}
        self._waiting = 0
        self.written = 0

    def columns(self, table: Table) -> list[str]:
        """Return the columns that are written: all but the number that the database gives."""
        if table.name not in self._columns:
            given = {"version_no", "past_no"}
            self._columns[table.name] = [c.name for c in table.columns if c.name not in given]
        return self._columns[table.name]

    def put(self, table: Table, **values: Any) -> None:  # noqa: ANN401 - any column
        """Add a row; what is not named is null, or empty where that can't be."""
        if table.name not in self._empty:
            self._empty[table.name] = {name: _empty(table.c[name]) for name in self.columns(table)}
        row = self._empty[table.name] | values
        self.put_tuple(table, tuple(row[name] for name in self.columns(table)))

    def put_tuple(self, table: Table, row: tuple[Any, ...]) -> None:
        """Add a row in the order of `columns`."""
        self._rows[table.name].append(row)
        self._waiting += 1

    def flush_if_full(self) -> None:
        """Write what is collected if it is much: where nothing refers to what is not put yet."""
        if self._waiting >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is collected, what others refer to first."""
        for table in schema.metadata.sorted_tables:
            rows = self._rows.pop(table.name, None)
            if rows:
                self._write(table, rows)
                self.written += len(rows)
        self._waiting = 0

    def _write(self, table: Table, rows: list[tuple[Any, ...]]) -> None:
        names = ", ".join(f'"{name}"' for name in self.columns(table))
        driver = self._connection.connection.driver_connection
        assert driver is not None
        if self._connection.dialect.name == "postgresql":
            with driver.cursor().copy(f'COPY "{table.name}" ({names}) FROM STDIN') as copy:
                for row in rows:
                    copy.write_row(row)
            return
        places = ", ".join("?" * len(self.columns(table)))
        driver.executemany(f'INSERT INTO "{table.name}" ({names}) VALUES ({places})', rows)  # noqa: S608 - our own names
