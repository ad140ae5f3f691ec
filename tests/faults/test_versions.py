"""Old and new beside each other: it works, or is refused with a reason that says what to do.

The old side is the last release, built from the repository's history (kit/release.py), with agents and
collectors as processes; what a later protocol would look like to this one is simulated.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from contract.test_descriptors import breaking_changes, kept_descriptors
from contract.update_descriptors import current_descriptors
from fakes.agent_stream import file_of
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.inventory import connect, one
from fakes.sample_agent import SampleAgent
from fakes.trust_store import Roots, write_store
from fakes.unprivileged import open_directory
from faults.kit.disk import Disk
from faults.kit.fleet import EndedError, SimulatedAgent, Visit, issue_fleet
from faults.kit.oracle import acknowledged_is_there
from faults.kit.release import Release
from fixtures.build_fixtures import FILES
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from keycensus_proto.v1 import report_pb2

# A field that no version knows yet: number 2000, length-delimited, three bytes.
UNKNOWN_FIELD = b"\x82\x7d\x03new"

ROOTS = Roots.make(20)

# Prints the descriptors of a release's generated code.
DESCRIPTORS = """
import sys
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from keycensus_proto.v1 import enrolment_pb2, inventory_pb2, manifest_pb2, report_pb2
files = FileDescriptorSet()
for module in (enrolment_pb2, inventory_pb2, manifest_pb2, report_pb2):
    module.DESCRIPTOR.CopyToProto(files.file.add())
print(files.SerializeToString(deterministic=True).hex())
"""


@pytest.fixture(scope="module")
def released() -> Iterator[Release]:
    # The parser and the link are other users, who have to come to their program.
    with open_directory() as directory:
        yield Release.build(directory)


def host_of(directory: Path, name: str) -> tuple[SampleAgent, Disk]:
    """Return a host with certificates that change, a file of each format and a package's trust store."""
    agent = SampleAgent(directory, name)
    write_store(agent.root, ROOTS)
    for file in FILES.iterdir():
        agent.write(f"opt/{file.name}", file.read_bytes())
    disk = Disk(agent, 1)
    disk.change(12)
    return agent, disk


def formats_found(collector: Collector) -> dict[str, str]:
    """Return what the collector has of the files of each format: path to format and status."""
    query = "SELECT path, format || ' ' || status FROM place WHERE gone_ms IS NULL AND path LIKE '/opt/%'"
    with closing(connect(collector.database)) as connection:
        return dict(connection.execute(query).fetchall())


def roots_known(collector: Collector) -> int:
    """Count the authorities of the trust store that the collector has, whatever it makes of the store."""
    names = [leaf.sha256 for leaf in ROOTS.by_name.values()]
    query = f"SELECT count(*) FROM blob WHERE hash IN ({','.join('?' * len(names))})"  # noqa: S608
    return one(collector.database, query, *names)


def holds(collector: Collector, disk: Disk) -> None:
    """Hold the inventory of the changing files against the disk."""
    found = {path: found for path, found in places_of(collector).items() if path in disk.ever}
    assert found == disk.expected()


def places_of(collector: Collector) -> dict[str, set[str]]:
    """Return the live places by path, read by SQL that every release's tables know."""
    query = (
        "SELECT p.path, e.artifact FROM place AS p JOIN manifest_entry AS e USING (manifest)"
        " WHERE p.gone_ms IS NULL"
    )
    found: dict[str, set[str]] = {}
    with closing(connect(collector.database)) as connection:
        for path, artifact in connection.execute(query):
            found.setdefault(path, set()).add(artifact.hex())
    return found


def test_an_agent_of_the_last_release_reports_here_and_goes_on_as_one_of_this(
    tmp_path: Path, released: Release
) -> None:
    with Collector.make(tmp_path / "collector") as collector:
        agent, disk = host_of(tmp_path / "one", "one")
        agent.interpreter = [str(released.python)]
        agent.enrol(collector)
        agent.run_once()
        holds(collector, disk)
        before = formats_found(collector)
        disk.change(8)
        agent.run_once()
        holds(collector, disk)
        agent.interpreter = SampleAgent(tmp_path / "other").interpreter
        disk.change(8)
        agent.run_once()
        holds(collector, disk)
        # What the last release took for damaged may be known for something without any certificate or key since.
        whole = {path for path, told in before.items() if not told.endswith(" malformed")}
        assert len(whole) > 20
        assert formats_found(collector).keys() >= whole
        assert roots_known(collector) == len(ROOTS.by_name)


def test_an_agent_of_this_release_reports_to_a_collector_of_the_last_which_then_is_upgraded(
    tmp_path: Path, released: Release
) -> None:
    collector = Collector.make(tmp_path / "collector", interpreter=str(released.python))
    with collector:
        agent, disk = host_of(tmp_path / "one", "one")
        agent.enrol(collector)
        agent.run_once()
        holds(collector, disk)
        before = formats_found(collector)
        assert len(before) > 50
        assert roots_known(collector) == len(ROOTS.by_name)
        disk.change(8)
        agent.run_once()
        holds(collector, disk)
        collector.stop()
        collector.interpreter = agent.interpreter[0]
        collector.start()
        disk.change(8)
        agent.run_once()
        holds(collector, disk)
        assert formats_found(collector) == before
        assert roots_known(collector) == len(ROOTS.by_name)


def test_the_release_runs_its_own_code(released: Release) -> None:
    code = "import keycensus_proto, keycensus_agent as a, keycensus_collector as c; print(a.__file__, c.__file__)"
    environment = str(released.python.parents[1])
    assert all(file.startswith(environment) for file in released.run("-c", code).split())


def test_the_descriptors_that_are_kept_are_those_of_the_last_release_or_more(
    released: Release,
) -> None:
    of_the_release = FileDescriptorSet.FromString(bytes.fromhex(released.run("-c", DESCRIPTORS)))
    assert breaking_changes(of_the_release, kept_descriptors()) == []
    assert breaking_changes(of_the_release, current_descriptors()) == []


def of_the_future(message: report_pb2.ReportRequest) -> report_pb2.ReportRequest:
    """Return the message as a later version would send it: with fields that we do not know."""
    inner = getattr(message, message.WhichOneof("message") or "hello")
    inner.MergeFromString(UNKNOWN_FIELD)
    message.MergeFromString(UNKNOWN_FIELD)
    return message


@pytest.fixture
def newer(tmp_path: Path) -> tuple[Collector, SimulatedAgent]:
    collector = Collector.make(tmp_path / "collector")
    (issued,) = issue_fleet(collector, 1)
    return collector, SimulatedAgent(issued)


async def test_an_agent_that_says_more_than_this_collector_knows_is_served(
    newer: tuple[Collector, SimulatedAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    from faults.kit import fleet

    collector, member = newer
    send = fleet.Conversation.send

    async def send_more(self: fleet.Conversation, request: report_pb2.ReportRequest) -> None:
        await send(self, of_the_future(request))

    monkeypatch.setattr(fleet.Conversation, "send", send_more)
    with collector:
        member.wanted[b"/srv/a.pem"] = file_of(Leaf("a.example").der)
        await member.visit(collector.report)
        acknowledged_is_there(collector.database, member.acknowledged, member.credentials.name)


async def test_an_agent_of_a_later_protocol_is_refused_with_both_numbers(
    newer: tuple[Collector, SimulatedAgent], monkeypatch: pytest.MonkeyPatch
) -> None:
    from faults.kit import fleet

    collector, member = newer
    send = fleet.Conversation.send

    async def send_later(self: fleet.Conversation, request: report_pb2.ReportRequest) -> None:
        request.hello.protocol_version = 2
        await send(self, request)

    monkeypatch.setattr(fleet.Conversation, "send", send_later)
    with collector:
        with pytest.raises(EndedError) as ended:
            async with member.stream(collector.report, Visit(time.monotonic())):
                pass
        assert ended.value.reason == "upgrade"
        (event,) = collector.events("stream.refused")
        assert "speaks protocol 1, the agent 2" in event["text"]
