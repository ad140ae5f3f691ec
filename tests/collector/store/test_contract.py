"""What every store promises, whichever database is below it."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from fakes.databases import new_store
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from keycensus_collector.errors import StoreAgainError, StoreError, StoreSlowError
from keycensus_collector.store import tables
from keycensus_collector.store.engine import Store, read_seconds, upsert
from keycensus_collector.store.postgresql import OWN_INDEXES
from keycensus_collector.store.schema import line, metadata

pytestmark = pytest.mark.usefixtures("each_database")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as store:
        yield store


def add_line(connection: Connection, name: str) -> None:
    connection.execute(insert(line).values(created_ms=1, name=name))


def line_count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(line)).scalar_one()


def test_migrating_an_empty_database_gives_exactly_the_metadata(store: Store) -> None:
    for module in pkgutil.iter_modules(tables.__path__, f"{tables.__name__}."):
        importlib.import_module(module.name)
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, metadata)
    # What stands in one product only: the comparison does not ask which.
    apart = {
        *OWN_INDEXES,
        "ix_place_path",
        "ix_certificate_issuer",
        "ix_certificate_name_reversed_labels",
    }
    assert [each for each in differences if getattr(each[1], "name", "") not in apart] == []


ENDLESS = text(
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
)


async def test_a_read_that_takes_too_long_is_ended_and_the_next_one_is_not(store: Store) -> None:
    def endless(connection: Connection) -> int:
        return int(connection.execute(ENDLESS).scalar_one())

    for _ in range(2):
        token = read_seconds.set(0.2)
        with pytest.raises(StoreSlowError):
            await store.run_read(endless)
        read_seconds.reset(token)
        assert await store.run_read(line_count) == 0


def test_what_stands_in_rows_reaches_no_error(store: Store) -> None:
    with store.write() as connection:
        connection.execute(insert(line).values(line_no=1, created_ms=1, name="a"))
    with pytest.raises(IntegrityError) as written, store.write() as connection:
        connection.execute(insert(line).values(line_no=1, created_ms=1, name="hunter2"))
    with pytest.raises(DBAPIError) as read, store.read() as connection:
        connection.execute(text("SELECT nothing FROM line WHERE name = :name"), {"name": "hunter2"})
    for error in (written.value, read.value):
        assert "hunter2" not in str(error)
        assert "SQL parameters hidden" in str(error)


def test_a_write_is_seen_after_it_and_not_before(store: Store) -> None:
    with store.write() as connection:
        add_line(connection, "a")
        with store.read() as reader:
            assert line_count(reader) == 0
    with store.read() as reader:
        assert line_count(reader) == 1


def test_a_write_that_raises_leaves_nothing(store: Store) -> None:
    def add_and_fail() -> None:
        with store.write() as connection:
            add_line(connection, "a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        add_and_fail()
    with store.read() as reader:
        assert line_count(reader) == 0


def test_a_reader_can_not_write(store: Store) -> None:
    with pytest.raises(StoreError), store.read() as connection:
        add_line(connection, "a")


def test_foreign_keys_are_enforced(store: Store) -> None:
    with pytest.raises(IntegrityError), store.write() as connection:
        connection.execute(
            text("INSERT INTO host_state VALUES (99, 1, NULL, 'active', 'test')"),
        )


def test_an_error_in_a_statement_stays_what_it_is(store: Store) -> None:
    with pytest.raises(DBAPIError), store.read() as connection:
        connection.execute(text("SELECT * FROM nothing_of_this_name"))


def test_upsert_does_nothing_or_updates(store: Store) -> None:
    with store.write() as connection:
        row = {"line_no": 1, "created_ms": 1, "name": "a"}
        connection.execute(upsert(connection, line).values(row))
        connection.execute(upsert(connection, line).values(row).on_conflict_do_nothing())
        statement = upsert(connection, line).values({**row, "name": "b"})
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["line_no"], set_={"name": statement.excluded.name}
            )
        )
        assert connection.execute(select(line.c.name)).scalars().all() == ["b"]


async def test_work_in_threads_does_not_block_the_event_loop(store: Store) -> None:
    release = threading.Event()

    def slow(connection: Connection) -> int:
        release.wait(10)
        add_line(connection, "a")
        return line_count(connection)

    writing = asyncio.create_task(store.run_write(slow))
    assert await asyncio.gather(*(store.run_read(line_count) for _ in range(20))) == [0] * 20
    release.set()
    assert await writing == 1


async def test_writes_of_many_tasks_happen_one_after_another(store: Store) -> None:
    def add_one(connection: Connection) -> int:
        count = line_count(connection)
        add_line(connection, str(count))
        return count

    counts = await asyncio.gather(*(store.run_write(add_one) for _ in range(50)))
    assert sorted(counts) == list(range(50))


def test_text_is_in_the_order_of_its_characters(store: Store) -> None:
    names = ["Z", "a", "_", "B", "é", "z", "\U0001f600", "~"]
    with store.write() as connection:
        for name in names:
            add_line(connection, name)
        ordered = connection.execute(select(line.c.name).order_by(line.c.name)).scalars().all()
    assert ordered == sorted(names)


async def test_a_transaction_that_the_database_gave_up_is_run_anew(store: Store) -> None:
    tries = []

    def give_up_once(connection: Connection) -> int:
        add_line(connection, "a")
        tries.append(1)
        if len(tries) == 1:
            raise StoreAgainError("a deadlock")
        return line_count(connection)

    assert await store.run_write(give_up_once) == 1
    assert len(tries) == 2


async def test_a_transaction_that_is_given_up_again_and_again_is_told(store: Store) -> None:
    tries = []

    def give_up(_connection: Connection) -> None:
        tries.append(1)
        raise StoreAgainError("a deadlock")

    with pytest.raises(StoreAgainError, match="a deadlock"):
        await store.run_write(give_up)
    assert 1 < len(tries) < 10
