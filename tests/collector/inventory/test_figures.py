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
from keycensus_collector.inventory.keeper import Keeper
from keycensus_collector.query.model import EVERYTHING
from keycensus_collector.query.parse import parse

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
