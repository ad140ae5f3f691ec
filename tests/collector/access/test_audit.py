"""The audit log is a chain: what is changed in it afterwards is found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.databases import new_store
from sqlalchemy import Connection, delete, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.store.schema import audit as rows
from keycensus_collector.store.tables.access import audit_chain

pytestmark = pytest.mark.usefixtures("each_database_in_full")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    with new_store(tmp_path) as store, store.write() as connection:
        for number in range(1, 6):
            audit.record(
                connection,
                at_ms=number,
                actor=f"user:u{number % 2}",
                action="view.save" if number % 2 else "session.begin",
                subject=f"s\x1b{number}",
                detail={"number": number},
            )
        yield connection


def test_a_log_that_nobody_touched_is_whole(connection: Connection) -> None:
    verdict = audit.verify(connection)
    assert (verdict.rows, verdict.broken_no) == (5, None)
    last = connection.execute(select(rows.c.hash).where(rows.c.audit_no == 5)).scalar_one()
    assert verdict.last_hash == last.hex()


def remove(connection: Connection, number: int) -> None:
    connection.execute(delete(rows).where(rows.c.audit_no == number))


def change(connection: Connection, number: int, **values: object) -> None:
    connection.execute(update(rows).where(rows.c.audit_no == number).values(values))


def swap(connection: Connection) -> None:
    for before, after in ((2, 99), (3, 2), (99, 3)):
        change(connection, before, audit_no=after)


def forge(connection: Connection) -> None:
    values = {"at_ms": 6, "actor": "x", "action": "y", "subject": "z", "detail": "{}"}
    connection.execute(insert(rows).values(audit_no=6, hash=bytes(32), **values))


def rewrite(connection: Connection) -> None:
    """Change a row and make its hash anew, as one would who knows how."""
    change(connection, 3, actor="user:innocent")
    before = connection.execute(select(rows).where(rows.c.audit_no == 2)).one()
    row = connection.execute(select(rows).where(rows.c.audit_no == 3)).one()
    content = [row.audit_no, row.at_ms, row.actor, row.action, row.subject, row.detail]
    change(connection, 3, hash=audit._hash(before.hash, content))


@pytest.mark.parametrize(
    ("attack", "broken"),
    [
        (lambda c: change(c, 3, actor="user:innocent"), 3),
        (lambda c: change(c, 1, at_ms=7), 1),
        (lambda c: change(c, 4, subject="other"), 4),
        (lambda c: change(c, 4, action="other"), 4),
        (lambda c: change(c, 5, detail="{}"), 5),
        (lambda c: remove(c, 2), 3),
        (lambda c: remove(c, 1), 2),
        (lambda c: remove(c, 5), 5),
        (swap, 2),
        (forge, 6),
        (rewrite, 4),
    ],
)
def test_what_was_changed_removed_or_added_is_named(
    connection: Connection, attack: Callable[[Connection], None], broken: int
) -> None:
    attack(connection)
    verdict = audit.verify(connection)
    assert verdict.broken_no == broken
    assert verdict.problem


def test_the_end_of_the_chain_says_how_long_it_is(connection: Connection) -> None:
    connection.execute(delete(rows).where(rows.c.audit_no > 3))
    assert audit.verify(connection).broken_no == 5
    connection.execute(update(audit_chain).values(last_no=3))
    assert audit.verify(connection).broken_no == 3


def test_rows_are_found_by_who_what_whom_and_when(connection: Connection) -> None:
    def numbers(limit: int = 10, before: int | None = None, **wanted: object) -> list[int]:
        asked = audit.Wanted(**wanted)  # type: ignore[arg-type]
        found = audit.list_rows(connection, asked, limit=limit, before_no=before)
        return [each["number"] for each in found]

    assert numbers() == [5, 4, 3, 2, 1]
    assert numbers(actor="user:u1") == [5, 3, 1]
    assert numbers(action="session.") == [4, 2]
    assert numbers(action="session%") == []
    assert numbers(subject="s\\x1b3") == [3]
    assert numbers(since_ms=2, until_ms=4) == [3, 2]
    assert numbers(limit=2, before=4) == [3, 2]


def test_a_change_that_is_taken_back_leaves_no_gap(tmp_path: Path) -> None:
    with new_store(tmp_path, "other.db") as store:
        for _ in range(2):
            with store.write() as connection:
                audit.record(connection, at_ms=1, actor="a", action="b", subject="c")
                savepoint = connection.begin_nested()
                audit.record(connection, at_ms=1, actor="a", action="b", subject="undone")
                savepoint.rollback()
        with store.read() as connection:
            assert (audit.verify(connection).rows, audit.verify(connection).broken_no) == (2, None)
