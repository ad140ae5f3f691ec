"""Who is known and has no agent is a host of its own, until it gets one or no list names it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census
from sqlalchemy import update

from keycensus_collector.imports.host_files import KnownHost
from keycensus_collector.imports.known_hosts import (
    KnownTaken,
    settle_known_hosts,
    take_known_hosts,
)
from keycensus_collector.inventory.coverage import coverage
from keycensus_collector.inventory.hosts import list_hosts
from keycensus_collector.query.parse import parse
from keycensus_collector.store.schema import host
from keycensus_proto.v1.inventory_pb2 import HostFacts

pytestmark = pytest.mark.usefixtures("each_database_in_full")

DAY = 86_400_000


@pytest.fixture
def census(tmp_path: Path) -> Iterator[Census]:
    census = Census.create(tmp_path)
    yield census
    census.store.close()


def take(census: Census, source: str, *hosts: KnownHost) -> KnownTaken:
    census.clock.current_ms += DAY
    with census.store.write() as connection:
        return take_known_hosts(
            connection,
            hosts,
            source=source,
            sha256=bytes(32),
            size=1,
            actor="user:ada",
            now_ms=census.clock.now_ms(),
        )


def settle(census: Census) -> int:
    census.clock.current_ms += DAY
    with census.store.write() as connection:
        return settle_known_hosts(connection, census.clock.now_ms())


def names(census: Census, query: str) -> list[str]:
    with census.store.read() as connection:
        page = list_hosts(connection, parse(query), census.clock.now_ms())
    return [item.name for item in page.items]


def test_hosts_are_matched_by_name_short_name_and_address_with_the_reason(census: Census) -> None:
    facts = HostFacts(name="x", addresses=["192.0.2.7"]).SerializeToString()
    census.host("Web1.example.com")
    census.host("db1")
    census.host("renamed", facts=facts)
    census.host("twin.a")
    census.host("twin.b")
    taken = take(
        census,
        "netbox",
        KnownHost("web1.EXAMPLE.com"),
        KnownHost("db1.example.com"),
        KnownHost("old-name", ("192.0.2.7",)),
        KnownHost("twin"),
        KnownHost("web1.example.org"),
    )
    assert (taken.hosts, taken.with_agent, taken.without_agent) == (5, 3, 2)
    assert [(each.name, each.host, each.by) for each in taken.matched_otherwise] == [
        ("db1.example.com", "db1", "short-name"),
        ("old-name", "renamed", "address"),
    ]
    assert taken.without == ["twin", "web1.example.org"]
    assert names(census, "agent:none") == names(census, "state:known") == taken.without
    with census.store.read() as connection:
        found = coverage(connection, census.clock.now_ms())
    assert (found.hosts, found.without_agent) == (5, 2)


def test_a_later_list_replaces_the_former_of_its_source_alone(census: Census) -> None:
    take(census, "a", KnownHost("one"), KnownHost("two"))
    take(census, "b", KnownHost("two"), KnownHost("three"))
    assert names(census, "state:known") == ["one", "three", "two"]
    taken = take(census, "a", KnownHost("four"))
    assert (taken.removed, taken.gone) == (2, ["one", "two"])
    assert names(census, "state:known") == ["four", "three", "two"]
    assert names(census, "state:known as-of:1d") == ["one", "three", "two"]


def test_a_host_that_gets_an_agent_is_known_no_more_and_again_when_it_is_retired(
    census: Census,
) -> None:
    take(census, "a", KnownHost("one"))
    assert settle(census) == 0
    number = census.host("one")
    assert settle(census) == 1
    assert names(census, "state:known") == []
    assert names(census, "state:active") == ["one"]
    with census.store.write() as connection:
        connection.execute(update(host).where(host.c.host_no == number).values(state="retired"))
    assert settle(census) == 1
    assert names(census, "state:known") == ["one"]
