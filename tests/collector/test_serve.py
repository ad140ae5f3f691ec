"""The server's start and end, its ports, certificate and watches; parts of a real one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from fakes.joining import enrol, reason_of
from fakes.ports import HelloReporter, Running, configuration_in, running_server
from fastapi import FastAPI
from sqlalchemy import select

from keycensus_collector.clock import Clock, FixedClock, SystemClock
from keycensus_collector.config import Address, Configuration
from keycensus_collector.deployment import set_up
from keycensus_collector.errors import (
    AddressError,
    AuthorityError,
    KeycensusError,
    StoreBusyError,
    StoreError,
)
from keycensus_collector.serve import Parts, Server
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import host_state

DAY = 86_400


class Ticking:
    """A worker that counts, or fails if it is told to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.running = False

    async def run(self) -> None:
        self.running = True
        try:
            if self.failure is not None:
                raise self.failure
            await asyncio.Event().wait()
        finally:
            self.running = False


def parts_with(worker: Ticking) -> Parts:
    return Parts(
        lambda _store, _clock, _configuration: HelloReporter(),
        lambda *_: FastAPI(),
        (lambda _store, _clock: worker,),
    )


def set_up_in(directory: Path, clock: Clock | None = None) -> Configuration:
    configuration = configuration_in(directory)
    set_up(configuration, "test", None, clock or SystemClock())
    return configuration


def get(running: Running, path: str) -> tuple[int, bytes]:
    context = ssl.create_default_context(cadata=running.anchor_pem.decode())
    url = f"https://localhost:{running.bound.web.port}{path}"
    with urllib.request.urlopen(url, context=context, timeout=20) as answer:
        return answer.status, answer.read()


async def test_people_are_served_over_tls_that_chains_to_the_anchor(tmp_path: Path) -> None:
    async with running_server(tmp_path / "state") as running:
        status, body = await asyncio.to_thread(get, running, "/openapi.json")
    assert status == 200
    assert b'"openapi"' in body


async def test_a_server_that_was_stopped_starts_again(tmp_path: Path) -> None:
    configuration = set_up_in(tmp_path / "state")
    for _ in range(2):
        worker = Ticking()
        server = Server(configuration, SystemClock(), parts_with(worker))
        await server.start()
        await asyncio.sleep(0)
        assert worker.running
        stopping = asyncio.Event()
        stopping.set()
        await server.wait(stopping)
        await server.stop()
        assert not worker.running
    assert not (tmp_path / "state" / "admin.sock").exists()


async def test_a_second_server_is_told_who_holds_the_database(tmp_path: Path) -> None:
    async with running_server(tmp_path / "state") as running:
        second = Server(running.configuration, SystemClock(), parts_with(Ticking()))
        with pytest.raises(StoreBusyError, match="is in use by process"):
            await second.start()
        assert await asyncio.to_thread(running.run, "token.list") == []


@pytest.mark.parametrize("key", ["enrol", "report", "web"])
async def test_a_port_in_use_is_named_with_what_to_do(tmp_path: Path, key: str) -> None:
    configuration = set_up_in(tmp_path / "state")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = replace(
            configuration,
            listen=replace(configuration.listen, **{key: Address("127.0.0.1", port)}),
        )
        with pytest.raises(AddressError) as raised:
            await Server(taken, SystemClock(), parts_with(Ticking())).start()
    text = str(raised.value)
    assert f"127.0.0.1:{port} (listen.{key}) can't be bound: another program listens there" in text
    assert f"ss -ltnp 'sport = :{port}'" in text
    Store.open(configuration.database_url).close()  # nothing was left open


@pytest.mark.parametrize("key", ["enrol", "report", "web"])
async def test_an_address_of_another_machine_is_named(tmp_path: Path, key: str) -> None:
    configuration = set_up_in(tmp_path / "state")
    foreign = replace(
        configuration, listen=replace(configuration.listen, **{key: Address("192.0.2.1", 0)})
    )
    with pytest.raises(
        AddressError, match=rf"192\.0\.2\.1:0 \(listen\.{key}\) can't be bound: this"
    ):
        await Server(foreign, SystemClock(), parts_with(Ticking())).start()


async def test_a_worker_that_fails_ends_the_server_with_its_error(tmp_path: Path) -> None:
    configuration = set_up_in(tmp_path / "state")
    server = Server(configuration, SystemClock(), parts_with(Ticking(StoreError("broken"))))
    await server.start()
    with pytest.raises(StoreError, match="broken"):
        await asyncio.wait_for(server.wait(asyncio.Event()), 10)
    await server.stop()


def remove_authority(state: Path) -> None:
    (state / "authority" / "key.pem").unlink()


def remove_database(state: Path) -> None:
    (state / "keycensus.db").unlink()


@pytest.mark.parametrize(
    ("break_it", "error", "message"),
    [
        (remove_authority, AuthorityError, r"key\.pem can't be read"),
        (remove_database, StoreError, "keycensus-collector init"),
    ],
)
async def test_what_is_missing_is_said_before_anything_listens(
    tmp_path: Path, break_it: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    configuration = set_up_in(tmp_path / "state")
    break_it(tmp_path / "state")
    with pytest.raises(error, match=message):
        await Server(configuration, SystemClock(), parts_with(Ticking())).start()


def presented(port: int) -> x509.Certificate:
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=20)
    return x509.load_pem_x509_certificate(pem.encode())


async def test_the_servers_certificate_is_replaced_while_it_serves(tmp_path: Path) -> None:
    clock = FixedClock(int(datetime.now(UTC).timestamp() * 1000))
    async with running_server(tmp_path / "state", clock=clock) as running:
        tls = running.server.tls
        assert tls is not None
        ports = [running.bound.enrol.port, running.bound.web.port]
        before = {await asyncio.to_thread(presented, port) for port in ports}
        await tls.renew_if_due()
        assert {await asyncio.to_thread(presented, port) for port in ports} == before
        clock.advance(61 * DAY)
        await tls.renew_if_due()
        after = {await asyncio.to_thread(presented, port) for port in ports}
    assert len(before) == len(after) == 1
    assert before != after


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("mounting a small tmpfs needs root")
    directory = tmp_path / "small"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", str(directory)]
    subprocess.run(mount, check=True)
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def fill(directory: Path) -> Path:
    """Take every byte that is left; return the file that has them."""
    file = directory / "ballast"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(descriptor, bytes(4096))
    os.close(descriptor)
    return file


async def test_on_a_full_disk_nobody_joins_reading_goes_on_and_it_heals(small_disk: Path) -> None:
    async with running_server(small_disk / "state") as running:
        token = (await asyncio.to_thread(running.run, "token.create"))["token"]
        ballast = fill(small_disk)

        async def write_until_it_fails() -> None:
            for _ in range(200):  # the database's log may have room for some
                await asyncio.to_thread(running.run, "token.create")

        with pytest.raises(KeycensusError, match="is full; nothing was committed"):
            await write_until_it_fails()
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await enrol(str(running.bound.enrol), running.anchor_pem, token)
        assert reason_of(raised.value) == "busy"
        assert await asyncio.to_thread(running.run, "host.list") == []
        ballast.unlink()
        await enrol(str(running.bound.enrol), running.anchor_pem, token)


async def test_a_silent_host_is_marked_after_three_heartbeats_of_our_own_listening(
    tmp_path: Path,
) -> None:
    from keycensus_collector.silence import mark_silent

    async with running_server(tmp_path / "state") as running:
        token = (await asyncio.to_thread(running.run, "token.create"))["token"]
        await enrol(str(running.bound.enrol), running.anchor_pem, token)
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    with Store.open(running.configuration.database_url) as store, store.write() as connection:
        late = now_ms + 2_800_000

        def mark(at_ms: int, since_ms: int) -> int:
            return mark_silent(
                connection, now_ms=at_ms, listening_since_ms=since_ms, heartbeat_seconds=900
            )

        assert mark(late, late - 10_000) == 0
        assert mark(now_ms + 2_600_000, 0) == 0
        assert mark(late, 0) == 1
        assert mark(late + 1, 0) == 0
        states = connection.execute(
            select(host_state.c.state, host_state.c.to_ms).order_by(host_state.c.from_ms)
        ).all()
        assert [tuple(row) for row in states] == [("active", late), ("silent", None)]
