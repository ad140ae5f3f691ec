"""Two real collectors over one real PostgreSQL: either may be killed, and the primary may fail."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from fakes.agent_stream import File, file_of
from fakes.collector import Collector
from fakes.postgres import PASSWORD, PostgresServer, running_server, standby_of
from faults.kit.fleet import EndedError, SimulatedAgent, Visit, issue_fleet
from faults.kit.oracle import LIVE_PLACES, acknowledged_is_among
from sqlalchemy import func, select

from keycensus_collector.config import load
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import agent, place, work

# `make faults-long` lets a thousand hosts come with the same bundle.
HOSTS = int(os.environ.get("KEYCENSUS_HOSTS", "40"))
_BUNDLE = file_of(b"bundle", *(f"authority {number}".encode() for number in range(60)))
_PATIENCE_SECONDS = 60.0
_BAN_SECONDS = 5.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def two_collectors(directory: Path, url: str) -> tuple[Collector, Collector]:
    """Set up a deployment, and a second collector of it as the documentation says."""
    first = Collector.make(directory / "one", "--database", url)
    second = Collector.make(directory / "two", "--database", url)
    shutil.copytree(first.state / "authority", second.state / "authority")
    return first, second


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with running_server(durable=True) as server:
        yield server


async def report(
    member: SimulatedAgent, collectors: Sequence[Collector], dice: random.Random
) -> int:
    """Report to any collector until one has acknowledged all; return how often that broke off."""
    broken, end = 0, time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            await member.visit(dice.choice(collectors).report)
        except EndedError:
            assert time.monotonic() < end, "nobody serves this agent"
            broken += 1
            await asyncio.sleep(0.3)
        else:
            return broken


def change(members: Sequence[SimulatedAgent], round_: int) -> None:
    for member in members:
        for number in range(4):
            content = f"{member.credentials.name} {number} {round_}".encode()
            member.wanted[f"/srv/{number}.pem".encode()] = file_of(content, b"shared authority")


def check_inventory(collector: Collector, members: Sequence[SimulatedAgent]) -> None:
    """Hold what the database has of each host against what it holds."""
    with Store.open(load(collector.config_file).database_url) as store, store.read() as connection:
        rows = connection.execute(
            select(place.c.host_no, place.c.path, place.c.manifest).where(place.c.gone_ms.is_(None))
        ).all()
    found: dict[int, dict[bytes, bytes]] = {}
    for host_no, path, manifest in rows:
        found.setdefault(host_no, {})[path.encode()] = manifest
    for member in members:
        assert found[member.credentials.host_no] == {
            path: file.manifest for path, file in member.wanted.items()
        }


def wait_for_catalogue(collector: Collector) -> None:
    """Wait until all that was queued is done."""
    end = time.monotonic() + _PATIENCE_SECONDS
    with Store.open(load(collector.config_file).database_url) as store:
        while True:
            with store.read() as connection:
                left = connection.execute(select(func.count()).select_from(work)).scalar_one()
            if not left:
                return
            assert time.monotonic() < end, f"{left} rows of work are left"
            time.sleep(0.2)


def count_inserts(server: PostgresServer, url: str, table: str) -> None:
    """Let each row that is inserted into a table count, also one that is rolled back later."""
    for statement in (
        "CREATE SEQUENCE inserted",
        """CREATE FUNCTION count_one() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
        AS 'BEGIN PERFORM nextval(''inserted''); RETURN NULL; END'""",
        f"CREATE TRIGGER counted AFTER INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION count_one()",
    ):
        server.execute(statement, database_of(url))


def inserted(server: PostgresServer, url: str) -> int:
    """Return how many rows were inserted since `count_inserts`."""
    with psycopg.connect(server.conninfo("postgres", database_of(url))) as connection:
        row = connection.execute("SELECT last_value FROM inserted WHERE is_called").fetchone()
    return int(row[0]) if row else 0


def database_of(url: str) -> str:
    return str(psycopg.conninfo.conninfo_to_dict(url)["dbname"])


@asynccontextmanager
async def standing(
    member: SimulatedAgent, collector: Collector
) -> AsyncIterator[asyncio.Task[str]]:
    """Give a task that ends with the reason for which the collector ends an idle stream."""
    async with member.stream(collector.report, Visit(time.monotonic())) as conversation:

        async def wait() -> str:
            try:
                await conversation.receive("refusal")
            except EndedError as error:
                return error.reason
            return "nothing"

        task = asyncio.create_task(wait())
        yield task
        task.cancel()


@pytest.mark.long
@pytest.mark.slow
async def test_many_hosts_with_one_bundle_a_ban_and_a_kill_at_two_collectors(
    server: PostgresServer, tmp_path: Path
) -> None:
    url, dice = server.new_database(), random.Random(7)  # noqa: S311 - a test's dice
    first, second = two_collectors(tmp_path, url)
    members = [SimulatedAgent(each) for each in issue_fleet(first, HOSTS + 1)]
    banned = members.pop()
    with first, second:
        both = (first, second)
        # First contact of all at once: each blob is written once.
        count_inserts(server, url, "blob")
        for member in members:
            member.wanted[b"/etc/ssl/bundle.pem"] = _BUNDLE
        await asyncio.gather(*(report(member, both, dice) for member in members))
        assert inserted(server, url) == len(_BUNDLE.blobs)

        # A ban at one ends the stream at the other.
        with Store.open(url) as store, store.read() as connection:
            wanted = select(agent.c.agent_id).where(agent.c.agent_no == banned.credentials.agent_no)
            agent_id = connection.execute(wanted).scalar_one()
        async with standing(banned, second) as ended:
            await asyncio.sleep(0.5)
            result = await asyncio.to_thread(first.command, "agent", "ban", agent_id)
            assert result.returncode == 0, result.stderr
            assert await asyncio.wait_for(ended, _BAN_SECONDS) == "banned"

        # One dies in the middle of reports; agents go on at the other.
        change(members, 1)
        reports = [asyncio.create_task(report(member, both, dice)) for member in members]
        await asyncio.sleep(0.2)
        first.kill()
        await asyncio.gather(*reports)
        change(members, 2)
        await asyncio.gather(*(report(member, [second], dice) for member in members))
        await asyncio.to_thread(check_inventory, second, members)
        await asyncio.to_thread(wait_for_catalogue, second)
        first.start()
        await report(members[0], [first], dice)


@pytest.mark.long
async def test_a_fail_over_of_the_database_loses_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = random.Random(8)  # noqa: S311 - a test's dice
    file = tmp_path / "password"
    file.write_text(f"*:*:*:*:{PASSWORD}\n")
    file.chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(file))
    ports = free_port(), free_port()
    with (
        running_server(port=ports[0], durable=True) as primary,
        standby_of(primary, ports[1]) as standby,
    ):
        # Acknowledged is what the standby has, too.
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        name = database_of(primary.new_database())
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        first, second = two_collectors(tmp_path, f"postgresql://keycensus@{hosts}/{name}")
        members = [SimulatedAgent(each) for each in issue_fleet(first, 10)]
        with first, second:
            both = (first, second)
            change(members, 0)
            await asyncio.gather(*(report(member, both, dice) for member in members))
            change(members, 1)
            reports = [asyncio.create_task(report(member, both, dice)) for member in members]
            await asyncio.sleep(0.15)
            primary.stop(signal.SIGQUIT)
            before = [dict(member.acknowledged) for member in members]
            standby.execute("SELECT pg_promote()")
            check_acknowledged(standby, name, members, before)
            assert sum(await asyncio.gather(*reports)) > 0
            await asyncio.to_thread(check_inventory, first, members)
            # Neither is stuck: each takes reports again, and its commands work.
            for collector in both:
                change(members[:1], 2)
                await report(members[0], [collector], dice)
                result = await asyncio.to_thread(collector.command, "host", "list")
                assert result.returncode == 0, result.stderr


def check_acknowledged(
    standby: PostgresServer,
    name: str,
    members: Sequence[SimulatedAgent],
    acknowledged: Sequence[dict[bytes, File]],
) -> None:
    """Hold the promoted server against what agents had been told before the primary died."""
    names = [member.credentials.name for member in members]
    with psycopg.connect(standby.conninfo("postgres", name)) as connection:
        acknowledged_is_among(
            connection.execute(LIVE_PLACES),
            dict(zip(names, acknowledged, strict=True)),
            # What came after it, whose ack was under way.
            {host: member.wanted for host, member in zip(names, members, strict=True)},
        )
