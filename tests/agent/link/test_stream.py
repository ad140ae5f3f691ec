"""The link's relay in this process; tests/agent/reader/test_link_client.py runs it as it is run."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
from fakes.collector_stub import CollectorStub, running_collector
from fakes.enrolled_agent import enrolled

from keycensus_agent.host_facts import machine_prints
from keycensus_agent.inquiry import (
    Question,
    decode_listeners,
    decode_presented,
    encode_question,
)
from keycensus_agent.link.control import Route
from keycensus_agent.link.identity import IdentityStore
from keycensus_agent.link.machine import ThisMachine
from keycensus_agent.link.stream import Closing, Link
from keycensus_agent.relay import HEADER_BYTES, FrameKind, decode_header, encode_frame
from keycensus_proto.v1 import report_pb2

HELLO = report_pb2.ReportRequest(hello=report_pb2.Hello(protocol_version=1)).SerializeToString()
NOW = dt.datetime.now(dt.UTC)


class Reader:
    """The reader's end of the socket, and the link at the other."""

    def __init__(
        self,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        serving: asyncio.Task[Closing],
        stop: asyncio.Event,
    ) -> None:
        self._streams = streams
        self.serving = serving
        self.stop = stop

    async def send(self, kind: FrameKind, payload: bytes = b"") -> None:
        await self.send_raw(encode_frame(kind, payload))

    async def send_raw(self, data: bytes) -> None:
        self._streams[1].write(data)
        await self._streams[1].drain()

    async def receive(self) -> tuple[FrameKind, bytes]:
        async with asyncio.timeout(10):
            kind, length = decode_header(await self._streams[0].readexactly(HEADER_BYTES))
            return kind, await self._streams[0].readexactly(length)

    async def until_closed(self) -> dict[str, Any]:
        while True:
            kind, payload = await self.receive()
            if kind is FrameKind.CLOSED:
                found: dict[str, Any] = json.loads(payload)
                return found

    def leave(self) -> None:
        self._streams[1].close()


@asynccontextmanager
async def linked(store: IdentityStore) -> AsyncIterator[Reader]:
    ours, theirs = socket.socketpair()
    stop = asyncio.Event()
    ends = await asyncio.open_unix_connection(sock=theirs)
    link = Link(*ends, store, Route(), ThisMachine.look())
    serving = asyncio.create_task(link.serve(stop))
    reader = Reader(await asyncio.open_unix_connection(sock=ours), serving, stop)
    try:
        yield reader
    finally:
        reader.leave()
        stop.set()
        async with asyncio.timeout(10):
            await serving
        link._writer.close()


@asynccontextmanager
async def reporting(stub: CollectorStub, directory: Path) -> AsyncIterator[Reader]:
    async with running_collector(stub):
        _, store = await enrolled(stub, directory)
        async with linked(store) as reader:
            assert (await reader.receive())[0] is FrameKind.OPEN
            yield reader


async def test_hello_is_answered_and_end_ends(tmp_path: Path) -> None:
    async with reporting(CollectorStub(), tmp_path) as reader:
        await reader.send(FrameKind.MESSAGE, HELLO)
        assert (await reader.receive())[0] is FrameKind.MESSAGE
        await reader.send(FrameKind.END)
        closed = await reader.until_closed()
    assert closed["reason"] == "done"
    assert "this agent ended the stream" in closed["text"]


async def test_being_told_to_stop_ends_with_stopped(tmp_path: Path) -> None:
    async with reporting(CollectorStub(), tmp_path) as reader:
        reader.stop.set()
        assert (await reader.until_closed())["reason"] == "stopped"


async def test_a_reader_that_goes_away_ends_the_link(tmp_path: Path) -> None:
    async with reporting(CollectorStub(), tmp_path) as reader:
        reader.leave()
        async with asyncio.timeout(5):
            assert (await reader.serving).reason == "stopped"


async def test_questions_are_answered_between_the_messages_and_go_nowhere_else(
    tmp_path: Path,
) -> None:
    stub = CollectorStub()
    async with reporting(stub, tmp_path) as reader:
        await reader.send(FrameKind.MESSAGE, HELLO)
        assert (await reader.receive())[0] is FrameKind.MESSAGE
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            await reader.send(FrameKind.ASK, encode_question(None))
            kind, payload = await reader.receive()
        assert kind is FrameKind.ANSWER
        assert decode_listeners(payload)
        await reader.send(FrameKind.ASK, encode_question(Question("192.0.2.1", 443)))
        kind, payload = await reader.receive()
        assert (kind, decode_presented(payload).chain) == (FrameKind.ANSWER, ())
        await reader.send(FrameKind.ASK, b"{}")
        assert (await reader.until_closed())["reason"] == "protocol"


@pytest.mark.parametrize("data", [b"\xff" * 8, encode_frame(FrameKind.OPEN)])
async def test_nonsense_from_the_reader_ends_the_link(tmp_path: Path, data: bytes) -> None:
    async with reporting(CollectorStub(), tmp_path) as reader:
        await reader.send_raw(data)
        closed = await reader.until_closed()
    assert closed["reason"] == "protocol"
    assert "no frame" in closed["text"]


async def test_a_refusal_is_the_last_message_and_its_reason_is_told(tmp_path: Path) -> None:
    refusal = report_pb2.Refusal(reason="upgrade", text="too old", retry_after_seconds=3)
    async with reporting(CollectorStub(refusal=refusal), tmp_path) as reader:
        await reader.send(FrameKind.MESSAGE, HELLO)
        closed = await reader.until_closed()
        # What the reader still says to an ended stream is nobody's trouble.
        await reader.send(FrameKind.MESSAGE, HELLO)
    assert (closed["refusal"], closed["retry_after_seconds"]) == ("upgrade", 3)
    assert "upgrade keycensus-agent" in closed["text"]


async def test_a_broken_stream_and_a_message_over_the_limit_are_explained(tmp_path: Path) -> None:
    stub = CollectorStub(kill_stream_after=1)
    last = report_pb2.ReportRequest(batch=report_pb2.Batch(sequence=2)).SerializeToString()
    async with reporting(stub, tmp_path / "a") as reader:
        await reader.send(FrameKind.MESSAGE, last)
        assert (await reader.until_closed())["reason"] == "unreachable"
    async with reporting(CollectorStub(), tmp_path / "b") as reader:
        await reader.send(FrameKind.MESSAGE, b"\xff\xff rubbish")
        assert (await reader.until_closed())["reason"] in {"protocol", "unreachable"}


async def test_a_clock_that_differs_is_logged_and_a_good_one_is_not(tmp_path: Path) -> None:
    for offset, expected in ((7200, ["clock-differs-from-collector"]), (0, [])):
        stub = CollectorStub(clock_offset_seconds=offset)
        with structlog.testing.capture_logs() as logs:
            async with reporting(stub, tmp_path / str(offset)) as reader:
                await reader.send(FrameKind.MESSAGE, HELLO)
                await reader.receive()
        assert [entry["event"] for entry in logs] == expected


async def test_trust_that_cannot_be_stored_stops_nothing(tmp_path: Path) -> None:
    stub = CollectorStub(next_anchors=[b"rubbish"])
    async with running_collector(stub):
        stub.next_anchors = []
        _, store = await enrolled(stub, tmp_path)
        before = store.load(machine_prints()).trust
        stub.next_anchors = [b"rubbish"]
        with structlog.testing.capture_logs() as logs:
            async with linked(store) as reader:
                await reader.receive()
                await reader.send(FrameKind.MESSAGE, HELLO)
                assert (await reader.receive())[0] is FrameKind.MESSAGE
    assert [entry["event"] for entry in logs] == ["trust-not-stored"]
    assert store.load(machine_prints()).trust == before


async def test_a_renewal_is_logged_whether_it_worked_or_not(tmp_path: Path) -> None:
    stub = CollectorStub(
        renewal_refused="busy",
        not_before=NOW - dt.timedelta(days=20),
        not_after=NOW + dt.timedelta(days=10),
    )
    async with running_collector(stub):
        _, store = await enrolled(stub, tmp_path)
        events = []
        for refusal in ("busy", ""):
            stub.renewal_refused = refusal
            with structlog.testing.capture_logs() as logs:
                async with linked(store) as reader:
                    assert (await reader.receive())[0] is FrameKind.OPEN
            events += [entry["event"] for entry in logs]
    assert events == ["renewal-failed", "renewed"]


async def test_trouble_before_the_stream_is_said_in_closed(tmp_path: Path) -> None:
    async with linked(IdentityStore(tmp_path / "none")) as reader:
        assert (await reader.until_closed())["reason"] == "not-enrolled"

    async with running_collector() as stub:
        _, store = await enrolled(stub, tmp_path)
    async with linked(store) as reader:
        assert (await reader.until_closed())["reason"] == "unreachable"

    (store.path / "journal.json").write_bytes(b"{")
    (store.path / "journal.json").chmod(0o600)
    async with linked(store) as reader:
        assert (await reader.until_closed())["reason"] == "stopped"

    early = CollectorStub(
        not_before=NOW + dt.timedelta(days=1), not_after=NOW + dt.timedelta(days=2)
    )
    async with running_collector(early):
        _, store = await enrolled(early, tmp_path / "early")
        async with linked(store) as reader:
            assert "clock is probably wrong" in (await reader.until_closed())["text"]
