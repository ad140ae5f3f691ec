"""A collector whose database is older than an enrolment or a renewal takes those agents back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from fakes.joining import Identity
from fakes.ports import Running, hello, join, refusal, renew, run, running_server

from keycensus_collector.authority import local
from keycensus_collector.authority.authority import issue_agent_certificate
from keycensus_collector.clock import FixedClock
from keycensus_collector.deployment import SetUp
from keycensus_proto.v1 import enrolment_pb2, report_pb2_grpc


@dataclass
class Restored:
    """A deployment whose database is put back to what it was before two agents changed."""

    directory: Path
    clock: FixedClock
    made: SetUp
    kept: Identity
    renewed: Identity
    before_renewal: Identity
    enrolled: Identity

    @property
    def authority(self) -> local.LocalAuthority:
        return local.load(self.directory / "authority", datetime.now(UTC))

    @asynccontextmanager
    async def served(self) -> AsyncIterator[Running]:
        async with running_server(self.directory, clock=self.clock, made=self.made) as running:
            yield running

    def forged(self, agent_id: str, *, by: local.LocalAuthority, ago: float) -> Identity:
        """Return an identity that was issued some seconds before now."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = issue_agent_certificate(
            by,
            key.public_key(),
            deployment="test",
            agent_id=agent_id,
            now=datetime.fromtimestamp(self.clock.now_ms() / 1000, UTC) - timedelta(seconds=ago),
        )
        response = enrolment_pb2.EnrolResponse(
            trust=self.kept.response.trust,
            certificate_chain=[certificate.public_bytes(Encoding.DER)],
        )
        return Identity(key, response)


@pytest.fixture
async def restored(tmp_path: Path) -> Restored:
    clock = FixedClock(int(datetime.now(UTC).timestamp() * 1000) - 600_000)
    directory = tmp_path / "state"
    async with running_server(directory, clock=clock) as running:
        clock.advance(50)
        kept, old = await join(running), await join(running, name="renews.example")
        with (
            closing(sqlite3.connect(directory / "keycensus.db")) as database,
            closing(sqlite3.connect(tmp_path / "copy.db")) as copy,
        ):
            database.backup(copy)
        clock.advance(100)
        renewed = await renew(running, old)
        assert (await hello(running, renewed)).HasField("hello_ack")
        enrolled = await join(running, name="new.example")
        made = running.made
    for each in directory.glob("keycensus.db*"):
        each.unlink()
    (tmp_path / "copy.db").rename(directory / "keycensus.db")
    clock.advance(100)
    return Restored(directory, clock, made, kept, renewed, old, enrolled)


async def test_who_renewed_or_enrolled_meanwhile_is_taken_back(restored: Restored) -> None:
    async with restored.served() as running:
        for identity in (restored.kept, restored.renewed, restored.enrolled):
            assert (await hello(running, identity)).HasField("hello_ack")
        # Its first stream has made the newer certificate the current one.
        assert (await hello(running, restored.before_renewal)).refusal.reason == "unknown"
        agents = await run(running, "agent.list")
        assert {row["state"] for row in agents} == {"active"}
        assert len(agents) == len(await run(running, "host.list")) == 3
        await renew(running, restored.enrolled)
    # What was taken back stays.
    restored.clock.advance(3600)
    async with restored.served() as running:
        for identity in (restored.renewed, restored.enrolled):
            assert (await hello(running, identity)).HasField("hello_ack")


async def test_one_that_comes_weeks_and_restarts_later_is_taken_back(restored: Restored) -> None:
    for _ in range(3):
        restored.clock.advance(86_400)
        async with restored.served() as running:
            await join(running)
    async with restored.served() as running:
        assert (await hello(running, restored.enrolled)).HasField("hello_ack")
        # Any call may be the first.
        async with restored.renewed.channel(str(running.bound.report)) as channel:
            leave = report_pb2_grpc.AgentsStub(channel).Leave
            await leave(enrolment_pb2.LeaveRequest(), timeout=20)


async def test_what_was_not_issued_in_the_lost_time_is_not_taken_back(restored: Restored) -> None:
    company = local.create_own("company", datetime.now(UTC))
    mine = restored.authority
    agent_id = restored.kept.response.agent_id
    async with restored.served() as running:
        restored.clock.advance(60)
        for imposter in (
            restored.forged(agent_id, by=mine, ago=0),
            restored.forged("b3b1b0a6-0000-4000-8000-000000000001", by=mine, ago=10),
            restored.forged(agent_id, by=mine, ago=290),
        ):
            answer = await hello(running, imposter)
            assert answer.refusal.reason == "unknown"
        # TLS refuses what another authority signed.
        await refusal(hello(running, restored.forged(agent_id, by=company, ago=100)))


async def test_the_banned_stay_banned(restored: Restored) -> None:
    agent_id = restored.renewed.response.agent_id
    async with restored.served() as running:
        await run(running, "agent.ban", agent=agent_id, reason="stolen")
        assert (await hello(running, restored.renewed)).refusal.reason in {"banned", "unknown"}
        agents = await asyncio.to_thread(running.run, "agent.list")
        assert [row["state"] for row in agents if row["id"] == agent_id] == ["banned"]


async def test_an_older_certificate_of_the_lost_time_comes_too_late(restored: Restored) -> None:
    agent_id = restored.renewed.response.agent_id
    stolen = restored.forged(agent_id, by=restored.authority, ago=150)
    async with restored.served() as running:
        assert (await hello(running, restored.renewed)).HasField("hello_ack")
        assert (await hello(running, stolen)).refusal.reason == "unknown"
