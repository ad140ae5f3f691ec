"""Periodic work is one collector's at a time, and soon another's when that one is gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.databases import DATABASES, new_store
from sqlalchemy import update

from keycensus_collector.intake.manifests import ManifestCache
from keycensus_collector.store import duties
from keycensus_collector.store.duties import Duties
from keycensus_collector.store.engine import Store
from keycensus_collector.store.tables.sharing import duty


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Store, Duties, Duties]]:
    """Return a store and two collectors of its database that look at every call."""
    monkeypatch.setattr(duties, "_RENEW_SECONDS", 0.0)
    url = DATABASES.empty_url()
    with Store.open(url) as first, Store.open(url) as second:
        yield first, Duties(first), Duties(second)


async def test_a_duty_is_held_by_one_and_others_by_whom_they_like(
    both: tuple[Store, Duties, Duties],
) -> None:
    _, first, second = both
    assert await first.is_ours("catalogue")
    assert not await second.is_ours("catalogue")
    assert await second.is_ours("owners")
    assert await first.is_ours("catalogue")


async def test_who_releases_it_is_followed_at_once(both: tuple[Store, Duties, Duties]) -> None:
    _, first, second = both
    assert await first.is_ours("catalogue")
    await second.release()  # holds nothing
    assert not await second.is_ours("catalogue")
    await first.release()
    assert await second.is_ours("catalogue")
    assert not await first.is_ours("catalogue")


async def test_who_died_is_followed_when_its_time_is_over(
    both: tuple[Store, Duties, Duties],
) -> None:
    store, first, second = both
    assert await first.is_ours("catalogue")
    with store.write() as connection:
        connection.execute(update(duty).values(until_ms=duty.c.until_ms - duties.HELD_MS))
    assert await second.is_ours("catalogue")


async def test_a_database_of_one_process_needs_no_duties(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        assert await Duties(store).is_ours("catalogue")
        with store.read() as connection:
            assert connection.execute(duty.select()).all() == []


def test_what_another_collector_removed_is_not_remembered_as_complete() -> None:
    cache = ManifestCache()
    cache.follow(7)
    cache.mark_complete([b"a"])
    cache.follow(7)
    assert cache.not_known_complete({b"a"}) == set()
    before = cache.generation
    cache.follow(8)
    assert cache.not_known_complete({b"a"}) == {b"a"}
    cache.mark_complete([b"a"], before)  # looked up before the removal was heard of
    assert cache.not_known_complete({b"a"}) == {b"a"}
    cache.mark_complete([b"a"], cache.generation)
    cache.follow(7)  # by who read it before
    assert cache.not_known_complete({b"a"}) == set()
