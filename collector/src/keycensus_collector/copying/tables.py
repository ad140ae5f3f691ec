"""All rows of one database into another, table by table, with counts and digests over both.

Tables and columns are those that the databases have, not those that this program knows: so nothing is
left behind. A digest is SHA-256 over the rows of a table in the order of their key, each value with its
length and kind; equal rows have equal digests in every product.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Inspector,
    MetaData,
    Table,
    func,
    insert,
    inspect,
    select,
    text,
)

from keycensus_collector.errors import StoreError

# What a backup says of itself, beside the tables that it holds.
CONTENTS = "backup_content"
# The revision is each database's own: both are at the newest.
_LEFT_OUT = ("alembic_version", CONTENTS)
_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class Content:
    """What a table holds: how many rows, and the digest over them."""

    rows: int
    digest: bytes


def tables_of(connection: Connection) -> list[Table]:
    """Return a database's tables as they are there, those that others refer to first."""
    inspector = inspect(connection)
    names = [name for name, _ in inspector.get_sorted_table_and_fkc_names() if name]
    metadata = MetaData()
    return [_table(inspector, name, metadata) for name in names if name not in _LEFT_OUT]


def _table(inspector: Inspector, name: str, metadata: MetaData) -> Table:
    """Return a table with its columns by name: the products may have them in different orders."""
    keys = inspector.get_pk_constraint(name)["constrained_columns"]
    columns = sorted(inspector.get_columns(name), key=lambda column: column["name"])
    return Table(
        name,
        metadata,
        *(
            Column(
                each["name"], each["type"], primary_key=each["name"] in keys, autoincrement=False
            )
            for each in columns
        ),
    )


def content_of(connection: Connection, table: Table) -> Content:
    """Read a table and return what it holds."""
    digest, count = hashlib.sha256(), 0
    for row in _rows(connection, table):
        count += 1
        digest.update(_encoded(row))
    return Content(count, digest.digest())


def copy_rows(
    source: Connection, target: Connection, tell: Callable[[str, int], None]
) -> dict[str, Content]:
    """Copy every table into the empty ones of `target`; return what was read, by table.

    Raises StoreError if the two don't have the same tables and columns, or `target` has rows.
    """
    tables, others = tables_of(source), {table.name: table for table in tables_of(target)}
    _check_alike(tables, others)
    for table in others.values():
        _check_empty(target, table)
    contents: dict[str, Content] = {}
    for table in tables:
        contents[table.name] = _copy(source, target, table, others[table.name])
        tell(table.name, contents[table.name].rows)
    if target.dialect.name == "postgresql":
        continue_numbers(target)
    return contents


def check(connection: Connection, contents: dict[str, Content]) -> None:
    """Compare a database with what it should hold; StoreError names the first table that differs."""
    tables = {table.name: table for table in tables_of(connection)}
    if tables.keys() != contents.keys():
        raise StoreError(
            f"the tables {', '.join(sorted(tables.keys() ^ contents.keys()))} are missing or too many"
        )
    for name, wanted in contents.items():
        found = content_of(connection, tables[name])
        if found != wanted:
            raise StoreError(
                f"the table {name} holds {found.rows} rows, should hold {wanted.rows}, and its "
                "digest differs"
            )


def clear(connection: Connection) -> None:
    """Remove the rows that migrations put into new tables."""
    for table in reversed(tables_of(connection)):
        connection.execute(table.delete())


def _copy(source: Connection, target: Connection, table: Table, into: Table) -> Content:
    digest, count = hashlib.sha256(), 0
    names = [column.name for column in table.columns]
    rows = _rows(source, table)
    while group := list(islice(rows, _AT_ONCE)):
        for row in group:
            digest.update(_encoded(row))
        target.execute(insert(into), [dict(zip(names, row, strict=True)) for row in group])
        count += len(group)
    return Content(count, digest.digest())


def _rows(connection: Connection, table: Table) -> Iterator[tuple[Any, ...]]:
    """Yield a table's rows in the order of its key."""
    statement = select(table).order_by(*table.primary_key)
    for row in connection.execute(statement, execution_options={"yield_per": _AT_ONCE}):
        yield tuple(row)


def _encoded(row: tuple[Any, ...]) -> bytes:
    parts = []
    for value in row:
        kind, data = _value(value)
        parts.append(kind + len(data).to_bytes(8, "big") + data)
    return b"".join(parts)


def _value(value: object) -> tuple[bytes, bytes]:
    if value is None:
        return b"-", b""
    if isinstance(value, bytes | memoryview):
        return b"b", bytes(value)
    if isinstance(value, str):
        return b"t", value.encode()
    if isinstance(value, bool | int):
        return b"n", str(int(value)).encode()
    msg = f"a value of the type {type(value).__name__} has no encoding here"
    raise StoreError(msg)


def _check_alike(tables: list[Table], others: dict[str, Table]) -> None:
    here = {table.name: {column.name for column in table.columns} for table in tables}
    there = {name: {column.name for column in table.columns} for name, table in others.items()}
    if here != there:
        differing = sorted(
            name for name in here.keys() | there.keys() if here.get(name) != there.get(name)
        )
        raise StoreError(f"the databases differ in the tables {', '.join(differing)}")


def _check_empty(target: Connection, table: Table) -> None:
    if target.execute(select(func.count()).select_from(table)).scalar_one():
        raise StoreError(f"the target has rows already (table {table.name}); nothing was changed")


def continue_numbers(target: Connection) -> None:
    """Let identity columns go on behind the highest number that was copied."""
    owned = target.execute(
        text(
            "SELECT t.relname, a.attname, s.oid::regclass::text FROM pg_class s"
            " JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')"
            " JOIN pg_class t ON t.oid = d.refobjid"
            " JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid"
            " JOIN pg_namespace n ON n.oid = s.relnamespace"
            " WHERE s.relkind = 'S' AND n.nspname = current_schema() ORDER BY 1"
        )
    ).all()
    found = {table.name: table for table in tables_of(target)}
    for table, column, sequence in owned:
        highest = target.execute(select(func.max(found[table].c[column]))).scalar()
        if highest is not None:
            target.execute(
                text("SELECT setval(CAST(:name AS regclass), :number)"),
                {"name": sequence, "number": highest},
            )
