"""Clocks that are wrong: the collector's time counts, what is wrong is named, nothing is lost."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from fakes.collector import Collector
from fakes.inventory import one
from fakes.sample_agent import SampleAgent, kill_group
from faults.kit.disk import Disk
from faults.kit.oracle import within
from faults.kit.preload import Preload

DAY = 86_400


@pytest.fixture
def agent(agent: SampleAgent, preload: Preload) -> SampleAgent:
    """Return an agent whose clock is the library's; it enrolled at the right time."""
    agent.interpreter = [str(preload.interpreter())]
    return agent


def test_a_host_that_lives_in_the_future_reports_and_the_collectors_clock_counts(
    collector: Collector, agent: SampleAgent, preload: Preload
) -> None:
    disk = Disk(agent, 19)
    disk.change(8)
    preload.shift_clock(5 * DAY)
    agent.run_once()
    disk.is_inventory_of(collector)
    now_ms = time.time() * 1000
    newest = one(collector.database, "SELECT max(from_ms) FROM place_version")
    assert abs(newest - now_ms) < 600_000, "the agent's time became the collector's"
    skew = one(collector.database, "SELECT clock_skew_ms FROM host WHERE name = ?", agent.name)
    assert abs(skew - 5 * DAY * 1000) < 600_000


def test_a_clock_that_is_a_year_off_is_named_and_nothing_is_lost(
    collector: Collector, agent: SampleAgent, preload: Preload
) -> None:
    disk = Disk(agent, 20)
    disk.change(8)
    for years, said in (
        (-1, "before this agent's certificate starts"),
        (1, "by this host's clock"),
    ):
        preload.shift_clock(years * 365 * DAY)
        done = agent.command("run", "--once")
        assert done.returncode == 3, done.stdout
        assert said in done.stderr
        assert "clock" in done.stderr
        assert "Waiting in the outbox: " in done.stderr
        assert "Traceback" not in done.stderr
    preload.shift_clock(0)
    agent.run_once()
    disk.is_inventory_of(collector)


def test_a_daemon_whose_clock_jumps_goes_on_sweeping_by_a_steady_one(
    collector: Collector, agent: SampleAgent, preload: Preload
) -> None:
    disk = Disk(agent, 21)
    disk.change(4)
    process = agent.start("run")
    log = agent.directory / "agent.log"
    try:
        within(60, lambda: "reported" in log.read_text(), "a first report")
        for days in (365, -365):
            preload.shift_clock(days * DAY)
            disk.change(4)
            before = log.read_text().count("sweep ended")
            within(60, lambda: log.read_text().count("sweep ended") >= before + 2, "two sweeps")  # noqa: B023
            assert process.poll() is None
        preload.shift_clock(0)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        agent.run_once()
        disk.is_inventory_of(collector)
    finally:
        kill_group(process)


@pytest.mark.long
def test_a_certificate_that_expired_in_a_long_outage_is_replaced_without_a_person(
    tmp_path: Path, preload: Preload
) -> None:
    collector = Collector.make(tmp_path / "collector")
    collector.start(environment=preload.environment)
    with collector:
        agent = SampleAgent(tmp_path / "one", "one")
        agent.interpreter = [str(preload.interpreter())]
        agent.enrol(collector)
        disk = Disk(agent, 22)
        disk.change(8)
        agent.run_once()
        for days, answered in ((40, True), (40 + 250, False)):
            collector.kill()
            preload.shift_clock(days * DAY)
            disk.change(4)
            collector.start(environment=preload.environment)
            done = agent.command("run", "--once")
            assert (done.returncode == 0) is answered, done.stderr
            if answered:
                disk.is_inventory_of(collector)
            else:
                assert "leave --force" in done.stderr
                assert "Waiting in the outbox: " in done.stderr
