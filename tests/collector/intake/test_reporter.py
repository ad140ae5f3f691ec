from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from fakes.agent_stream import (
    START_MS,
    Desk,
    FakeAgent,
    GrpcLine,
    batch,
    expect,
    file_of,
    place_change,
    place_row,
)
from sqlalchemy import Connection, func, select, update

from keycensus_collector.authority.agents_service import add_agents
from keycensus_collector.errors import StoreFullError
from keycensus_collector.intake import pacing
from keycensus_collector.intake.model import Limits
from keycensus_collector.intake.rows import Prepared, prepare
from keycensus_collector.store.schema import agent, host, place, session
from keycensus_proto.v1 import report_pb2, report_pb2_grpc

PATH = b"/etc/tls.pem"


class _Servicer(report_pb2_grpc.AgentsServicer):
    def __init__(self, desk: Desk, who: FakeAgent) -> None:
        self._desk = desk
        self._who = who

    async def Report(  # type: ignore[override]  # noqa: N802 - the protocol's name; a coroutine
        self,
        request_iterator: AsyncIterator[bytes],
        context: Any,  # noqa: ANN401
    ) -> None:
        await self._desk.reporter.serve(request_iterator, context, self._who.peer)

    async def Renew(self, request: object, context: object) -> Any:  # noqa: ANN401, N802
        raise NotImplementedError

    async def Leave(self, request: object, context: object) -> Any:  # noqa: ANN401, N802
        raise NotImplementedError


@asynccontextmanager
async def serving(desk: Desk, who: FakeAgent) -> AsyncIterator[grpc.aio.Channel]:
    """Serve the desk's reporter over real gRPC on a free port, without TLS."""
    server = grpc.aio.server()
    add_agents(_Servicer(desk, who), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def test_a_whole_stream_over_grpc(desk: Desk) -> None:
    who = desk.enrol()
    async with serving(desk, who) as channel:
        line = GrpcLine(report_pb2_grpc.AgentsStub(channel).Report())
        await who.greet(line)
        ack = await who.report(line, {PATH: file_of(b"leaf", b"root")}, complete=True)
        assert list(ack.items) == []
        await line.leave()
        # Refusals arrive as the last message, too.
        line = GrpcLine(report_pb2_grpc.AgentsStub(channel).Report())
        await who.greet(line)
        await line.send(batch(7))
        assert (await expect(line, "refusal")).reason == "out-of-sequence"
        assert await line.receive() is None
    assert desk.one(select(place.c.path)) == "/etc/tls.pem"


async def test_bytes_that_are_no_message_end_that_stream_alone(desk: Desk) -> None:
    who = desk.enrol()
    async with serving(desk, who) as channel:
        raw: Any = channel.stream_stream("/keycensus.v1.Agents/Report")
        call = raw()
        await call.write(who.hello().SerializeToString())
        hello_ack = await call.read()
        assert isinstance(hello_ack, bytes)
        await call.write(b"\xff\xff\xff\xff")
        last = await asyncio.wait_for(call.read(), 5)
        assert isinstance(last, bytes)
        assert report_pb2.ReportResponse.FromString(last).refusal.reason == "protocol"
        line = GrpcLine(report_pb2_grpc.AgentsStub(channel).Report())
        await who.greet(line)
        await who.report(line, {PATH: file_of(b"leaf")})
        await line.leave()


async def test_only_what_is_large_is_decoded_outside_of_the_event_loop(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_outside: list[bool] = []

    def prepared(*arguments: Any) -> Prepared:  # noqa: ANN401
        is_outside.append(threading.current_thread() is not threading.main_thread())
        return prepare(*arguments)

    monkeypatch.setattr(pacing, "prepare", prepared)
    who = desk.enrol()
    line = desk.line(who)
    await who.greet(line)
    files = {b"/etc/%d.pem" % number: file_of(b"leaf") for number in range(200)}
    await who.report(line, {PATH: file_of(b"leaf")})
    await who.report(line, files)
    # Many items of few bytes take as long.
    hollow = batch(who.sequence + 1, *[report_pb2.Change()] * 200)
    assert hollow.ByteSize() < 1000
    await line.send(hollow)
    assert len((await expect(line, "ack")).items) == 200
    await line.leave()
    assert is_outside == [False, True, True]
    assert desk.one(select(func.count()).select_from(place)) == 201


async def test_a_stream_without_a_hello_in_time_ends(
    make_desk: Callable[[Limits], Desk],
) -> None:
    desk = make_desk(Limits(hello_seconds=0.05))
    line = desk.line(desk.enrol())
    assert (await expect(line, "refusal")).reason == "protocol"
    assert await line.receive() is None


async def test_a_stream_that_begins_with_something_else_or_says_hello_twice_ends(
    desk: Desk,
) -> None:
    who = desk.enrol()
    line = desk.line(who)
    await line.send(batch(1, place_change(PATH, place_row(PATH))))
    assert (await expect(line, "refusal")).reason == "protocol"
    line = await desk.connect(who)
    await line.send(who.hello())
    assert (await expect(line, "refusal")).reason == "protocol"
    assert desk.rows(select(place)) == []


async def test_a_message_that_this_version_does_not_know_is_ignored(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    await line.send(report_pb2.ReportRequest())
    assert not (await who.report(line, {PATH: file_of(b"leaf")})).items
    await line.leave()


async def test_an_open_stream_ends_when_the_same_agent_opens_another(desk: Desk) -> None:
    who = desk.enrol()
    old = await desk.connect(who)
    new = await desk.connect(who)
    assert (await expect(old, "refusal")).reason == "superseded"
    assert await old.receive() is None
    assert not (await who.report(new, {PATH: file_of(b"leaf")})).items
    await new.leave()


async def test_a_ban_reaches_an_open_stream_within_seconds(
    make_desk: Callable[[Limits], Desk],
) -> None:
    desk = make_desk(Limits(watch_seconds=0.1))
    banned, other, moved = desk.enrol("banned"), desk.enrol("other"), desk.enrol("moved")
    lines = [await desk.connect(one) for one in (banned, other, moved)]
    with desk.store.write() as connection:
        _set(connection, banned, state="banned")
        connection.execute(
            update(session).where(session.c.agent_no == moved.peer.agent_no).values(session=99)
        )
    assert (await expect(lines[0], "refusal")).reason == "banned"
    assert (await expect(lines[2], "refusal")).reason == "superseded"
    assert not (await other.report(lines[1], {PATH: file_of(b"leaf")})).items
    await lines[1].leave()


def _set(connection: Connection, who: FakeAgent, **values: str) -> None:
    connection.execute(update(agent).where(agent.c.agent_no == who.peer.agent_no).values(**values))


async def test_a_batch_of_an_agent_banned_a_moment_ago_writes_nothing(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    with desk.store.write() as connection:
        _set(connection, who, state="banned")
    await line.send(batch(1, place_change(PATH, place_row(PATH))))
    assert (await expect(line, "refusal")).reason == "banned"
    assert desk.rows(select(place)) == []


async def test_a_full_disk_gives_no_ack_and_says_when_to_come_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = desk.enrol()
    line = await desk.connect(who)

    async def full(_: object) -> None:
        raise StoreFullError("the file system is full")

    monkeypatch.setattr(desk.store, "run_write", full)
    request = batch(1, place_change(PATH, place_row(PATH)))
    await line.send(request)
    refusal = await expect(line, "refusal")
    assert (refusal.reason, refusal.retry_after_seconds > 0) == ("busy", True)
    assert "file system" not in refusal.text
    monkeypatch.undo()
    line = await desk.connect(who)
    assert (await who.send_again(line, request)).sequence == 1
    await line.leave()


async def test_a_fault_of_our_own_ends_one_stream_and_shows_no_payload(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    who, other = desk.enrol("a"), desk.enrol("b")
    line, other_line = await desk.connect(who), await desk.connect(other)
    real = desk.store.run_write

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret-payload")

    monkeypatch.setattr(desk.store, "run_write", broken)
    await line.send(batch(1, place_change(PATH, place_row(PATH))))
    assert (await expect(line, "refusal")).reason == "busy"
    monkeypatch.setattr(desk.store, "run_write", real)
    assert not (await other.report(other_line, {PATH: file_of(b"leaf")})).items
    shown = capsys.readouterr()
    assert "ZeroDivisionError" in shown.out
    assert "secret-payload" not in shown.out + shown.err


@pytest.mark.parametrize("count", [1, 500])
async def test_a_fault_of_our_own_in_decoding_is_said_and_logged_as_one(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    count: int,
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret-payload")

    who = desk.enrol()
    line = await desk.connect(who)
    monkeypatch.setattr(pacing, "prepare", broken)
    await line.send(batch(1, *[place_change(PATH, place_row(PATH))] * count))
    refusal = await expect(line, "refusal")
    assert (refusal.reason, refusal.retry_after_seconds) == ("busy", 30)
    shown = capsys.readouterr()
    assert "stream.broken" in shown.out
    assert "ZeroDivisionError" in shown.out
    assert "secret-payload" not in shown.out + shown.err


async def test_items_over_the_batch_limits_are_refused_and_the_rest_committed(
    make_desk: Callable[[Limits], Desk],
) -> None:
    desk = make_desk(Limits(batch_changes=2, batch_bytes=200))
    who = desk.enrol()
    line = await desk.connect(who)
    paths = [b"/%d" % number for number in range(4)]
    ack = await who.send_batch(line, *(place_change(path, place_row(path)) for path in paths))
    assert [(one.index, one.result, one.reason) for one in ack.items] == [
        (2, "refused", "quota"),
        (3, "refused", "quota"),
    ]
    giant = place_row(b"/big", selinux_label="x" * 500)
    ack = await who.send_batch(line, place_change(b"/big", giant))
    assert [one.reason for one in ack.items] == ["quota"]
    await line.leave()


async def test_a_message_over_the_hard_limit_ends_the_stream(
    make_desk: Callable[[Limits], Desk],
) -> None:
    desk = make_desk(Limits(message_hard_bytes=1000))
    who = desk.enrol()
    line = await desk.connect(who)
    await who.send_offer(line, [bytes(32)] * 40)
    assert (await expect(line, "refusal")).reason == "protocol"


@pytest.mark.parametrize(
    "limits",
    [
        Limits(messages_per_second=1, messages_burst=3, patience_seconds=0.01),
        Limits(bytes_per_second=1, bytes_burst=1000, patience_seconds=0.01),
        Limits(rows_per_second=1, rows_burst=3, patience_seconds=0.01),
    ],
    ids=["messages", "bytes", "rows"],
)
async def test_a_flood_is_told_to_come_back_later_and_others_are_served(
    make_desk: Callable[[Limits], Desk], limits: Limits
) -> None:
    desk = make_desk(limits)
    flood, other = desk.enrol("flood"), desk.enrol("other")
    line = await desk.connect(flood)
    for sequence in range(1, 20):
        await line.send(batch(sequence, place_change(PATH, place_row(PATH, size=sequence))))
    answer = await line.receive()
    while answer is not None and answer.WhichOneof("message") == "ack":
        answer = await line.receive()
    assert answer is not None
    assert answer.refusal.reason == "busy"
    assert answer.refusal.retry_after_seconds >= 1
    # A new stream does not wash it clean.
    line = desk.line(flood)
    await line.send(flood.hello())
    await line.send(batch(1, place_change(PATH, place_row(PATH))))
    answer = await line.receive()
    while answer is not None and answer.WhichOneof("message") != "refusal":
        answer = await line.receive()
    assert answer is not None
    assert not (await other.greet(desk.line(other))).list_wanted


async def test_an_agent_over_its_rate_by_little_is_only_slowed(
    make_desk: Callable[[Limits], Desk],
) -> None:
    desk = make_desk(Limits(rows_per_second=20, rows_burst=1))
    who = desk.enrol()
    line = await desk.connect(who)
    began = asyncio.get_running_loop().time()
    for number in range(5):
        await who.send_batch(line, place_change(PATH, place_row(PATH, size=number)))
    assert asyncio.get_running_loop().time() - began > 0.1
    await line.leave()


async def test_a_heartbeat_says_that_the_host_lives_and_is_not_written_each_time(
    desk: Desk,
) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    with desk.store.write() as connection:
        connection.execute(update(host).values(state="silent"))
    for files in (5, 6):
        desk.clock.advance(900)
        counters = report_pb2.Counters(values={"files": files})
        beat = report_pb2.Heartbeat(counters=counters)
        await line.send(report_pb2.ReportRequest(heartbeat=beat))
    await line.leave()
    (row,) = desk.rows(select(host))
    assert (row.state, row.counters) == ("active", '{"files": 5}')
    assert row.last_seen_ms >= START_MS + 900_000


async def test_the_collector_can_ask_for_a_new_sweep(desk: Desk) -> None:
    who = desk.enrol()
    assert not desk.reporter.scan_again(who.peer.agent_no, "operator")
    line = await desk.connect(who)
    assert desk.reporter.scan_again(who.peer.agent_no, "operator")
    assert (await expect(line, "scan_again")).reason == "operator"
    await line.leave()


async def test_a_stream_cut_in_the_middle_leaves_nothing_behind(desk: Desk) -> None:
    who = desk.enrol()
    line = await desk.connect(who)
    await who.send_offer(line, [file_of(b"leaf").manifest])
    await expect(line, "want")
    await line.break_off()
    assert not desk.reporter.scan_again(who.peer.agent_no, "gone?")
    line = await desk.connect(who)
    assert not (await who.report(line, {PATH: file_of(b"leaf")})).items
    await line.leave()
