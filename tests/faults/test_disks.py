"""Disks that are full or broken under the agent's state and under the collector's database."""

from __future__ import annotations

import errno
import json
import signal
import ssl
import time
import urllib.request
from pathlib import Path

import pytest
from fakes.collector import Collector
from fakes.inventory import one
from fakes.sample_agent import SampleAgent, kill_group
from faults.kit.disk import Disk
from faults.kit.oracle import acknowledged_is_committed, within
from faults.kit.preload import SYNC, WRITE, Preload
from faults.kit.small_disk import fill, small_disk


def enrolled(directory: Path, collector: Collector) -> SampleAgent:
    agent = SampleAgent(directory, "one")
    agent.enrol(collector)
    return agent


def asked(collector: Collector, path: str) -> dict[str, object]:
    """Ask the REST API."""
    context = ssl.create_default_context(cafile=str(collector.ca_file))
    context.check_hostname = False
    request = urllib.request.Request(
        f"https://{collector.web}/api/v1/{path}",
        headers={"Authorization": f"Bearer {collector.admin_token}"},
    )
    with urllib.request.urlopen(request, context=context, timeout=20) as answer:  # noqa: S310
        found: dict[str, object] = json.loads(answer.read())
        return found


def test_a_collector_whose_disk_is_full_acknowledges_nothing_and_still_answers(
    tmp_path: Path,
) -> None:
    with small_disk(tmp_path / "collector/state", 6) as disk_of_the_collector:
        collector = Collector.make(tmp_path / "collector")
        with collector:
            agent = enrolled(tmp_path / "one", collector)
            disk = Disk(agent, 14)
            disk.change(20)
            agent.run_once()
            held = one(collector.database, "SELECT count(*) FROM place WHERE gone_ms IS NULL")
            assert asked(collector, "health")["status"] == "ok"
            filler = fill(disk_of_the_collector)
            disk.change(40)
            done = agent.command("run", "--once")
            assert done.returncode == 3, done.stdout
            assert "busy" in done.stderr
            assert "Traceback" not in done.stderr
            listed = asked(collector, "hosts")["items"]
            assert isinstance(listed, list)
            assert len(listed) == 1
            assert asked(collector, "health")["status"] == "degraded"
            now = one(collector.database, "SELECT count(*) FROM place WHERE gone_ms IS NULL")
            assert now == held
            filler.unlink()
            agent.run_once()
            disk.is_inventory_of(collector)
            assert asked(collector, "health")["status"] == "ok"


@pytest.mark.parametrize("operation", [SYNC, pytest.param(WRITE, marks=pytest.mark.long)])
def test_what_the_collectors_disk_did_not_keep_is_not_acknowledged(
    tmp_path: Path, preload: Preload, operation: int
) -> None:
    collector = Collector.make(tmp_path / "collector")
    collector.start(environment=preload.environment)
    with collector:
        agent = enrolled(tmp_path / "one", collector)
        disk = Disk(agent, 15)
        disk.change(20)
        preload.fail(operation, errno.EIO, below=Path(f"{collector.database}-wal"))
        done = agent.command("run", "--once")
        assert done.returncode == 3, done.stdout
        assert preload.failed > 0
        assert one(collector.database, "SELECT count(*) FROM place") == 0
        assert any("dmesg" in str(event["error"]) for event in collector.events("stream.failed"))
        # Power is lost at once, so nothing that was not on the disk can come from memory.
        collector.kill()
        preload.heal()
        collector.start(environment=preload.environment)
        agent.run_once()
        disk.is_inventory_of(collector)


@pytest.mark.long
def test_a_collector_goes_on_after_single_failures_and_acknowledged_nothing_that_it_lost(
    tmp_path: Path, preload: Preload
) -> None:
    """The failure comes later each time: at the hello, at blobs, at the commit of a batch."""
    collector = Collector.make(tmp_path / "collector")
    collector.start(environment=preload.environment)
    with collector:
        agent = enrolled(tmp_path / "one", collector)
        disk = Disk(agent, 16)
        refused = 0
        for operation, error, steps in (
            (SYNC, errno.EIO, (0, 1, 3)),
            (WRITE, errno.ENOSPC, (0, 12)),
        ):
            for after in steps:
                disk.change(6)
                log = Path(f"{collector.database}-wal")
                preload.fail(operation, error, below=log, after=after, times=1)
                refused += agent.command("run", "--once").returncode == 3
                acknowledged_is_committed(collector.database, agent)
        assert refused >= 3
        preload.heal()
        agent.run_once()
        disk.is_inventory_of(collector)
        collector.kill()
        collector.start()
        disk.is_inventory_of(collector)


@pytest.mark.parametrize("operation", [SYNC, WRITE])
def test_an_agent_whose_disk_fails_says_so_loses_nothing_and_goes_on(
    collector: Collector, agent: SampleAgent, preload: Preload, operation: int
) -> None:
    agent.interpreter = [str(preload.interpreter())]
    disk = Disk(agent, 17)
    disk.change(10)
    agent.run_once()
    told = 0
    for after in (0, 1, 3):
        disk.change(5)
        preload.fail(operation, errno.EIO, below=agent.state / "state/state.db", after=after)
        done = agent.command("run", "--once")
        assert preload.failed > 0
        assert "Traceback" not in done.stderr
        # What fails after the last commit, when the log is folded in at the end, costs nothing.
        assert done.returncode in (0, 3)
        told += done.returncode == 3 and "disk" in done.stderr
        preload.heal()
        acknowledged_is_committed(collector.database, agent)
    assert told >= 1
    agent.run_once()
    disk.is_inventory_of(collector)


def test_the_daemon_lives_through_a_disk_that_fails_and_heals(
    collector: Collector, agent: SampleAgent, preload: Preload
) -> None:
    agent.interpreter = [str(preload.interpreter())]
    disk = Disk(agent, 18)
    disk.change(10)
    process = agent.start("run")
    log = agent.directory / "agent.log"
    try:
        within(60, lambda: "reported" in log.read_text(), "a first report")
        preload.fail(SYNC, errno.EIO, below=agent.state / "state/state.db")
        disk.change(10)
        within(60, lambda: "trouble" in log.read_text(), "the agent says what is wrong")
        assert process.poll() is None
        preload.heal()
        time.sleep(0.2)
        process.send_signal(signal.SIGHUP)

        def arrived() -> bool:
            try:
                disk.is_inventory_of(collector)
            except AssertionError:
                return False
            return True

        within(60, arrived, "everything arrives")
        process.terminate()
        assert process.wait(20) == 0
        assert "Traceback" not in log.read_text()
    finally:
        kill_group(process)
