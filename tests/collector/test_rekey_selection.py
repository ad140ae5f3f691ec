"""Which of the identities that several machines share an operator's one command is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from fakes.agent_stream import START_MS, Desk
from sqlalchemy import select, update

from keycensus_collector.agent_operations import AGENT_OPERATIONS
from keycensus_collector.authority.keeper import AuthorityKeeper
from keycensus_collector.errors import UsageError
from keycensus_collector.operation import Surroundings
from keycensus_collector.store.schema import agent, host


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Give three hosts, two of which are shared by clones."""
    desk = Desk.create(tmp_path)
    with desk.store as store:
        for name in ("web-1", "web-2", "db-1"):
            desk.enrol(name)
        with store.write() as connection:
            shared = select(host.c.host_no).where(host.c.name.in_(("web-1", "db-1")))
            connection.execute(
                update(agent).where(agent.c.host_no.in_(shared)).values(state="cloned")
            )
        yield desk


def rekeyed(desk: Desk, **arguments: object) -> list[str]:
    """Run the command; return the names of the hosts whose identities have ended."""
    # It asks nothing of the authority.
    around = Surroundings(cast("AuthorityKeeper", None), START_MS)
    with desk.store.write() as connection:
        found: Any = AGENT_OPERATIONS["agent.rekey"].run(connection, around, arguments)
    with desk.store.read() as connection:
        named = (
            select(host.c.name)
            .join(agent, agent.c.host_no == host.c.host_no)
            .where(agent.c.agent_id.in_(found["agents"]))
        )
        return sorted(connection.execute(named).scalars())


def test_all_clones_are_meant_without_a_query(desk: Desk) -> None:
    assert rekeyed(desk, all_clones=True) == ["db-1", "web-1"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("host:web*", ["web-1"]),
        ("not host:web*", ["db-1"]),
        ("host:web-2", []),
        ("host:*", ["db-1", "web-1"]),
    ],
)
def test_a_query_means_the_clones_of_its_hosts(desk: Desk, query: str, expected: list[str]) -> None:
    assert rekeyed(desk, query=query) == expected


def test_a_mistake_in_the_query_is_pointed_at_and_ends_nothing(desk: Desk) -> None:
    with pytest.raises(UsageError, match=r"hots") as caught:
        rekeyed(desk, query="hots:web*")
    assert "^^^^" in str(caught.value)
    assert rekeyed(desk, all_clones=True) == ["db-1", "web-1"]
