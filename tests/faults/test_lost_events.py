"""The kernel loses events while the agent can't listen: what changed meanwhile is found all the same."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.sample_agent import SampleAgent, kill_group
from faults.kit.disk import Disk
from faults.kit.oracle import disk_is_inventory, within

QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


def status_of(agent: SampleAgent) -> dict[str, Any]:
    file = agent.state / "status.json"
    return json.loads(file.read_bytes()) if file.exists() else {}


def test_what_changed_while_events_were_lost_is_found_without_a_sweep(
    collector: Collector, agent: SampleAgent
) -> None:
    text = agent.config_file.read_text()
    agent.config_file.write_text(
        text.replace("interval_seconds = 1\n", "interval_seconds = 86400\n")
    )
    leaves = [Leaf("a.example"), Leaf("b.example")]
    noise = [agent.write(f"opt/{n}.pem", leaf.pem) for n, leaf in enumerate(leaves)]
    quiet = {f"/opt/{n}.pem": {leaf.sha256.hex()} for n, leaf in enumerate(leaves)}
    disk = Disk(agent, 22)
    disk.change(12)

    def is_exact() -> bool:
        try:
            disk_is_inventory(collector.database, disk.expected() | quiet, agent.name)
        except AssertionError:
            return False
        return True

    process = agent.start("run")
    try:
        within(90, is_exact, "the first sweep is reported")
        within(30, lambda: bool(status_of(agent)["watches"]["placed"]), "directories are watched")
        swept = status_of(agent)["last_sweep"]
        process.send_signal(signal.SIGSTOP)
        # Two in turn: equal events one behind the other would be one. They fill the queue of the kernel.
        for number in range(int(QUEUE.read_text()) + 1000):
            noise[number % 2].chmod(0o640 if number & 2 else 0o600)
        disk.change(12)
        process.send_signal(signal.SIGCONT)
        within(90, is_exact, "what was not heard is found")
        within(30, lambda: status_of(agent)["watches"]["overflows"] >= 1, "the loss is told")
        assert status_of(agent)["last_sweep"] == swept, "it was no sweep that found it"
        process.terminate()
        assert process.wait(20) == 0
    finally:
        kill_group(process)
