"""What operators say of hosts and identities, with the real server and the agent's real link."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.collector import Collector
from fakes.enrolled_agent import join
from fakes.link_hello import Machine

from keycensus_agent.link_start import LinkStart
from keycensus_agent.reader.link_client import LinkClient
from keycensus_agent.relay import FrameKind
from keycensus_proto.v1 import report_pb2


def test_a_ban_is_of_the_host_and_ends_its_open_stream_within_five_seconds(tmp_path: Path) -> None:
    with Collector.make(tmp_path / "collector") as collector:
        machine = Machine(join(collector, tmp_path / "agent"), "bad", b"m" * 32)
        assert machine.say() == "ack"
        with LinkClient.spawn(LinkStart(machine.identity)) as link:
            opened = link.receive(40)
            assert opened is not None
            link.send(FrameKind.MESSAGE, machine.hello())
            assert link.receive(40) is not None
            assert collector.command("agent", "ban", "bad", "--reason", "stolen").returncode == 0
            since = time.monotonic()
            frame = link.receive(10)
            assert frame is not None
            response = report_pb2.ReportResponse.FromString(frame[1])
            assert response.refusal.reason == "banned"
            assert time.monotonic() - since < 5
        assert machine.say() == "banned"
        # A bound token does not let it in as itself, and as a new host it is pointed out.
        bound = collector.command("token", "create", "--host", "bad", "-o", "json")
        assert bound.returncode == 2
        assert "banned" in bound.stderr
        again = Machine(join(collector, tmp_path / "again"), "good", b"m" * 32)
        assert again.say() == "ack"
        assert "same machine as banned host bad" in collector.command("host", "list").stdout
        assert "same machine as banned host bad" in collector.command("doctor").stdout
        assert collector.command("agent", "unban", "bad").returncode == 0
        assert machine.say() == "ack"


@pytest.mark.long
def test_an_installed_anew_host_is_proposed_and_an_operator_confirms(tmp_path: Path) -> None:
    with Collector.make(tmp_path / "collector") as collector:
        old = Machine(join(collector, tmp_path / "old"), "web1", b"m" * 32)
        assert old.say() == "ack"
        (before,) = collector.query("host", "list")
        assert collector.command("host", "retire", before["id"]).returncode == 0
        new = Machine(join(collector, tmp_path / "new"), "web1", b"m" * 32)
        assert new.say() == "ack"
        listed = {each["id"]: each for each in collector.query("host", "list")}
        (newer,) = set(listed) - {before["id"]}
        (proposal,) = listed[newer]["may_succeed"]
        assert (proposal["id"], proposal["same"]) == (before["id"], ["machine", "name"])
        assert f"host succeeds {before['id']} {newer}" in collector.command("host", "list").stdout
        assert "1 hosts may be earlier ones" in collector.command("doctor").stdout

        result = collector.command("host", "succeeds", before["id"][:8], newer[:8])
        assert result.returncode == 0, result.stderr
        (agent,) = [one for one in collector.query("agent", "list") if one["state"] == "active"]
        assert (agent["id"], agent["host_id"]) == (new.agent_id(), before["id"])
        assert new.say() == "ack"
        states = {each["id"]: each["state"] for each in collector.query("host", "list")}
        assert states == {before["id"]: "active", newer: "retired"}
        assert not any(each["may_succeed"] for each in collector.query("host", "list"))
        assert collector.command("host", "succeeds", before["id"], before["id"]).returncode == 2


@pytest.mark.long
def test_a_token_for_a_host_makes_who_enrols_with_it_that_host(tmp_path: Path) -> None:
    with Collector.make(tmp_path / "collector") as collector:
        old = Machine(join(collector, tmp_path / "old"), "web1")
        assert old.say() == "ack"
        (before,) = collector.query("host", "list")
        token = collector.enrolment_token("--host", "web1")
        new = Machine(join(collector, tmp_path / "new", token=token), "web1")
        assert new.say() == "ack"
        assert old.say() == "unknown"
        assert [each["id"] for each in collector.query("host", "list")] == [before["id"]]
        two = collector.command("token", "create", "--host", "web1", "--uses", "2")
        assert two.returncode == 2


@pytest.mark.long
def test_a_second_server_on_one_sqlite_database_is_refused_and_the_first_serves_on(
    tmp_path: Path,
) -> None:
    with Collector.make(tmp_path / "collector") as collector:
        second = subprocess.run(
            [
                *(sys.executable, "-m", "keycensus_collector", "serve"),
                *("--config", str(collector.config_file)),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert second.returncode == 3
        assert str(collector.database) in second.stderr
        assert str(collector.pid) in second.stderr
        assert Machine(join(collector, tmp_path / "agent")).say() == "ack"
