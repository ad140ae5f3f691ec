"""From one authority to the next: the real server, the agent's real link, real TLS on both ports."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from fakes.collector import Collector
from fakes.enrolled_agent import join
from fakes.link_hello import Machine

from keycensus_agent.host_facts import machine_prints
from keycensus_agent.link.control import Route, renew
from keycensus_agent.link.identity import IdentityStore, Trust


def trust_of(machine: Machine) -> Trust:
    return IdentityStore(machine.identity).load(machine_prints()).trust


def renewed(machine: Machine) -> None:
    """Renew as at half life, with the link's own code."""
    store = IdentityStore(machine.identity)
    asyncio.run(renew(store.load(machine_prints()), store, Route()))


@pytest.mark.long
def test_a_roll_over_strands_nobody_who_was_not_told(tmp_path: Path) -> None:
    with Collector.make(tmp_path / "collector") as collector:
        first = Machine(join(collector, tmp_path / "first"), "first")
        second = Machine(join(collector, tmp_path / "second"), "second")
        assert [first.say(), second.say()] == ["ack", "ack"]
        (old,) = trust_of(first).current

        assert collector.command("ca", "next").returncode == 0
        refused = collector.command("ca", "activate")
        assert refused.returncode == 2
        assert "2 agents do not trust the next authority yet (first, second)" in refused.stderr
        assert [first.say(), first.say()] == ["ack", "ack"]  # told by the one, says so in the other
        (following,) = trust_of(first).next
        told = collector.query("ca", "status")
        assert [each["host"] for each in told["not_told"]] == ["second"]
        assert "second do not trust" not in collector.command("doctor").stdout
        assert "not yet told: second" in collector.command("doctor").stdout
        assert collector.command("ca", "activate", "--strand", "2").returncode == 2
        assert [second.say(), second.say()] == ["ack", "ack"]

        result = collector.command("ca", "activate")
        assert result.returncode == 0, result.stderr
        # Certificates of the old authority are accepted, the server shows one of the new.
        assert [first.say(), second.say()] == ["ack", "ack"]
        assert trust_of(first) == Trust((following,), ())
        assert old != following
        third = Machine(join(collector, tmp_path / "third"), "third")
        assert third.say() == "ack"

        refused = collector.command("ca", "retire")
        assert "2 agents have no certificate of the current authority yet" in refused.stderr
        assert collector.command("ca", "activate").returncode == 2
        for machine in (first, second):
            renewed(machine)
            assert machine.say() == "ack"
        assert collector.command("ca", "retire").returncode == 0
        assert [each.say() for each in (first, second, third)] == ["ack"] * 3

        collector.stop()
        collector.start()
        assert [each.say() for each in (first, second, third)] == ["ack"] * 3
        states = {each["state"] for each in collector.query("ca", "status")["certificates"]}
        assert states == {"current"}


@pytest.mark.long
def test_who_was_stranded_on_purpose_is_refused_by_its_own_agent(tmp_path: Path) -> None:
    """What the control prevents: an agent that was not told does not believe the new server."""
    with Collector.make(tmp_path / "collector") as collector:
        machine = Machine(join(collector, tmp_path / "agent"), "late")
        assert machine.say() == "ack"
        assert collector.command("ca", "next").returncode == 0
        activated = collector.command("ca", "activate", "--strand", "1")
        assert activated.returncode == 0, activated.stderr
        assert machine.say() == "tls"


@pytest.mark.long
def test_a_database_from_before_the_roll_over_follows_the_key_that_is_there(tmp_path: Path) -> None:
    collector = Collector.make(tmp_path / "collector")
    collector.start()
    machine = Machine(join(collector, tmp_path / "agent"), "web1")
    assert collector.command("ca", "next").returncode == 0
    assert [machine.say(), machine.say()] == ["ack", "ack"]
    assert collector.stop() == 0
    before = collector.database.read_bytes()
    collector.start()
    assert collector.command("ca", "activate").returncode == 0
    assert machine.say() == "ack"
    collector.stop()
    collector.database.write_bytes(before)
    with collector:
        assert collector.events("authority.database_is_older")
        assert machine.say() == "ack"
        states = {each["state"] for each in collector.query("ca", "status")["certificates"]}
        assert states == {"current", "past"}


@pytest.mark.long
def test_a_roll_over_without_a_server_and_a_next_authority_that_is_dropped(tmp_path: Path) -> None:
    collector = Collector.make(tmp_path / "collector")
    assert json.loads(collector.command("ca", "next", "-o", "json").stdout)["subject"]
    assert collector.command("ca", "next").returncode == 2
    assert collector.command("ca", "drop").returncode == 0
    assert not (collector.state / "authority-next").exists()
    assert collector.command("ca", "drop").returncode == 2
    assert collector.command("ca", "activate").returncode == 2
    before = collector.ca_file.read_bytes()
    assert collector.command("ca", "next").returncode == 0
    assert collector.command("ca", "activate").returncode == 0
    assert collector.ca_file.read_bytes() != before
    assert sorted(path.name for path in collector.state.glob("authority*")) == ["authority"]
    with collector:
        assert Machine(join(collector, tmp_path / "agent"), "web1").say() == "ack"
