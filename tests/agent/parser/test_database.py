from __future__ import annotations

import sqlite3

import pytest
from fixtures.build_fixtures import FILES

from keycensus_agent.parser import database
from keycensus_agent.parser.database import DatabaseError, read_tables

WANTED = {"nssPublic": ("a0", "a11", "a3", "missing")}


def made(*statements: str) -> bytes:
    connection = sqlite3.connect(":memory:")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    return connection.serialize()


def values(data: bytes) -> list[dict[str, bytes]]:
    table = read_tables(data, WANTED).get("nssPublic")
    return table.rows if table else []


def test_columns_that_are_there_are_read_as_bytes_and_others_left_out() -> None:
    data = made(
        "CREATE TABLE nssPublic (id, a0, a11, a3)",
        "INSERT INTO nssPublic VALUES (1, x'0001', NULL, 'text')",
        "INSERT INTO nssPublic VALUES (2, 7, x'ff', 0.5)",
    )
    assert values(data) == [{"a0": b"\0\1", "a3": b"text"}, {"a11": b"\xff"}]
    assert read_tables(data, {"other": ("a",)}) == {}


def test_a_database_with_a_journal_beside_it_is_read_as_it_is() -> None:
    data = bytearray((FILES / "cert9.db").read_bytes())
    data[18:20] = b"\2\2"
    assert len(read_tables(bytes(data), WANTED)["nssPublic"].rows) > 3


@pytest.mark.parametrize(
    "trap",
    [
        "CREATE VIEW nssPublic AS SELECT 1 AS a0, x'00' AS a11",
        "CREATE VIEW nssPublic AS WITH RECURSIVE c(a0) AS (VALUES(1) UNION ALL SELECT 1) SELECT a0 FROM c",
        "CREATE VIRTUAL TABLE nssPublic USING fts5(a0, a11)",
        "CREATE TABLE other (a0)",
    ],
)
def test_views_and_virtual_tables_are_not_looked_at(trap: str) -> None:
    assert values(made(trap)) == []


def test_tables_with_columns_that_compute_something_are_not_looked_at() -> None:
    data = made(
        "CREATE TABLE nssPublic (a3, a0 AS (hex(zeroblob(1000000))))",
        "INSERT INTO nssPublic (a3) VALUES ('x')",
    )
    assert values(data) == []


def test_work_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_STEPS", 20)
    monkeypatch.setattr(database, "_STEPS_AT_ONCE", 10)
    data = made(
        "CREATE TABLE nssPublic (a0)",
        "INSERT INTO nssPublic WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT"
        " 5000) SELECT x'00' FROM c",
    )
    try:
        table = read_tables(data, WANTED)["nssPublic"]
    except DatabaseError:
        return
    assert table.damaged


def test_rows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "_ROWS", 2)
    data = made("CREATE TABLE nssPublic (a0)", *["INSERT INTO nssPublic VALUES (x'00')"] * 5)
    assert len(values(data)) == 2


def test_around_a_damaged_page_rows_are_read_from_both_ends() -> None:
    data = made(
        "CREATE TABLE nssPublic (a0)",
        *[f"INSERT INTO nssPublic VALUES (x'{row:02x}{'00' * 2000}')" for row in range(60)],  # noqa: S608 - a test's own
    )
    size = int.from_bytes(data[16:18], "big")
    middle = len(data) // size // 2 * size
    table = read_tables(data[:middle] + b"\xff" * size + data[middle + size :], WANTED)["nssPublic"]
    first = {row["a0"][0] for row in table.rows}
    assert table.damaged
    assert {0, 59} <= first
    assert 50 <= len(first) == len(table.rows) < 60


@pytest.mark.parametrize("data", [b"", b"SQLite format 3\0" + bytes(84), bytes(4096), b"x" * 4096])
def test_what_is_no_database_is_refused(data: bytes) -> None:
    with pytest.raises(DatabaseError):
        read_tables(data, WANTED)


def test_a_schema_that_breaks_with_a_name_that_is_no_text_is_refused() -> None:
    """SQLite quotes it in its message, which Python then can't decode."""
    data = (FILES / "cert9.db").read_bytes()
    broken = data.replace(b"CREATE TABLE nssPublic", b"CREATE TABL\xa0 nssPublic", 1)
    with pytest.raises(DatabaseError):
        read_tables(broken, WANTED)


def test_lack_of_memory_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.OperationalError("out of memory")

    monkeypatch.setattr(database, "_restrict", fail)
    with pytest.raises(MemoryError):
        read_tables(b"", WANTED)
