"""An enrolled agent that is hostile: whatever it sends, it hurts itself and no one else."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest
from fakes.agent_stream import file_of, place_change, place_row
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.inventory import one
from faults.kit.fleet import Conversation, EndedError, SimulatedAgent, Visit, issue_fleet
from faults.kit.oracle import Footprint, acknowledged_is_there, rows_of, stays_within

from keycensus_proto.v1 import report_pb2

SHARED = Leaf("shared.example")


@pytest.fixture(scope="module")
def agents(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Collector, list[SimulatedAgent]]]:
    collector = Collector.make(tmp_path_factory.mktemp("evil") / "collector")
    members = [SimulatedAgent(each) for each in issue_fleet(collector, 2)]
    with collector:
        yield collector, members


def offers(count: int, hashes: int) -> list[report_pb2.ReportRequest]:
    return [
        report_pb2.ReportRequest(
            offer=report_pb2.Offer(offer=1000 + number, manifests=[os.urandom(32)] * hashes)
        )
        for number in range(count)
    ]


def batch(changes: list[report_pb2.Change], sequence: int) -> report_pb2.ReportRequest:
    return report_pb2.ReportRequest(batch=report_pb2.Batch(sequence=sequence, changes=changes))


async def floods_with_offers(_evil: SimulatedAgent, line: Conversation) -> None:
    for request in offers(3000, 4):
        await line.send(request)
    await line.receive("nothing")


async def sends_an_offer_that_is_too_long(_evil: SimulatedAgent, line: Conversation) -> None:
    await line.send(offers(1, 5000)[0])
    await line.receive("nothing")


async def sends_a_message_over_the_hard_limit(_evil: SimulatedAgent, line: Conversation) -> None:
    blob = report_pb2.Blob(offer=1, hash=bytes(32), data=bytes(5 * 1024 * 1024))
    await line.send(report_pb2.ReportRequest(blob=blob))
    await line.receive("nothing")


async def leaves_a_hole_in_its_numbers(evil: SimulatedAgent, line: Conversation) -> None:
    await line.send(batch([], evil.sequence + 7))
    await line.receive("nothing")


async def says_hello_twice(_evil: SimulatedAgent, line: Conversation) -> None:
    await line.send(report_pb2.ReportRequest(hello=report_pb2.Hello(protocol_version=1)))
    await line.receive("nothing")


ENDED = [
    floods_with_offers,
    sends_an_offer_that_is_too_long,
    sends_a_message_over_the_hard_limit,
    leaves_a_hole_in_its_numbers,
    says_hello_twice,
]


# The last two are gRPC's own: for a message over its limit, as the reset of the stream arrives.
ENDINGS = {"protocol", "out-of-sequence", "busy", "RESOURCE_EXHAUSTED", "INTERNAL"}


async def good_is_served(collector: Collector, good: SimulatedAgent, path: bytes) -> None:
    good.wanted[path] = file_of(SHARED.der)
    await good.visit(collector.report)
    acknowledged_is_there(collector.database, good.acknowledged, good.credentials.name)


@pytest.mark.parametrize("deed", ENDED, ids=lambda deed: deed.__name__)
async def test_what_is_against_the_protocol_ends_that_stream_alone(
    agents: tuple[Collector, list[SimulatedAgent]],
    deed: Callable[[SimulatedAgent, Conversation], Awaitable[None]],
) -> None:
    collector, (good, evil) = agents
    await good_is_served(collector, good, b"/srv/a.pem")
    before = rows_of(collector.database, good.credentials.name)
    with pytest.raises(EndedError) as ended:
        async with evil.stream(collector.report, Visit(time.monotonic())) as line:
            await deed(evil, line)
    assert ended.value.reason in ENDINGS
    assert collector.is_running()
    assert rows_of(collector.database, good.credentials.name) == before
    await good_is_served(collector, good, f"/srv/{deed.__name__}".encode())


async def test_bytes_that_are_no_message_end_that_stream_alone(
    agents: tuple[Collector, list[SimulatedAgent]],
) -> None:
    collector, (good, evil) = agents
    own = evil.credentials
    secret = grpc.ssl_channel_credentials(own.roots, own.key, own.chain)
    async with grpc.aio.secure_channel(collector.report, secret) as channel:
        call: Any = channel.stream_stream("/keycensus.v1.Agents/Report")()
        await call.write(b"\xff" * 1000)
        async with asyncio.timeout(30):
            last = await call.read()
        assert report_pb2.ReportResponse.FromString(last).refusal.reason == "protocol"
    await good_is_served(collector, good, b"/srv/after-nonsense.pem")


async def test_a_giant_batch_is_refused_item_by_item_and_memory_is_given_back(
    agents: tuple[Collector, list[SimulatedAgent]],
) -> None:
    collector, (good, evil) = agents
    await good_is_served(collector, good, b"/srv/a.pem")
    async with evil.stream(collector.report, Visit(time.monotonic())) as line:
        for number in range(6):
            if number == 1:
                # The first one opens what the collector keeps open from then on.
                before = Footprint.of(collector.pid)
            evil.sequence += 1
            changes = [
                place_change(path, place_row(path))
                for path in (f"/srv/{number}".encode() for number in range(4000))
            ]
            await line.send(batch(changes, evil.sequence))
            ack = (await line.receive("ack")).ack
            refused = [item for item in ack.items if item.result == "refused"]
            assert len(refused) == 3000
            assert {item.reason for item in refused} == {"quota"}
            evil.stored = evil.sequence
    await asyncio.sleep(1)
    stays_within(before, Footprint.of(collector.pid), slack=96 * 1024 * 1024)
    await good_is_served(collector, good, b"/srv/after-giants.pem")


async def test_a_batch_of_many_times_the_limit_ends_the_stream(
    agents: tuple[Collector, list[SimulatedAgent]],
) -> None:
    collector, (good, evil) = agents
    paths = (f"/srv/{number}".encode() for number in range(8000))
    changes = [place_change(path, place_row(path)) for path in paths]

    async def report() -> None:
        async with evil.stream(collector.report, Visit(time.monotonic())) as line:
            await line.send(batch(changes, evil.sequence + 1))
            await line.receive("ack")

    with pytest.raises(EndedError, match="protocol"):
        await report()
    await good_is_served(collector, good, b"/srv/after-more.pem")


async def test_offers_whose_blobs_never_come_keep_nobody_else_waiting(
    agents: tuple[Collector, list[SimulatedAgent]],
) -> None:
    """The evil one is asked for the very blobs that the good one has, and says nothing."""
    collector, (good, evil) = agents
    wanted = file_of(Leaf("both.example").der)
    async with evil.stream(collector.report, Visit(time.monotonic())) as line:
        offer = report_pb2.Offer(offer=1, manifests=[wanted.manifest])
        await line.send(report_pb2.ReportRequest(offer=offer))
        want = (await line.receive("want")).want
        assert [blob.hash for blob in want.blobs] == [wanted.manifest]
        good.wanted[b"/srv/both.pem"] = wanted
        async with asyncio.timeout(20):
            await good.visit(collector.report)
    acknowledged_is_there(collector.database, good.acknowledged, good.credentials.name)


async def test_hashes_and_keys_of_others_change_nothing_of_theirs(
    agents: tuple[Collector, list[SimulatedAgent]],
) -> None:
    collector, (good, evil) = agents
    await good_is_served(collector, good, b"/srv/a.pem")
    before = rows_of(collector.database, good.credentials.name)
    own = "SELECT count(*) FROM place JOIN host USING (host_no) WHERE host.name = ? AND path = ?"
    async with evil.stream(collector.report, Visit(time.monotonic())) as line:
        evil.sequence += 1
        foreign = place_change(b"/srv/claimed", place_row(b"/srv/claimed", os.urandom(32)))
        misnamed = place_change(b"/srv/b", place_row(b"/srv/c"))
        gone = place_change(b"/srv/a.pem", None)
        await line.send(batch([foreign, misnamed, gone], evil.sequence))
        ack = (await line.receive("ack")).ack
        assert {item.index: item.result for item in ack.items}.keys() >= {0, 1}
        evil.stored = evil.sequence
    assert rows_of(collector.database, good.credentials.name) == before
    assert one(collector.database, own, evil.credentials.name, "/srv/claimed") == 0
