"""The demo leaves nothing running and says which process failed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest
from demo.processes import DemoError, Processes

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
# Starts a child that would outlive it, and says its number.
PARENT_PROGRAM = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""
PARENT = [sys.executable, "-c", PARENT_PROGRAM]


def _is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_what_was_started_ends_with_the_demo(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        running = processes.start("sleeper", SLEEPER, os.environ)
        processes.check()
    assert running.process.returncode is not None


def test_one_that_is_ended_before_the_others_is_not_missed(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        first = processes.start("first", SLEEPER, os.environ)
        second = processes.start("second", SLEEPER, os.environ)
        processes.end(first)
        assert first.process.returncode is not None
        processes.check()
        assert second.process.poll() is None


def test_a_child_that_was_left_behind_ends_too(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        parent = processes.start("parent", PARENT, os.environ)
        deadline = time.monotonic() + 20
        while not parent.log.read_text().strip() and time.monotonic() < deadline:
            time.sleep(0.05)
        child = int(parent.log.read_text())
        assert _is_running(child)
    deadline = time.monotonic() + 5
    while _is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(child)


def test_a_process_that_failed_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        failing = processes.start(
            "broken", [sys.executable, "-c", "raise SystemExit('no port')"], os.environ
        )
        failing.process.wait()
        with pytest.raises(DemoError, match=r"(?s)broken ended with status 1.*no port"):
            processes.check()
