from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.databases import new_store
from sqlalchemy import Connection, Insert, bindparam, func, insert, select

from keycensus_collector.intake.bulk import ROWS, BulkInsert, insert_into
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import work

pytestmark = pytest.mark.usefixtures("each_database")

QUEUE = insert_into(work, leave_out=("work_no",))


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[Connection]:
    """Return a connection that writes into an empty database."""
    with new_store(tmp_path) as store, store.write() as writing:
        yield writing


def _queue(count: int) -> list[tuple[str, bytes, int, int]]:
    return [("blob", bytes(2), number, 7) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 17])
def test_any_number_of_rows_is_inserted_once_and_in_order(
    connection: Connection, count: int
) -> None:
    assert QUEUE.run(connection, _queue(count)) == count

    written = connection.execute(select(work).order_by(work.c.work_no)).all()
    assert [tuple(row)[1:] for row in written] == _queue(count)


def test_rows_that_are_there_already_are_changed_and_those_left_alone_are_not_counted(
    connection: Connection,
) -> None:
    def keep(writing: Connection) -> Insert:
        return upsert(writing, work).on_conflict_do_nothing(index_elements=["work_no"])

    def add(writing: Connection) -> Insert:
        statement = upsert(writing, work)
        return statement.on_conflict_do_update(
            index_elements=["work_no"],
            set_={"number": work.c.number + statement.excluded.number},
        )

    names = [column.name for column in work.columns]
    rows = [(number, "blob", b"", 5, 7) for number in range(1, 2 * ROWS + 11)]
    assert BulkInsert(keep, names).run(connection, rows[1 : ROWS + 1]) == ROWS
    assert BulkInsert(keep, names).run(connection, rows) == ROWS + 10
    assert BulkInsert(add, names).run(connection, rows) == len(rows)

    assert set(connection.execute(select(work.c.number)).scalars()) == {10}


def test_a_statement_that_does_more_than_take_values_is_not_put_together(
    connection: Connection,
) -> None:
    values = {"kind": func.upper(bindparam("kind"))}
    statement = BulkInsert(
        lambda _: insert(work).values(values), ["kind", "subject", "number", "queued_ms"]
    )
    if connection.dialect.name == "sqlite":  # to which each row goes by itself
        assert statement.run(connection, _queue(ROWS)) == ROWS
        return
    with pytest.raises(TypeError, match="does not take its rows"):
        statement.run(connection, _queue(ROWS))
