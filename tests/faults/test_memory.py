"""Memory that runs out, for either side: the agent is killed and loses nothing, the collector sheds load."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fakes.collector import Collector
from fakes.inventory import places
from fakes.sample_agent import SampleAgent, kill_group
from faults.kit.disk import Disk
from faults.kit.memory_group import MemoryGroup

MIB = 1024 * 1024
# Less than an agent with its children takes, more than the reader alone; and what its unit allows.
TOO_LITTLE, OF_THE_UNIT = 36 * MIB, 512 * MIB


def test_an_agent_that_the_kernel_kills_for_its_memory_loses_and_invents_nothing(
    collector: Collector, agent: SampleAgent
) -> None:
    disk = Disk(agent, 38)
    disk.change(20)
    with MemoryGroup.make(TOO_LITTLE) as group:
        agent.interpreter = [*group.prefix, sys.executable]
        process = agent.start("run", "--once")
        group.watch(process.pid)
        try:
            # Whichever process it was: a child that is killed again and again ends the run as well.
            assert process.wait(120) != 0
        finally:
            kill_group(process)
        assert group.kills > 0
        assert set(places(collector.database, agent.name)) <= set(disk.ever)
        assert "Traceback" not in (agent.directory / "agent.log").read_text()
        killed = group.kills
        group.set_limit(OF_THE_UNIT)
        disk.change(10)
        agent.run_once()
        disk.is_inventory_of(collector)
        assert group.kills == killed, "what the unit allows is enough"


@pytest.mark.long
def test_a_collector_that_is_short_of_memory_turns_streams_away_before_it_is_ended(
    tmp_path: Path,
) -> None:
    collector = Collector.make(tmp_path / "collector")
    # Less than it takes to start.
    limit = "[limits]\nmemory_mib = 16\n"
    collector.config_file.write_text(collector.config_file.read_text() + limit)
    with collector:
        agent = SampleAgent(tmp_path / "one", "one")
        agent.enrol(collector)
        disk = Disk(agent, 39)
        disk.change(10)
        done = agent.command("run", "--once")
        assert done.returncode == 3, done.stdout
        assert "(busy): the collector is short of memory" in done.stderr
        (event,) = collector.events("memory.short")
        assert event["limit"] == 16 * MIB < event["bytes"]
        collector.stop()
        collector.config_file.write_text(collector.config_file.read_text().replace(limit, ""))
        collector.start()
        agent.run_once()
        disk.is_inventory_of(collector)
