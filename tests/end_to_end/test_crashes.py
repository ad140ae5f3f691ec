"""Whatever dies, whenever: in the end the inventory is the disk, and nothing was invented."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from fakes.collector import Collector
from fakes.inventory import one, places, version_rows
from fakes.sample_agent import SampleAgent, kill_group
from faults.kit.disk import LEAVES, Disk

from keycensus_proto.v1 import inventory_pb2

# `make faults-long` kills a hundred times.
KILLS = int(os.environ.get("KEYCENSUS_KILLS", "10"))
AGENT_STEPS = [
    "before_offer",
    "after_offer",
    "after_want",
    "before_blob",
    "after_blob",
    "before_batch",
    "after_batch",
    "after_ack_received",
    "after_ack_stored",
]
COLLECTOR_STEPS = [
    "after_offer_before_want",
    "after_blob",
    "before_commit",
    "after_commit_before_ack",
]


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with Collector.make(tmp_path / "collector") as collector:
        yield collector


@pytest.fixture
def agent(tmp_path: Path, collector: Collector) -> SampleAgent:
    agent = SampleAgent(tmp_path / "one", "one")
    agent.enrol(collector)
    return agent


def check(collector: Collector, disk: Disk) -> None:
    """Hold the inventory against the disk (I1, I3), and its history against what ever was (I2)."""
    found = {path: set(place.artifacts) for path, place in places(collector.database).items()}
    assert found == {path: {digest} for path, digest in disk.now.items()}
    manifests = {}
    for path, _, row in version_rows(collector.database):
        if row:
            manifests[path, inventory_pb2.Place.FromString(row).manifest] = True
    for path, manifest in manifests:
        held = one(
            collector.database,
            "SELECT count(*) FROM manifest_entry WHERE manifest = ?",
            manifest,
        )
        assert held == 1
        assert path in disk.ever


def one_at_once(steps: Sequence[str]) -> list[ParameterSet]:
    """Return steps as parameters: `make test` takes the first, `make long` the others."""
    return [
        pytest.param(step, marks=[pytest.mark.long] if number else [])
        for number, step in enumerate(steps)
    ]


@pytest.mark.parametrize("step", one_at_once(AGENT_STEPS))
def test_an_agent_that_dies_at_a_step_loses_and_invents_nothing(
    collector: Collector, agent: SampleAgent, step: str
) -> None:
    disk = Disk(agent, 1)
    disk.change(20)
    died = agent.command("run", "--once", failpoint=f"{step}:1")
    assert died.returncode == -9, died.stderr
    disk.change(6)
    agent.run_once()
    check(collector, disk)


@pytest.mark.parametrize("step", one_at_once(COLLECTOR_STEPS))
def test_a_collector_that_dies_at_a_step_loses_and_invents_nothing(
    tmp_path: Path, step: str
) -> None:
    collector = Collector.make(tmp_path / "collector")
    agent = SampleAgent(tmp_path / "one", "one")
    collector.start()
    agent.enrol(collector)
    collector.stop()
    disk = Disk(agent, 2)
    disk.change(20)
    collector.start(failpoint=step)
    failed = agent.command("run", "--once")
    assert failed.returncode == 3, failed.stdout
    collector.wait_until_dead()
    disk.change(6)
    with collector:
        agent.run_once()
        check(collector, disk)


@pytest.mark.long
def test_a_commit_whose_ack_was_lost_is_not_applied_twice(tmp_path: Path) -> None:
    collector = Collector.make(tmp_path / "collector")
    agent = SampleAgent(tmp_path / "one", "one")
    collector.start()
    agent.enrol(collector)
    collector.stop()
    Disk(agent, 3).change(20)
    collector.start(failpoint="after_commit_before_ack")
    agent.command("run", "--once")
    collector.wait_until_dead()
    with collector:
        before = version_rows(collector.database)
        agent.run_once()
        assert version_rows(collector.database) == before


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_under_changing_files_leave_the_inventory_exact(
    collector: Collector, agent: SampleAgent
) -> None:
    """Kill the agent's processes, or the collector, at random moments; then let them finish.

    Every tenth time the agent dies with an ack in its hands, so that batches are committed that it
    does not know of, and duplicates do occur (I8).
    """
    dice = random.Random(2026)  # noqa: S311 - a test's dice
    disk = Disk(agent, 4)
    disk.change()
    agent.run_once()
    disk.change()
    started = time.monotonic()
    agent.run_once()
    whole_run = time.monotonic() - started
    late = 0
    for number in range(KILLS):
        disk.change()
        if number % 10 == 9:
            agent.command("run", "--once", failpoint="after_ack_received")
            late += unheard_acks(collector, agent)
            continue
        process = agent.start("run", "--once")
        with suppress(subprocess.TimeoutExpired):
            process.wait(dice.uniform(0.0, whole_run))
        if dice.random() < 0.3:
            collector.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(dice.uniform(0.0, 0.3))
            kill_group(process)
            collector.start()
        else:
            kill_group(process)
        late += unheard_acks(collector, agent)
    agent.run_once()
    check(collector, disk)
    duplicates = one(collector.database, "SELECT sum(duplicates) FROM intake_batch")
    assert duplicates + late > 0


def unheard_acks(collector: Collector, agent: SampleAgent) -> int:
    """How many committed batches the agent will have to present, or be told of, again."""
    from keycensus_agent.reader.state import State

    state = State.in_memory(agent.state / "state/state.db")
    try:
        acknowledged = state.get_number("acknowledged_sequence")
    finally:
        state.close()
    committed = one(collector.database, "SELECT max(last_sequence) FROM session")
    return int(committed > acknowledged)


@pytest.mark.long
def test_a_thousand_changes_without_a_collector_all_arrive(
    collector: Collector, agent: SampleAgent
) -> None:
    agent.run_once()
    collector.kill()
    few = peak_memory_kib(agent)
    expected = {}
    for number in range(1000):
        leaf = LEAVES[number % len(LEAVES)]
        agent.write(f"srv/{number % 7}/{number}.pem", leaf.pem)
        expected[f"/srv/{number % 7}/{number}.pem"] = {leaf.sha256.hex()}
    many = peak_memory_kib(agent)
    assert many < few + 20 * 1024, f"{few} KiB without changes, {many} KiB with a thousand"
    sizes = []
    for _ in range(4):
        done = agent.command("run", "--once")
        assert done.returncode == 3
        assert "Waiting in the outbox: 1,000 changes." in done.stderr
        sizes.append((agent.state / "state/state.db").stat().st_size)
    assert sizes[-1] == sizes[0], "space grows with time, not with what changed"
    collector.start()
    agent.run_once()
    found = {path: set(place.artifacts) for path, place in places(collector.database).items()}
    assert found == expected


def peak_memory_kib(agent: SampleAgent) -> int:
    """Run once without a collector; return the peak resident size of the largest process."""
    process = agent.start("run", "--once")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 3
    return usage.ru_maxrss
