"""Bad surroundings: each is told in a sentence that names the thing, with the right exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.inventory import places
from fakes.sample_agent import SampleAgent, kill_group
from fakes.unprivileged import open_directory
from faults.kit.small_disk import fill, small_disk


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with Collector.make(tmp_path / "collector") as collector:
        yield collector


@pytest.fixture
def agent(tmp_path: Path, collector: Collector) -> SampleAgent:
    agent = SampleAgent(tmp_path / "one", "one")
    agent.enrol(collector)
    return agent


def is_plain(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether a person was spared the insides."""
    return "Traceback" not in done.stdout + done.stderr


@pytest.fixture
def small_state(agent: SampleAgent) -> Iterator[Path]:
    """Put the reader's state on a file system of 3 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    with small_disk(agent.state / "state", 3) as point:
        yield point


def test_a_full_disk_under_the_state_is_told_and_nothing_is_lost(
    collector: Collector, agent: SampleAgent, small_state: Path
) -> None:
    for number in range(20):
        agent.write(f"srv/{number}.pem", Leaf(f"{number}.example").pem)
    agent.run_once()
    for number in range(20, 400):
        agent.write(f"srv/{number}/{number}.pem", Leaf(f"{number % 30}.example").pem)
    filler = fill(small_state)
    done = agent.command("run", "--once")
    assert done.returncode == 3
    assert is_plain(done)
    assert "disk" in done.stderr
    assert "full" in done.stderr
    assert len(places(collector.database)) >= 20
    filler.unlink()
    agent.run_once()
    assert len(places(collector.database)) == 400


def test_a_disk_that_is_full_from_the_start_is_told(
    collector: Collector, agent: SampleAgent, small_state: Path
) -> None:
    agent.write("srv/a.pem", Leaf("a.example").pem)
    filler = fill(small_state)
    done = agent.command("run", "--once")
    assert done.returncode == 3
    assert is_plain(done)
    assert "full" in done.stderr
    filler.unlink()
    agent.run_once()
    assert set(places(collector.database)) == {"/srv/a.pem"}


def test_the_daemon_lives_through_a_full_disk(
    collector: Collector, agent: SampleAgent, small_state: Path
) -> None:
    agent.write("srv/a.pem", Leaf("a.example").pem)
    agent.run_once()
    for number in range(400):
        agent.write(f"srv/{number}/{number}.pem", Leaf(f"{number % 30}.example").pem)
    filler = fill(small_state)
    process = agent.start("run")
    try:
        log = agent.directory / "agent.log"
        wait_for(lambda: "full" in log.read_text())
        assert process.poll() is None
        filler.unlink()
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(places(collector.database)) == 401)
        process.terminate()
        assert process.wait(10) == 0
        assert "Traceback" not in log.read_text()
    finally:
        kill_group(process)


def wait_for(condition: object, seconds: float = 30) -> None:
    """Wait until a callable says yes."""
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


@pytest.fixture
def unprivileged(collector: Collector) -> Iterator[SampleAgent]:
    """Give an agent that can't read everything: root in a container that took that right away."""
    with open_directory() as directory:
        agent = SampleAgent(directory / "one", "one")
        if os.geteuid() == 0:
            hold = "--bounding-set=-dac_override,-dac_read_search"
            agent.interpreter = ["setpriv", hold, *agent.interpreter]
        agent.enrol(collector)
        yield agent


def test_an_unreadable_directory_is_a_gap_and_nothing_below_it_is_gone(
    collector: Collector, unprivileged: SampleAgent
) -> None:
    agent = unprivileged
    agent.write("srv/secret/a.pem", Leaf("a.example").pem)
    agent.run_once()
    (agent.root / "srv/secret").chmod(0o000)
    done = agent.command("run", "--once")
    assert done.returncode == 0, done.stderr
    assert ", 1 gap" in done.stdout
    assert set(places(collector.database)) == {"/srv/secret/a.pem"}
    status = agent.command("status")
    assert "/srv/secret (unlisted EACCES)" in status.stdout


def test_sigterm_in_a_sweep_ends_soon_and_takes_nothing_for_gone(
    collector: Collector, agent: SampleAgent
) -> None:
    for number in range(60):
        for inner in range(60):
            agent.write(f"srv/{number}/{inner}/a.txt", b"some text without any marker\n" * 3)
    agent.write("srv/59/z.pem", Leaf("a.example").pem)
    agent.run_once()
    before = set(places(collector.database))
    for delay in (0.15, 0.25, 0.35):
        process = agent.start("run", "--once")
        time.sleep(delay)
        process.terminate()
        assert process.wait(10) in (0, 130, -signal.SIGTERM)
        assert set(places(collector.database)) == before
    agent.run_once()
    assert set(places(collector.database)) == before


def test_a_daemon_reports_changes_and_ends_in_order(
    collector: Collector, agent: SampleAgent
) -> None:
    agent.write("srv/a.pem", Leaf("a.example").pem)
    process = agent.start("run")
    try:
        wait_for(lambda: set(places(collector.database)) == {"/srv/a.pem"})
        agent.write("srv/b.pem", Leaf("b.example").pem)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: set(places(collector.database)) == {"/srv/a.pem", "/srv/b.pem"})
        status = agent.command("status")
        assert status.returncode == 0, status.stdout
        assert "running" in status.stdout
        second = agent.command("run", "--once")
        assert second.returncode == 3
        assert str(process.pid) in second.stderr
        process.terminate()
        assert process.wait(10) == 0
        assert agent.command("status").returncode == 1
    finally:
        kill_group(process)


def test_a_configuration_with_mistakes_names_each_of_them(agent: SampleAgent) -> None:
    agent.config_file.write_text(
        '[scan]\nroots = "/"\nexlude = []\n[sweep]\ncpu_share = 7\n[colector]\n[log]\nlevel = "x"\n'
    )
    for command in (("run", "--once"), ("check-config",), ("status",)):
        done = agent.command(*command)
        assert done.returncode == 2
        assert is_plain(done)
        for word in ("5 mistakes", "roots", "exlude", "cpu_share", "colector", "level"):
            assert word in done.stderr, done.stderr


def test_a_collector_that_is_not_there_is_named(agent: SampleAgent, collector: Collector) -> None:
    agent.write("srv/a.pem", Leaf("a.example").pem)
    collector.kill()
    done = agent.command("run", "--once")
    assert done.returncode == 3
    assert is_plain(done)
    assert collector.report in done.stderr
    assert "Waiting in the outbox: 1 change." in done.stderr
    collector.start()


def test_a_run_without_enrolment_says_what_to_do(tmp_path: Path) -> None:
    agent = SampleAgent(tmp_path / "fresh")
    agent.write("srv/a.pem", Leaf("a.example").pem)
    done = agent.command("run", "--once")
    assert done.returncode == 3
    assert "keycensus-agent enrol" in done.stderr


def test_another_hosts_identity_can_not_write_this_hosts_rows(
    tmp_path: Path, collector: Collector, agent: SampleAgent
) -> None:
    agent.write("srv/a.pem", Leaf("a.example").pem)
    agent.run_once()
    intruder = SampleAgent(tmp_path / "two", "one")
    (intruder.root / "etc/machine-id").write_text((agent.root / "etc/machine-id").read_text())
    intruder.enrol(collector)
    intruder.write("srv/a.pem", Leaf("evil.example").pem)
    intruder.run_once()
    hosts = collector.query("host", "list")
    assert len(hosts) == 2, "a machine id is a claim: it never takes over a host"
    agent.run_once()
    from fakes.inventory import one

    assert one(collector.database, "SELECT count(*) FROM place WHERE gone_ms IS NULL") == 2
    assert one(collector.database, "SELECT count(*) FROM place_version") == 2


def test_the_commands_are_started_without_the_package_of_the_collector() -> None:
    code = (
        "import sys, keycensus_agent.cli, keycensus_agent.reader.daemon, keycensus_agent.link.control\n"
        "print([name for name in sys.modules if name.startswith(('keycensus_collector',"
        " 'keycensus_client'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
