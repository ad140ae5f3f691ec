"""Figures of everything that are kept: the same as counted, for whom sees everything, with their time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from fakes.census import Census, certificate
from fakes.pki import issue

from keycensus_collector.access import scope
from keycensus_collector.inventory import figures
from keycensus_collector.inventory.coverage import count_coverage, coverage
from keycensus_collector.inventory.keeper import Keeper
from keycensus_collector.inventory.summary import count_summary, summarise
from keycensus_collector.query.model import EVERYTHING
from keycensus_collector.query.parse import parse
from keycensus_collector.views.model import View
from keycensus_collector.views.shown import counted
from keycensus_collector.views.stored import list_views, save_view

pytestmark = pytest.mark.usefixtures("each_database")


def test_what_costs_much_is_kept_and_what_is_cheap_is_counted_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    census, now_ms = Census.create(tmp_path), 0
    host = census.host("web1")
    census.report(host, "/a.pem", certificate(issue("a", days=90)))
    census.fold()
    keeper = Keeper(census.store, census.clock)
    monkeypatch.setattr(figures, "CHEAP_MS", 0)
    asyncio.run(keeper.run_once())
    now_ms = census.clock.now_ms()
    census.report(host, "/b.pem", certificate(issue("b", days=400)))
    census.fold()
    with census.store.read() as connection:
        for target, by in figures.kept_dimensions(connection):
            counted = figures.count_one(connection, target, by, now_ms)
            kept = figures.group(connection, EVERYTHING, target, by, now_ms, limit=1_000)
            # As it was; and whoever asks for something is told what is.
            assert kept.as_of == counted.as_of
            if (target, by) == ("certificates", "key"):
                assert (kept.total, counted.total) == (1, 2)
            asked = figures.group(connection, parse("use:live"), "certificates", "key", now_ms)
            assert asked.total == 2
        old = figures.group(
            connection, EVERYTHING, "certificates", "key", now_ms + figures.OLDEST_MS + 1
        )
        assert old.total == 2
        few = figures.group(connection, EVERYTHING, "certificates", "issuer", now_ms, limit=0)
        assert (few.groups, few.left_out, few.total) == ([], 1, 1)
    with census.store.read() as connection:
        scope.limit(connection, frozenset({7}))
        seen = figures.group(connection, EVERYTHING, "certificates", "key", now_ms)
        assert (seen.total, seen.groups) == (0, [])
    asyncio.run(keeper.run_once())
    with census.store.read() as connection:
        for target, by in figures.kept_dimensions(connection):
            counted = figures.count_one(connection, target, by, now_ms)
            kept = figures.group(connection, EVERYTHING, target, by, now_ms, limit=1_000)
            assert replace(kept, as_of=None) == replace(counted, as_of=None)
    monkeypatch.setattr(figures, "CHEAP_MS", 1_000_000)
    asyncio.run(keeper.run_once())
    census.report(host, "/c.pem", certificate(issue("c", days=90)))
    census.fold()
    with census.store.read() as connection:
        assert figures.group(connection, EVERYTHING, "certificates", "key", now_ms).total == 3
    census.store.close()


def test_what_the_overview_shows_is_kept_with_its_time_unless_it_is_somebodys_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    census = Census.create(tmp_path)
    host, now_ms = census.host("web1"), census.clock.now_ms()
    mine = View("mine", "", "hosts", "owner:mine or host:web1")
    for view in (View("webs", "", "hosts", "host:web*"), mine):
        with census.store.write() as connection:
            save_view(connection, view, actor="ada", now_ms=now_ms)
    monkeypatch.setattr(figures, "CHEAP_MS", 0)
    asyncio.run(Keeper(census.store, census.clock).run_once())
    census.host("web2")
    census.report(host, "/a.pem", certificate(issue("a", days=-1)))
    census.fold()

    def totals() -> dict[str, tuple[int | None, str | None]]:
        with census.store.read() as connection:
            views = counted(connection, list_views(connection), now_ms, "ada")
        return {view.name: (view.total, view.total_as_of) for view in views}

    with census.store.read() as connection:
        before, now = summarise(connection, now_ms), count_summary(connection, now_ms)
        assert (before.certificates, now.certificates, before.as_of) == (0, 1, now.as_of)
        covered = coverage(connection, now_ms)
        assert (covered.places, len(count_coverage(connection, now_ms).places)) == ([], 1)
        scope.limit(connection, frozenset({7}))
        seen = summarise(connection, now_ms)
        assert (seen.hosts, seen.certificates, seen.expired, seen.as_of) == (0, 0, 0, now.as_of)
        nothing = counted(connection, list_views(connection), now_ms, "ada")
        assert {view.total_as_of for view in nothing} == {None}
    known = totals()
    assert (known["expired"], known["webs"]) == ((0, before.as_of), (1, before.as_of))
    assert known["mine"] == (1, None)
    # A view that is saved anew is another one, and one that is cheap is counted when it is shown.
    with census.store.write() as connection:
        view = View("webs", "", "hosts", "host:web1 or host:web2")
        save_view(connection, view, actor="ada", now_ms=now_ms)
    assert totals()["webs"] == (2, None)
    monkeypatch.setattr(figures, "CHEAP_MS", 1_000_000)
    asyncio.run(Keeper(census.store, census.clock).run_once())
    assert totals()["expired"] == (1, None)
    census.store.close()
