"""Old and new beside each other: it works, or is refused with a reason that says what to do.

There is no release yet to install beside this commit; what is tested is what a later protocol would
look like to this one, in both directions.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fakes.agent_stream import file_of
from fakes.certificates import Leaf
from fakes.collector import Collector
from faults.kit.fleet import EndedError, SimulatedAgent, Visit, issue_fleet
from faults.kit.oracle import acknowledged_is_there

from keycensus_proto.v1 import report_pb2

# A field that no version knows yet: number 2000, length-delimited, three bytes.
UNKNOWN_FIELD = b"\x82\x7d\x03new"


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
