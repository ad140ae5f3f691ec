"""Whose a place was stands in the time lines of what it held, and of its host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate
from fakes.pki import issue
from sqlalchemy import select

from keycensus_collector.inventory.identify import identify
from keycensus_collector.ownership.applying import apply_rules
from keycensus_collector.ownership.assignments import Thing, assign
from keycensus_collector.ownership.teams import create_team
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store.schema import place
from keycensus_collector.timeline.read import time_line

pytestmark = pytest.mark.usefixtures("each_database_in_full")

FIRST, SECOND = issue("www.example.com", days=60), issue("other.example.com", days=60)


@pytest.fixture
def census(tmp_path: Path) -> Iterator[Census]:
    census = Census.create(tmp_path)
    host = census.host("web1")
    census.report(host, "/etc/a.pem", certificate(FIRST))
    for number in range(3):
        census.report(host, f"/srv/{number}.pem", certificate(SECOND))
    census.fold()
    with census.store.write() as connection:
        for name in ("web", "db"):
            create_team(connection, name, actor="ann", now_ms=census.clock.now_ms())
    yield census
    census.store.close()


def give(census: Census, kind: str, path: str, owner: str) -> None:
    census.clock.advance(60)
    with census.store.write() as connection:
        which = select(place.c.place_no).where(place.c.path == path)
        number = connection.execute(which).scalar_one() if path else 1
        now_ms = census.clock.now_ms()
        assign(
            connection, [Thing(kind, number=number)], owner, reason="x", actor="ann", now_ms=now_ms
        )
        settle(connection, now_ms)


def told(census: Census, text: str) -> list[tuple[str, str]]:
    with census.store.read() as connection:
        (match,) = identify(connection, text)
        line = time_line(connection, match, before_ms=None, limit=100)
    return [
        (f"{each.host}:{each.path}", each.detail)
        for each in line.events
        if each.what == "place-owner"
    ]


def test_owners_of_places_are_told_while_the_places_hold_a_thing(census: Census) -> None:
    give(census, "place", "/etc/a.pem", "web")
    give(census, "host", "", "db")
    give(census, "place", "/etc/a.pem", "db")
    census.clock.advance(60)
    census.report(1, "/etc/a.pem", certificate(SECOND))
    census.fold()
    give(census, "host", "", "web")
    of_first = told(census, FIRST.sha256.hex())
    assert of_first == [
        ("web1:/etc/a.pem", "db installs here (explicit)"),
        ("web1:/etc/a.pem", "web installs here no more"),
        ("web1:", "db installs on this host (explicit)"),
        ("web1:/etc/a.pem", "web installs here (explicit)"),
    ]
    assert told(census, SECOND.sha256.hex())[:2] == [
        ("web1:", "db installs on this host no more"),
        ("web1:", "web installs on this host (explicit)"),
    ]
    # Of a host its own owner is an event of the host; of its places as they are told above.
    assert told(census, "web1") == [each for each in of_first if each[0] != "web1:"]


def test_what_a_rule_says_of_many_places_is_one_event_of_their_host(census: Census) -> None:
    census.clock.advance(60)
    for text in ("owners: [{rule: srv, of: places, path: '/srv/**', owner: web}]", "owners: []"):
        census.clock.advance(60)
        with census.store.write() as connection:
            now_ms = census.clock.now_ms()
            apply_rules(connection, text, actor="ann", now_ms=now_ms)
            settle(connection, now_ms)
    assert told(census, "web1") == [
        ("web1:", "web installs at 3 places no more"),
        ("web1:", "web installs at 3 places (rule)"),
    ]
    assert len(told(census, SECOND.sha256.hex())) == 6
    assert told(census, FIRST.sha256.hex()) == []
