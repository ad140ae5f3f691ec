"""Signals and sudden deaths of single processes, at any moment."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from fakes.collector import Collector
from fakes.inventory import connect, places
from fakes.sample_agent import SampleAgent, kill_group
from faults.kit.disk import Disk
from faults.kit.oracle import family, within

# As systemd would: after this it kills.
STOP_SECONDS = 10.0


def started_daemons(agent: SampleAgent) -> int:
    log = agent.directory / "agent.log"
    return log.read_text().count("agent started") if log.exists() else 0


@pytest.mark.long
def test_a_daemon_that_is_hung_up_and_terminated_at_any_moment_ends_in_order(
    collector: Collector, agent: SampleAgent
) -> None:
    dice = random.Random(39)  # noqa: S311 - a test's dice
    disk = Disk(agent, 39)
    disk.change(60)
    agent.run_once()
    for _ in range(6):
        disk.change(6)
        begun = started_daemons(agent)
        process = agent.start("run")
        try:
            within(60, lambda: started_daemons(agent) > begun, "the daemon starts")  # noqa: B023
            time.sleep(dice.uniform(0, 1.2))
            for _ in range(dice.randrange(4)):
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGHUP)
                time.sleep(dice.uniform(0, 0.1))
            started = time.monotonic()
            process.terminate()
            assert process.wait(STOP_SECONDS) == 0
            assert time.monotonic() - started < STOP_SECONDS
        finally:
            kill_group(process)
        assert set(places(collector.database, agent.name)) <= set(disk.ever)
    agent.run_once()
    disk.is_inventory_of(collector)
    assert "Traceback" not in (agent.directory / "agent.log").read_text()


def programs_of(pid: int) -> list[int]:
    """Return the programs that a daemon has started, its own forked launcher apart.

    Without the launcher there are no links any more: the daemon says so and leaves (test_launcher.py).
    """
    own = command_of(pid)
    return [child for child in family(pid)[1:] if command_of(child) not in (own, b"")]


def command_of(pid: int) -> bytes:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_a_daemon_survives_whatever_the_kernel_kills_beside_it(
    collector: Collector, agent: SampleAgent
) -> None:
    """What the OOM killer does: SIGKILL to a child, here the link and the parser, as they work."""
    disk = Disk(agent, 38)
    disk.change(30)
    agent.run_once()
    process = agent.start("run")
    begun = agent.directory / "agent.log"
    within(60, lambda: "agent started" in begun.read_text(), "the daemon starts")
    killed: set[int] = set()
    deadline = time.monotonic() + 90
    try:
        while len(killed) < 5:
            assert time.monotonic() < deadline, f"only {len(killed)} children were seen"
            disk.change(2)
            # What was killed is tried again later; the hang-up makes that soon.
            process.send_signal(signal.SIGHUP)
            for _ in range(50):
                for child in set(programs_of(process.pid)) - killed:
                    with suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
                        killed.add(child)
                time.sleep(0.02)
                assert process.poll() is None, (agent.directory / "agent.log").read_text()
        process.terminate()
        assert process.wait(20) == 0
    finally:
        kill_group(process)
    assert "Traceback" not in (agent.directory / "agent.log").read_text()
    agent.run_once()
    disk.is_inventory_of(collector)


@pytest.mark.long
def test_a_program_that_reads_the_database_for_long_keeps_nobody_from_reporting(
    collector: Collector, agent: SampleAgent
) -> None:
    disk = Disk(agent, 37)
    disk.change(20)
    agent.run_once()
    log = Path(f"{collector.database}-wal")
    with closing(connect(collector.database)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM place").fetchone()
        for _ in range(3):
            disk.change(10)
            agent.run_once()
        disk.is_inventory_of(collector)
        grown = log.stat().st_size
    disk.change(10)
    agent.run_once()
    assert grown > 0
    collector.stop()
    assert not log.exists() or log.stat().st_size == 0, "the log stayed after the reader had gone"
    collector.start()


def test_a_program_that_holds_the_agents_state_is_named_as_the_trouble(
    collector: Collector, agent: SampleAgent
) -> None:
    disk = Disk(agent, 36)
    disk.change(5)
    agent.run_once()
    disk.change(5)
    with closing(sqlite3.connect(agent.state / "state/state.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = agent.command("run", "--once")
        assert done.returncode == 3, done.stdout
        assert "state" in done.stderr
        assert "locked" in done.stderr
        assert "Traceback" not in done.stderr
    agent.run_once()
    disk.is_inventory_of(collector)


@pytest.mark.long
def test_the_collector_ends_in_order_while_agents_report(
    collector: Collector, agent: SampleAgent
) -> None:
    disk = Disk(agent, 35)
    for _ in range(3):
        disk.change(10)
        process = agent.start("run", "--once")
        time.sleep(0.6)
        assert collector.stop() == 0
        process.wait(60)
        collector.start()
    agent.run_once()
    disk.is_inventory_of(collector)
    within(5, collector.is_running, "the collector runs")
