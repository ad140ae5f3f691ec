"""The running agent's processes, as the kernel shows them, and what becomes of it when one dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.inventory import places
from fakes.sample_agent import SampleAgent, kill_group

PATIENCE_SECONDS = 60.0
Held = dict[str, str]
T = TypeVar("T")


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with Collector.make(tmp_path / "collector") as collector:
        yield collector


@pytest.fixture
def agent(tmp_path: Path, collector: Collector) -> SampleAgent:
    agent = SampleAgent(tmp_path / "one", "one")
    agent.enrol(collector)
    agent.write("srv/a.pem", Leaf("a.example").pem)
    return agent


@pytest.fixture
def running(agent: SampleAgent) -> Iterator[subprocess.Popen[bytes]]:
    process = agent.start("run")
    yield process
    kill_group(process)


def descendants(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    return found


def kind_of(pid: int, reader: int) -> str:
    """Say which of the agent's processes it is, "" if it is gone or not one yet."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    for module in ("parser", "link"):
        if f"keycensus_agent.{module}".encode() in words:
            return module
    if b"run" in words:
        return "reader" if pid == reader else "launcher"
    return ""


def status_of(pid: int) -> Held:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def until(found: Callable[[], T]) -> T:
    """Ask again and again until there is something."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if answer := found():
            return answer
        time.sleep(0.002)
    pytest.fail("waited in vain")


def watch(agent: SampleAgent, reader: int) -> dict[str, Held]:
    """Give the agent work until each of its processes was seen at it; return what held them."""
    seen: dict[str, Held] = {}
    number = 0
    next_file = 0.0

    def look() -> bool:
        nonlocal number, next_file
        if time.monotonic() > next_file:
            agent.write(f"srv/{number}.pem", Leaf(f"{number}.example").pem)
            number, next_file = number + 1, time.monotonic() + 0.7
        for pid in (reader, *descendants(reader)):
            kind, status = kind_of(pid, reader), status_of(pid)
            # While one starts, it holds what it was born with.
            if kind and status.get("Seccomp") == "2" and is_entered(kind, status):
                seen.setdefault(kind, status)
        return len(seen) == 4

    until(look)
    return seen


def is_entered(kind: str, status: Held) -> bool:
    """Whether it has come to its own filter: it inherits another's at birth."""
    if kind == "launcher":
        return True
    own_filters = {"reader": 1, "parser": 2, "link": 2}[kind]
    return int(status.get("Seccomp_filters", own_filters)) >= own_filters


def test_each_running_process_is_held_by_the_kernel(
    agent: SampleAgent, running: subprocess.Popen[bytes]
) -> None:
    seen = watch(agent, running.pid)
    for kind, status in seen.items():
        assert status["Seccomp"] == "2", kind
        assert status["NoNewPrivs"] == "1", kind
    for kind in ("parser", "link"):
        for capabilities in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
            assert int(seen[kind][capabilities], 16) == 0, (kind, capabilities)
        assert "0" not in seen[kind]["Uid"].split(), kind
    if os.geteuid() == 0:
        # Nobody's files are the reader's, and the reader's not the link's.
        users = {kind: seen[kind]["Uid"].split()[1] for kind in seen}
        assert users["reader"] not in {"0", users["link"]}
        assert int(seen["reader"]["CapPrm"], 16) == 1 << 2
        assert all(not status["Groups"].strip() for status in (seen["parser"], seen["link"]))
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0


def test_status_says_what_the_processes_really_had(agent: SampleAgent) -> None:
    agent.run_once()
    told = json.loads(agent.command("status", "-o", "json").stdout)["isolation"]
    assert set(told) == {"reader", "parser", "link"}
    assert all(each["seccomp"] and each["no_new_privs"] for each in told.values())
    assert told["parser"]["capabilities"] == told["link"]["capabilities"] == []
    assert not any(each["root"] for each in told.values())
    shown = agent.command("status").stdout
    assert "isolation      reader: user" in shown
    assert shown.count("seccomp: yes; no_new_privs: yes") == 3


def test_a_run_leaves_no_process_behind(agent: SampleAgent) -> None:
    process = agent.start("run", "--once")
    launched = until(lambda: descendants(process.pid))
    assert process.wait(PATIENCE_SECONDS) == 0
    assert all(not status_of(pid) for pid in launched)


def test_a_killed_launcher_ends_the_agent_with_a_clear_word_and_a_restart_mends_it(
    agent: SampleAgent, running: subprocess.Popen[bytes], collector: Collector
) -> None:
    launcher = until(lambda: of_kind(running.pid, "launcher"))
    until(lambda: "/srv/a.pem" in places(collector.database))
    os.kill(launcher, signal.SIGKILL)
    agent.write("srv/b.pem", Leaf("b.example").pem)
    assert running.wait(PATIENCE_SECONDS) == 3
    assert "start the agent again" in (agent.directory / "agent.log").read_text()
    again = agent.start("run")
    until(lambda: "/srv/b.pem" in places(collector.database))
    kill_group(again)


def test_a_killed_link_is_replaced(
    agent: SampleAgent, running: subprocess.Popen[bytes], collector: Collector
) -> None:
    os.kill(until(lambda: of_kind(running.pid, "link")), signal.SIGKILL)
    agent.write("srv/b.pem", Leaf("b.example").pem)
    os.kill(running.pid, signal.SIGHUP)
    assert running.poll() is None
    running.send_signal(signal.SIGTERM)
    assert running.wait(20) == 0
    agent.run_once()
    assert {"/srv/a.pem", "/srv/b.pem"} <= set(places(collector.database))


def test_nothing_outlives_a_killed_reader(
    agent: SampleAgent, running: subprocess.Popen[bytes]
) -> None:
    until(lambda: of_kind(running.pid, "link"))
    others = descendants(running.pid)
    os.kill(running.pid, signal.SIGKILL)
    running.wait(10)
    until(lambda: all(not status_of(pid) for pid in others))
    assert agent.run_once().returncode == 0


def of_kind(reader: int, kind: str) -> int:
    return next((pid for pid in descendants(reader) if kind_of(pid, reader) == kind), 0)


def test_commands_without_a_collector_give_up_the_network_too(agent: SampleAgent) -> None:
    for number in range(300):
        agent.write(f"srv/many/{number}.pem", Leaf("many.example").pem)
    process = agent.start("scan", "--root", str(agent.root))
    status = until(lambda: held(process.pid))
    assert status["NoNewPrivs"] == "1"
    assert os.geteuid() != 0 or "0" not in status["Uid"].split()
    assert process.wait(PATIENCE_SECONDS) == 0


def held(pid: int) -> Held:
    status = status_of(pid)
    return status if status.get("Seccomp") == "2" else {}
