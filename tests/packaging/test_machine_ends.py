"""A booted machine leaves nothing behind, whichever way its test ends."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from fakes.machine import SYSTEMD, Machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0 or not SYSTEMD.exists(), reason="needs root and systemd"),
]

TESTS = Path(__file__).resolve().parents[1]
# Boots a machine, says which process is its first, and waits to be killed.
BOOT = """
import sys, time
from pathlib import Path
from fakes.machine import Machine
with Machine.booted(Path(sys.argv[1])) as machine:
    print(machine.init, flush=True)
    time.sleep(120)
"""


def cgroups() -> set[str]:
    """Return the cgroups of machines, as a namespace without any of this machine's mounts has them."""
    script = 'mount -t cgroup2 cgroup2 "$0" && ls "$0"'
    listed = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "/mnt"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in listed.stdout.split() if name.startswith("keycensus-test-")}


def fail_with_a_machine(directory: Path) -> tuple[str, list[psutil.Process]]:
    """Boot a machine with something that runs, fail, and return its name and its processes."""
    with suppress(KeyError), Machine.booted(directory) as machine:
        machine.write("/run/systemd/system/long.service", "[Service]\nExecStart=sleep 3600\n")
        machine.run("systemctl", "start", "long")
        first = psutil.Process(machine.init)
        inside = [first, *first.children(recursive=True)]
        assert any("sleep" in process.name() for process in inside)
        assert machine.name in cgroups()
        raise KeyError
    return machine.name, inside


def test_its_processes_mounts_and_cgroup_end_with_it(tmp_path: Path) -> None:
    name, inside = fail_with_a_machine(tmp_path)
    assert not any(process.is_running() for process in inside)
    assert name not in cgroups()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_it_dies_with_a_test_that_is_killed(tmp_path: Path) -> None:
    test = subprocess.Popen(
        [sys.executable, "-c", BOOT, tmp_path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    with test:
        assert test.stdout is not None
        first = psutil.Process(int(test.stdout.readline()))
        test.kill()
    deadline = time.monotonic() + 20
    while first.is_running():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # What it could not remove itself, the next one does.
    left = {name for name in cgroups() if f"-{test.pid}-" in name}
    assert left
    (tmp_path / "next").mkdir()
    with Machine.booted(tmp_path / "next"):
        pass
    assert not left & cgroups()
