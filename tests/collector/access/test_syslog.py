"""The audit log at a syslog server: real sockets, in order, nothing left out."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.databases import new_store
from structlog.testing import capture_logs

from keycensus_collector.access import audit
from keycensus_collector.access.syslog import Forwarder, message
from keycensus_collector.access.syslog_target import Target, target_of
from keycensus_collector.errors import StoreError
from keycensus_collector.store.duties import Duties
from keycensus_collector.store.engine import Store

HEAD = re.compile(
    rb"<109>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [!-~]+ keycensus-collector \d+ audit - (\{.*\})"
)

pytestmark = pytest.mark.usefixtures("each_database_in_full")
NOW_MS = 1_790_000_000_123


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with new_store(tmp_path) as store:
        yield store


def write(store: Store, *subjects: str, detail: dict[str, object] | None = None) -> None:
    with store.write() as connection:
        for subject in subjects:
            audit.record(
                connection,
                at_ms=NOW_MS,
                actor="user:ann",
                action="user.add",
                subject=subject,
                detail=detail,
            )


def told(data: bytes) -> dict[str, object]:
    match = HEAD.fullmatch(data)
    assert match, data
    document: dict[str, object] = json.loads(match[1])
    return document


def send(store: Store, url: str) -> bool:
    return asyncio.run(Forwarder(store, Duties(store), Target(url)).send())


def datagrams(receiver: socket.socket) -> list[dict[str, object]]:
    receiver.settimeout(0.2)
    found = []
    while True:
        try:
            found.append(told(receiver.recv(65_536)))
        except TimeoutError:
            return found


def test_rows_go_by_udp_each_once_and_in_order(store: Store) -> None:
    write(store, "bob", "eve\x1b[31m\n<1>1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        assert not send(store, url)
        first = datagrams(receiver)
        assert [row["subject"] for row in first] == ["bob", "eve\\x1b[31m\\x0a<1>1"]
        assert all(re.fullmatch("[0-9a-f]{64}", str(row["hash"])) for row in first)
        write(store, "mallory", detail={"reason": "x" * 5_000})
        send(store, url)
        [cut] = datagrams(receiver)
        assert (cut["subject"], cut["detail"]) == ("mallory", {"cut": True})
        send(store, url)
        assert datagrams(receiver) == []


def test_rows_go_to_a_local_socket(store: Store, tmp_path: Path) -> None:
    write(store, "bob")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "log"))
        send(store, f"unix://{tmp_path}/log")
        assert [row["subject"] for row in datagrams(receiver)] == ["bob"]


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(1_000):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError


async def test_a_tcp_server_that_was_away_gets_what_it_missed(store: Store) -> None:
    write(store, *(f"s{number}" for number in range(450)), detail={"reason": "y" * 3_000})
    received = bytearray()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read())
        writer.close()

    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    forwarder = Forwarder(store, Duties(store), Target(f"tcp://127.0.0.1:{port}"))
    with capture_logs() as logs:
        task = asyncio.create_task(forwarder.run())
        await until(lambda: bool(logs))
        async with await asyncio.start_server(take, "127.0.0.1", port):
            await until(lambda: len(logs) == 2 and received.count(b"user.add") == 450)
            task.cancel()
    assert [each["event"] for each in logs] == ["syslog.failed", "syslog.sending"]
    found, rest = [], bytes(received)
    while rest:
        length, _, rest = rest.partition(b" ")
        found.append(told(rest[: int(length)]))
        rest = rest[int(length) :]
    assert [row["subject"] for row in found] == [f"s{number}" for number in range(450)]
    assert found[0]["detail"] == {"reason": "y" * 3_000}


async def test_a_database_that_fails_ends_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What ends this task ends the collector."""

    async def fails(_store: Store, _function: object) -> None:
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch, capture_logs() as logs:
        patch.setattr(Store, "run_read", fails)
        task = asyncio.create_task(Forwarder(store, Duties(store), Target("udp://h")).run())
        await until(lambda: bool(logs))
        assert not task.done()
        task.cancel()
    assert logs[0]["event"] == "syslog.failed"


def test_a_message_that_is_cut_is_still_a_message() -> None:
    row = {
        "number": 1,
        "at_ms": NOW_MS,
        "actor": "a" * 9_000,
        "action": "b",
        "subject": "é" * 9_000,
        "detail": {},
        "hash": "0" * 64,
    }
    assert told(message(row, most=2_048))["action"] == "b"
    assert told(message(row))["subject"] == "é" * 9_000


@pytest.mark.parametrize(
    "value", [5, "example.com", "http://a", "udp://", "udp://a/b", "unix://a/b", "udp://a:0x1"]
)
def test_what_is_no_address_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        target_of(value)


def test_nothing_is_nowhere() -> None:
    assert target_of("") is None


def test_ports_are_those_of_the_protocols() -> None:
    assert [Target(f"{kind}://h").port for kind in ("udp", "tcp", "tls")] == [514, 601, 6514]
