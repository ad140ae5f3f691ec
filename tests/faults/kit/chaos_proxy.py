"""A TCP proxy that does to a connection what bad networks do, on one machine and without root.

    with ChaosProxy(collector.report) as proxy:
        ... the agent talks to proxy.address ...
        proxy.down = Way(swallow=True)      # acks are lost from here on
        proxy.reset_all()                   # RST, as when a machine loses its power

Each direction has a `Way`, which may be replaced at any moment and from any thread: it holds for
the next piece of bytes of every connection. The proxy runs in an event loop and a thread of its own,
so that tests with and without asyncio can use it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

_PIECE_BYTES = 16 * 1024
# Small, so that a slow or stalled reader is felt by the sender soon.
_BUFFER_BYTES = 32 * 1024
# How often a stalled direction looks whether it may go on, and a slow one sends a little.
_TICK_SECONDS = 0.02
_PATIENCE_SECONDS = 10.0
# on, 0 seconds: closing sends RST instead of FIN (socket(7)).
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Way:
    """What happens to the bytes of one direction. Offsets count from a connection's first byte."""

    delay_seconds: float = 0.0
    bytes_per_second: int = 0  # 0: as fast as it goes
    stall: bool = False  # take nothing more, without a word
    swallow: bool = False  # take everything, hand on nothing
    cut_after: int | None = None  # so many bytes, then reset both sides
    flip_at: int | None = None  # flip a bit of the byte at this offset


PASS = Way()


@dataclass(slots=True, eq=False)
class _Connection:
    near: asyncio.StreamWriter
    far: asyncio.StreamWriter

    def reset(self) -> None:
        for writer in (self.near, self.far):
            connection = writer.get_extra_info("socket")
            if connection is not None:
                with suppress(OSError):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()


@dataclass(slots=True)
class Counted:
    """What went through, in bytes and connections, since the proxy started."""

    connections: int = 0
    up: int = 0
    down: int = 0


class ChaosProxy:
    """Listens on a free port of 127.0.0.1; `up` is towards the target, `down` back."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self.up = PASS
        self.down = PASS
        self.counted = Counted()
        self.address = ""
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos-proxy")
        self._server: asyncio.Server | None = None

    def reset_all(self) -> int:
        """Reset every connection that is open; how many there were."""

        async def work() -> int:
            connections = list(self._connections)
            for each in connections:
                each.reset()
            return len(connections)

        return int(self._run(work()))

    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._connections)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._listen())
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_SECONDS)
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - as the work says
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_SECONDS)

    async def _listen(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._server = await asyncio.start_server(
            self._accepted, sock=listener, limit=_BUFFER_BYTES
        )
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for each in list(self._connections):
            each.reset()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self.counted.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(
                self._host, self._port, limit=_BUFFER_BYTES
            )
        except OSError:
            # Nobody is behind us: the caller sees what it would see without us.
            _Connection(writer, writer).reset()
            return
        connection = _Connection(writer, far_writer)
        self._connections.add(connection)
        pumps = [
            asyncio.create_task(_Pump(self, connection, "up", reader, far_writer).run()),
            asyncio.create_task(_Pump(self, connection, "down", far_reader, writer).run()),
        ]
        try:
            await asyncio.gather(*pumps)
        finally:
            for pump in pumps:
                pump.cancel()
            self._connections.discard(connection)
            for each in (writer, far_writer):
                each.transport.abort()


@dataclass(slots=True)
class _Pump:
    """One direction of one connection."""

    proxy: ChaosProxy
    connection: _Connection
    direction: str
    source: asyncio.StreamReader
    sink: asyncio.StreamWriter
    passed: int = 0

    @property
    def way(self) -> Way:
        return self.proxy.up if self.direction == "up" else self.proxy.down

    async def run(self) -> None:
        with suppress(OSError):
            while True:
                await self._wait_while_stalled()
                piece = await self.source.read(_PIECE_BYTES)
                await self._wait_while_stalled()
                if not piece:
                    if not self.way.swallow and self.sink.can_write_eof():
                        self.sink.write_eof()
                    return
                if not await self._hand_on(piece):
                    self.connection.reset()
                    return

    async def _wait_while_stalled(self) -> None:
        while self.way.stall:  # noqa: ASYNC110 - the way is set from other threads
            await asyncio.sleep(_TICK_SECONDS)

    async def _hand_on(self, piece: bytes) -> bool:
        """Treat one piece; False if the connection is to be cut now."""
        way = self.way
        if way.swallow:
            return True
        if way.delay_seconds:
            await asyncio.sleep(way.delay_seconds)
            if self.way.swallow:
                return True
        piece = _flipped(piece, way.flip_at, self.passed)
        going_on = True
        if way.cut_after is not None and self.passed + len(piece) >= way.cut_after:
            piece, going_on = piece[: max(0, way.cut_after - self.passed)], False
        self.passed += len(piece)
        counted = self.proxy.counted
        setattr(counted, self.direction, getattr(counted, self.direction) + len(piece))
        await self._write(piece, way.bytes_per_second)
        return going_on

    async def _write(self, piece: bytes, bytes_per_second: int) -> None:
        if not bytes_per_second:
            self.sink.write(piece)
            await self.sink.drain()
            return
        step = max(1, round(bytes_per_second * _TICK_SECONDS))
        for start in range(0, len(piece), step):
            self.sink.write(piece[start : start + step])
            await self.sink.drain()
            await asyncio.sleep(step / bytes_per_second)


def _flipped(piece: bytes, flip_at: int | None, passed: int) -> bytes:
    if flip_at is None or not passed <= flip_at < passed + len(piece):
        return piece
    changed = bytearray(piece)
    changed[flip_at - passed] ^= 0x10
    return bytes(changed)
