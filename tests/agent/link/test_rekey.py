"""A machine that shares an identity gets one of its own: the real link at the real collector."""

from __future__ import annotations

import asyncio
import datetime as dt
from pathlib import Path

import pytest
from fakes.enrolled_agent import config_in
from fakes.link_hello import Machine
from fakes.ports import Running, running_server

from keycensus_agent.errors import RefusedError
from keycensus_agent.host_facts import machine_prints
from keycensus_agent.link.certificate import key_to_pem
from keycensus_agent.link.control import recover
from keycensus_agent.link.enrol import enrol
from keycensus_agent.link.identity import Identity, IdentityStore
from keycensus_agent.link.rekey import rekey
from keycensus_agent.link.token import parse_token
from keycensus_collector.clock import FixedClock
from keycensus_proto.v1 import report_pb2

NOW = dt.datetime.now(dt.UTC)
HELLO = report_pb2.Hello(boot_id=b"b" * 16, instance=b"i" * 16)


async def enrolled(running: Running, directory: Path) -> tuple[Identity, IdentityStore]:
    text = (await asyncio.to_thread(running.run, "token.create"))["token"]
    outcome = await enrol(
        config_in(directory),
        str(running.bound.enrol),
        parse_token(text),
        b"",
        machine=machine_prints(),
        now=NOW,
    )
    return outcome.identity, IdentityStore(directory / "identity")


async def ask(identity: Identity, store: IdentityStore) -> Identity:
    return await rekey(identity, store, "", HELLO, machine=machine_prints(), now=NOW)


async def refused(identity: Identity, store: IdentityStore) -> str:
    with pytest.raises(RefusedError) as caught:
        await ask(identity, store)
    return caught.value.refusal


async def test_nobody_gets_an_identity_without_an_operators_word_nor_beyond_it(
    tmp_path: Path,
) -> None:
    clock = FixedClock(int(NOW.timestamp() * 1000))
    async with running_server(tmp_path / "collector", clock=clock) as running:
        shared, store = await enrolled(running, tmp_path / "agent")
        assert await refused(shared, store) == "cloned"

        async def grant(**bounds: int) -> None:
            await asyncio.to_thread(running.run, "agent.rekey", agent=shared.agent_id, **bounds)

        await grant(copies=1)
        own = await ask(shared, store)
        assert own.agent_id != shared.agent_id
        assert own.host_id != shared.host_id
        # One copy was let in; the next one waits for the operator again.
        assert await refused(shared, store) == "cloned"
        await grant(within_ms=60_000)
        clock.advance(61)
        assert await refused(shared, store) == "cloned"
        await grant()
        await asyncio.to_thread(running.run, "agent.ban", agent=shared.agent_id)
        assert await refused(shared, store) == "banned"
        agents = await asyncio.to_thread(running.run, "agent.list")
        assert sorted(each["state"] for each in agents) == ["active", "banned"]


async def test_a_lost_answer_is_given_again_and_costs_no_second_identity(tmp_path: Path) -> None:
    async with running_server(tmp_path / "collector") as running:
        shared, store = await enrolled(running, tmp_path / "agent")
        await asyncio.to_thread(running.run, "agent.rekey", agent=shared.agent_id)
        key = store.pending_key()
        own = await ask(shared, store)
        # As if the answer had not come: the key is still pending, and is asked for again.
        store.directory.write({"pending-key.pem": key_to_pem(key)})
        again = await ask(shared, store)
        assert (again.agent_id, again.chain) == (own.agent_id, own.chain)
        assert len(await asyncio.to_thread(running.run, "agent.list")) == 2


async def test_a_proof_by_another_key_is_refused(tmp_path: Path) -> None:
    async with running_server(tmp_path / "collector") as running:
        shared, store = await enrolled(running, tmp_path / "agent")
        stranger, _ = await enrolled(running, tmp_path / "stranger")
        await asyncio.to_thread(running.run, "agent.rekey", agent=shared.agent_id)
        forged = shared.renewed(stranger.key, shared.chain, shared.trust)
        assert await refused(forged, store) == "unknown"


async def test_a_copy_whose_certificate_has_expired_gets_its_own_too(tmp_path: Path) -> None:
    """An image lies about for weeks: its copies come by way of Recover."""
    clock = FixedClock(int((NOW - dt.timedelta(days=50)).timestamp() * 1000))
    async with running_server(tmp_path / "collector", clock=clock) as running:
        shared, store = await enrolled(running, tmp_path / "agent")
        clock.advance(50 * 86_400)
        await asyncio.to_thread(running.run, "agent.rekey", agent=shared.agent_id)
        with pytest.raises(RefusedError) as caught:
            await recover(shared, store, "", NOW)
        assert caught.value.refusal == "rekey"
        machine = Machine(store.path)
        assert await machine.say_in_thread() == "ack"
        assert machine.agent_id() != shared.agent_id
