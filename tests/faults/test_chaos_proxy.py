"""The chaos proxy does what its modes say; the fault tests stand on it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from faults.kit.chaos_proxy import PASS, ChaosProxy, Way


@contextmanager
def echo() -> Iterator[str]:
    """Run a server that sends back what it gets; give its address."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while piece := connection.recv(65536):
                connection.sendall(piece)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


@pytest.fixture
def proxy() -> Iterator[ChaosProxy]:
    with echo() as address, ChaosProxy(address) as proxy:
        yield proxy


@contextmanager
def connected(proxy: ChaosProxy, timeout: float = 10.0) -> Iterator[socket.socket]:
    host, _, port = proxy.address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout) as connection:
        yield connection


def exchange(connection: socket.socket, data: bytes) -> bytes:
    connection.sendall(data)
    received = b""
    while len(received) < len(data):
        piece = connection.recv(65536)
        if not piece:
            break
        received += piece
    return received


def test_bytes_pass_both_ways_and_are_counted(proxy: ChaosProxy) -> None:
    data = bytes(range(256)) * 2000
    with connected(proxy) as connection:
        assert exchange(connection, data) == data
    assert (proxy.counted.up, proxy.counted.down) == (len(data), len(data))
    assert proxy.counted.connections == 1


def test_an_orderly_end_is_handed_on(proxy: ChaosProxy) -> None:
    with connected(proxy) as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_a_stall_is_silence_without_a_reset_and_ends_when_it_is_told_to(proxy: ChaosProxy) -> None:
    with connected(proxy, 0.3) as connection:
        assert exchange(connection, b"before") == b"before"
        proxy.down = Way(stall=True)
        connection.sendall(b"during")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.down = PASS
        connection.settimeout(10)
        assert exchange(connection, b"") == b""
        assert connection.recv(6) == b"during"


def test_swallowed_bytes_arrive_at_nobody(proxy: ChaosProxy) -> None:
    with connected(proxy, 0.3) as connection:
        proxy.down = Way(swallow=True)
        connection.sendall(b"lost")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.down = PASS
        connection.settimeout(10)
        assert exchange(connection, b"found") == b"found"


def test_a_cut_comes_after_so_many_bytes_and_is_a_reset(proxy: ChaosProxy) -> None:
    proxy.up = Way(cut_after=5)
    with connected(proxy) as connection, pytest.raises(ConnectionResetError):
        exchange(connection, b"0123456789" * 1000)
    assert proxy.counted.up == 5


def test_one_bit_of_one_byte_is_flipped(proxy: ChaosProxy) -> None:
    proxy.up = Way(flip_at=3)
    with connected(proxy) as connection:
        assert exchange(connection, b"aaaaaa") == b"aaaqaa"


def test_a_delay_delays_and_a_drip_drips(proxy: ChaosProxy) -> None:
    proxy.up = Way(delay_seconds=0.3)
    with connected(proxy) as connection:
        started = time.monotonic()
        assert exchange(connection, b"x") == b"x"
        assert time.monotonic() - started >= 0.3
    proxy.up = Way(bytes_per_second=1000)
    with connected(proxy) as connection:
        started = time.monotonic()
        assert len(exchange(connection, bytes(500))) == 500
        assert time.monotonic() - started >= 0.4


def test_all_connections_are_reset_at_once(proxy: ChaosProxy) -> None:
    with connected(proxy) as one, connected(proxy) as other:
        for connection in (one, other):
            assert exchange(connection, b"x") == b"x"
        assert proxy.reset_all() == 2
        for connection in (one, other):
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
