"""What operators do to agents and hosts that joined for real."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.ports import Running, hello, join, run, running_server
from sqlalchemy import select

from keycensus_collector.errors import UsageError
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import audit


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_server(tmp_path / "state") as running:
        yield running


async def test_a_retired_hosts_agents_are_evicted(running: Running) -> None:
    identity = await join(running, name="web1")
    result = await run(running, "host.retire", host="web1")
    assert result == {"id": identity.response.host_id, "name": "web1", "state": "retired"}
    (agent,) = await run(running, "agent.list")
    assert (agent["state"], agent["reason"]) == ("evicted", "host retired")
    assert (await hello(running, identity)).refusal.reason == "unknown"


async def test_a_name_that_two_hosts_share_needs_the_id(running: Running) -> None:
    first = (await join(running, name="twin")).response
    await join(running, name="twin")
    for operation, argument in (("host.retire", "host"), ("agent.ban", "agent")):
        with pytest.raises(UsageError, match="there are 2 for"):
            await run(running, operation, **{argument: "twin"})
    assert (await run(running, "agent.ban", agent=first.agent_id[:8]))["id"] == first.agent_id
    assert (await run(running, "host.retire", host=first.host_id))["id"] == first.host_id


async def test_wildcards_in_a_name_are_just_characters(running: Running) -> None:
    await join(running)
    for text in ("%%%%", "____", ""):
        with pytest.raises(UsageError):
            await run(running, "agent.ban", agent=text)


async def test_a_state_is_reached_only_from_where_that_makes_sense(running: Running) -> None:
    agent = (await join(running)).response.agent_id
    with pytest.raises(UsageError, match="there is no"):
        await run(running, "token.revoke", id="none")
    await run(running, "agent.evict", agent=agent)
    await run(running, "agent.evict", agent=agent)  # again: nothing changes
    for operation in ("agent.ban", "agent.unban"):
        with pytest.raises(UsageError, match="is evicted; it can't become"):
            await run(running, operation, agent=agent)


async def test_everything_that_was_done_stands_in_the_audit_log(running: Running) -> None:
    response = (await join(running, name="web1")).response
    agent = response.agent_id
    await run(running, "agent.ban", agent=agent, reason="stolen\x1b")
    await run(running, "agent.unban", agent=agent)
    await run(running, "host.retire", host="web1")
    await running.server.stop()
    with Store.open(running.configuration.database_url) as store, store.read() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.audit_no)).all()
    done = [(row.actor.split(":")[0], row.action, row.subject) for row in rows[2:]]
    assert done[0][:2] == ("operator", "token.create")
    assert done[1:] == [
        ("token", "agent.enrol", agent),
        ("operator", "agent.ban", agent),
        ("operator", "agent.unban", agent),
        ("operator", "agent.evict", agent),
        ("operator", "host.retire", response.host_id),
    ]
    assert '"reason": "stolen\\\\x1b"' in rows[4].detail
