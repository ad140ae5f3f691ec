from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fakes.collector_stub import CollectorStub, ThrowAwayAuthority, running_collector
from fakes.enrolled_agent import enrolled
from fakes.tcp_servers import connect_proxy, says_nothing, tcp_server
from fakes.unprivileged import as_nobody, open_directory

from keycensus_agent.errors import LinkError
from keycensus_agent.host_facts import machine_prints
from keycensus_agent.link.identity import IdentityStore
from keycensus_agent.reader.link_client import Connection, LinkClient, SpawnedLink
from keycensus_agent.relay import FrameKind, encode_frame, receive_frame
from keycensus_proto.v1 import report_pb2

HELLO = report_pb2.ReportRequest(hello=report_pb2.Hello(protocol_version=1)).SerializeToString()
PATIENCE = 20.0


def batch(sequence: int, padding: int = 0) -> bytes:
    change = report_pb2.Change(row=b"x" * padding)
    message = report_pb2.Batch(sequence=sequence, changes=[change])
    return report_pb2.ReportRequest(batch=message).SerializeToString()


async def received(connection: Connection, kind: FrameKind) -> bytes:
    frame = await asyncio.to_thread(connection.receive, PATIENCE)
    assert frame is not None
    assert frame[0] is kind, frame
    return frame[1]


def of_process(link: Connection, name: str) -> bytes:
    return Path(f"/proc/{link.pid}/{name}").read_bytes()


async def closed(connection: Connection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await received(connection, FrameKind.CLOSED))
    return found


@pytest.fixture
async def stub() -> AsyncIterator[CollectorStub]:
    async with running_collector() as collector:
        yield collector


async def started(stub: CollectorStub, directory: Path) -> Connection:
    await enrolled(stub, directory)
    return LinkClient.spawn(directory / "identity")


async def test_a_link_opens_says_hello_and_leaves_at_the_end(
    stub: CollectorStub, tmp_path: Path
) -> None:
    with await started(stub, tmp_path) as link:
        opened = json.loads(await received(link, FrameKind.OPEN))
        assert (opened["collector"], opened["deployment"]) == (stub.report_address, "test")
        link.send(FrameKind.MESSAGE, HELLO)
        answer = report_pb2.ReportResponse.FromString(await received(link, FrameKind.MESSAGE))
        assert answer.hello_ack.deployment == "test"
        link.send(FrameKind.END)
        begun = time.monotonic()
        assert (await closed(link))["reason"] == "done"
        # CLOSED is the last word, however often it is asked for.
        assert (await closed(link))["reason"] == "done"
    assert time.monotonic() - begun < 2.0


async def test_a_thousand_messages_pass_both_ways_in_order(
    stub: CollectorStub, tmp_path: Path
) -> None:
    with await started(stub, tmp_path) as link:
        await received(link, FrameKind.OPEN)

        def exchange() -> list[int]:
            # All are sent before any answer is taken: neither side may wait for ever.
            for sequence in range(1, 1001):
                link.send(FrameKind.MESSAGE, batch(sequence, padding=2000))
            answers: list[int] = []
            while len(answers) < 1000:
                frame = link.receive(PATIENCE)
                assert frame is not None
                answers.append(report_pb2.ReportResponse.FromString(frame[1]).ack.sequence)
            return answers

        assert await asyncio.to_thread(exchange) == list(range(1, 1001))
    assert [each.batch.sequence for each in stub.received] == list(range(1, 1001))


async def test_a_message_just_under_the_limit_passes(stub: CollectorStub, tmp_path: Path) -> None:
    with await started(stub, tmp_path) as link:
        await received(link, FrameKind.OPEN)
        await asyncio.to_thread(link.send, FrameKind.MESSAGE, batch(1, padding=4 * 1024 * 1000))
        answer = report_pb2.ReportResponse.FromString(await received(link, FrameKind.MESSAGE))
        assert answer.ack.sequence == 1


async def test_a_stream_that_the_collector_breaks_is_said(
    stub: CollectorStub, tmp_path: Path
) -> None:
    stub.kill_stream_after = 1
    with await started(stub, tmp_path) as link:
        await received(link, FrameKind.OPEN)
        link.send(FrameKind.MESSAGE, batch(1))
        link.send(FrameKind.MESSAGE, batch(2))
        await received(link, FrameKind.MESSAGE)
        why = await closed(link)
        assert why["reason"] == "unreachable"
        assert "the collector is stopping" in why["text"]
        with pytest.raises(LinkError):
            link.send(FrameKind.MESSAGE, batch(3))


async def test_a_refusal_is_handed_on_and_then_explained(
    stub: CollectorStub, tmp_path: Path
) -> None:
    stub.refusal = report_pb2.Refusal(reason="banned", text="by \x1b ops", retry_after_seconds=7)
    with await started(stub, tmp_path) as link:
        await received(link, FrameKind.OPEN)
        link.send(FrameKind.MESSAGE, HELLO)
        message = report_pb2.ReportResponse.FromString(await received(link, FrameKind.MESSAGE))
        assert message.refusal.reason == "banned"
        why = await closed(link)
    assert (why["reason"], why["refusal"], why["retry_after_seconds"]) == ("refused", "banned", 7)
    assert "agent unban" in why["text"]
    assert "\x1b" not in why["text"]


async def test_at_half_life_the_link_renews_before_it_reports(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    stub = CollectorStub(
        not_before=now - dt.timedelta(days=20), not_after=now + dt.timedelta(days=10)
    )
    async with running_collector(stub):
        identity, store = await enrolled(stub, tmp_path)
        stub.not_before = stub.not_after = None
        with LinkClient.spawn(store.path) as link:
            await received(link, FrameKind.OPEN)
            link.send(FrameKind.MESSAGE, HELLO)
            await received(link, FrameKind.MESSAGE)
    renewed = store.load(machine_prints())
    assert stub.renewals == 1
    assert renewed.not_after > identity.not_after
    assert stub.peer_serials == [_serial(renewed.chain[0])]


async def test_a_renewal_that_fails_does_not_stop_a_valid_certificate(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    stub = CollectorStub(
        renewal_refused="busy",
        not_before=now - dt.timedelta(days=20),
        not_after=now + dt.timedelta(days=10),
    )
    async with running_collector(stub):
        with await started(stub, tmp_path) as link:
            await received(link, FrameKind.OPEN)


async def test_an_expired_certificate_is_recovered_or_explained(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    stub = CollectorStub(
        recover_refused="expired",
        not_before=now - dt.timedelta(days=300),
        not_after=now - dt.timedelta(days=200),
    )
    async with running_collector(stub):
        identity, store = await enrolled(stub, tmp_path)
        with LinkClient.spawn(store.path) as link:
            why = await closed(link)
        assert why["reason"] == "expired"
        assert "enrol with a new token" in why["text"]

        stub.recover_refused = ""
        stub.not_before = stub.not_after = None
        with LinkClient.spawn(store.path) as link:
            await received(link, FrameKind.OPEN)
    assert store.load(machine_prints()).not_after > identity.not_after


async def test_a_clock_before_the_certificate_is_named(tmp_path: Path) -> None:
    now = dt.datetime.now(dt.UTC)
    stub = CollectorStub(
        not_before=now + dt.timedelta(days=20), not_after=now + dt.timedelta(days=50)
    )
    async with running_collector(stub):
        with await started(stub, tmp_path) as link:
            why = await closed(link)
    assert why["reason"] == "tls"
    assert "clock is probably wrong" in why["text"]


async def test_anchors_of_the_next_roll_over_are_stored_and_trusted(tmp_path: Path) -> None:
    following = ThrowAwayAuthority("next root")
    async with running_collector() as stub:
        _, store = await enrolled(stub, tmp_path)
        stub.next_anchors = [following.der]
        with LinkClient.spawn(store.path) as link:
            await received(link, FrameKind.OPEN)
            link.send(FrameKind.MESSAGE, HELLO)
            await received(link, FrameKind.MESSAGE)
    assert store.load(machine_prints()).trust.next == (following.der,)

    # The collector now presents a certificate of the next authority.
    rolled = CollectorStub(authority=stub.authority, report_port=stub.report_port)
    async with running_collector(rolled, server_identity=following.issue_server("collector.test")):
        with LinkClient.spawn(store.path) as link:
            await received(link, FrameKind.OPEN)


async def test_a_collector_of_another_authority_is_refused(tmp_path: Path) -> None:
    async with running_collector() as stub:
        _, store = await enrolled(stub, tmp_path)
    stranger = CollectorStub(report_port=stub.report_port)
    async with running_collector(stranger):
        with LinkClient.spawn(store.path) as link:
            why = await closed(link)
    assert why["reason"] == "tls"
    assert "Nothing was sent" in why["text"]


async def test_a_collector_that_is_down_and_a_missing_identity_are_told_apart(
    tmp_path: Path,
) -> None:
    async with running_collector() as stub:
        _, store = await enrolled(stub, tmp_path)
    with LinkClient.spawn(store.path) as link:
        why = await closed(link)
    assert why["reason"] == "unreachable"
    assert "nothing listens" in why["text"]
    with LinkClient.spawn(tmp_path / "nowhere") as link:
        assert (await closed(link))["reason"] == "not-enrolled"
    store.directory.write({"identity.json": _elsewhere(store)})
    with LinkClient.spawn(store.path) as link:
        assert (await closed(link))["reason"] == "other-machine"


async def test_reports_go_through_a_proxy_whose_password_is_not_in_argv(
    stub: CollectorStub, tmp_path: Path
) -> None:
    seen: list[bytes] = []
    _, store = await enrolled(stub, tmp_path)
    with tcp_server(connect_proxy(seen)) as port:
        proxy = f"http://user:hunter2@127.0.0.1:{port}"
        with LinkClient.spawn(store.path, proxy=proxy) as link:
            await received(link, FrameKind.OPEN)
            command = of_process(link, "cmdline")
    assert len(seen) == 1
    assert b"hunter2" not in command


async def test_the_link_has_only_the_environment_that_it_needs(
    stub: CollectorStub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    with await started(stub, tmp_path) as link:
        await received(link, FrameKind.OPEN)
        environment = of_process(link, "environ")
        limits = of_process(link, "limits").decode()
    assert b"hunter2" not in environment
    core = next(line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]


async def test_a_terminated_link_says_stopped_within_two_seconds(
    stub: CollectorStub, tmp_path: Path
) -> None:
    with await started(stub, tmp_path) as link:
        await received(link, FrameKind.OPEN)
        begun = time.monotonic()
        os.kill(link.pid, signal.SIGTERM)
        assert (await closed(link))["reason"] == "stopped"
    assert time.monotonic() - begun < 2.0


async def test_a_link_that_waits_for_a_silent_server_can_still_be_ended(tmp_path: Path) -> None:
    async with running_collector() as stub:
        _, store = await enrolled(stub, tmp_path)
    with tcp_server(says_nothing) as port:
        link = LinkClient.spawn(store.path, f"127.0.0.1:{port}")
        assert await asyncio.to_thread(link.receive, 1.5) is None
        begun = time.monotonic()
        await asyncio.to_thread(link.close)
        assert time.monotonic() - begun < 4.0


async def test_a_killed_link_gives_a_closed_frame_all_the_same(
    stub: CollectorStub, tmp_path: Path
) -> None:
    with await started(stub, tmp_path) as link:
        await received(link, FrameKind.OPEN)
        os.kill(link.pid, signal.SIGKILL)
        why = await closed(link)
        assert why["reason"] == "stopped"
        with pytest.raises(LinkError):
            link.send(FrameKind.MESSAGE, HELLO)


async def test_a_link_whose_reader_is_gone_leaves_by_itself(
    stub: CollectorStub, tmp_path: Path
) -> None:
    link = await started(stub, tmp_path)
    await received(link, FrameKind.OPEN)
    begun = time.monotonic()
    await asyncio.to_thread(link.close)
    assert time.monotonic() - begun < 2.0
    # Not ended by us: that would be a signal's status.
    assert isinstance(link._process, SpawnedLink)
    assert link._process._process.returncode == 0


def test_nonsense_from_the_link_ends_the_connection() -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-c", ""])
    with Connection(SpawnedLink(process), ours) as link, theirs:
        theirs.sendall(encode_frame(FrameKind.MESSAGE, b"good") + b"\xff" * 8)
        assert link.receive(1) == (FrameKind.MESSAGE, b"good")
        frame = link.receive(1)
        assert frame is not None
        assert json.loads(frame[1])["reason"] == "protocol"


def test_waiting_without_a_frame_ends_in_time() -> None:
    ours, theirs = socket.socketpair()
    process = subprocess.Popen([sys.executable, "-c", ""])
    with Connection(SpawnedLink(process), ours) as link, theirs:
        assert link.receive(0) is None
        theirs.sendall(b"\1\0\0")
        assert link.receive(0.01) is None


def _serial(der: bytes) -> int:
    from cryptography import x509

    return x509.load_der_x509_certificate(der).serial_number


def _elsewhere(store: IdentityStore) -> bytes:
    facts = json.loads((store.path / "identity.json").read_bytes())
    facts["machine_hash"]["machine_id"] = "ab" * 32
    return json.dumps(facts).encode()


def listening(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(path))
    server.listen()
    return server


async def test_a_link_of_systemd_s_speaks_over_its_socket(tmp_path: Path) -> None:
    with listening(tmp_path / "link.sock") as server:
        link = LinkClient.connect(tmp_path / "link.sock")
        theirs, _ = server.accept()
        with theirs:
            theirs.sendall(encode_frame(FrameKind.OPEN, b"{}"))
            assert await received(link, FrameKind.OPEN) == b"{}"
            link.send(FrameKind.MESSAGE, HELLO)
            link.close()
            assert receive_frame(theirs) == (FrameKind.MESSAGE, HELLO)
            # There is nobody to wait for and nobody to end: the link sees that we are gone.
            assert receive_frame(theirs) is None


async def test_a_link_of_systemd_s_that_ends_without_a_word_is_explained_by_its_journal(
    tmp_path: Path,
) -> None:
    path = tmp_path / "link.sock"
    with listening(path) as server, LinkClient.connect(path) as link:
        server.accept()[0].close()
        why = await closed(link)
    assert why["reason"] == "stopped"
    assert "journalctl -u 'keycensus-agent-link@*'" in why["text"]


def test_a_socket_that_is_not_there_or_answers_nobody_names_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "link.sock"
    with pytest.raises(LinkError, match="is not there: `systemctl start keycensus-agent-link"):
        LinkClient.connect(path)
    listening(path).close()
    with pytest.raises(LinkError, match="answers nobody: `systemctl start keycensus-agent-link"):
        LinkClient.connect(path)
    with pytest.raises(LinkError, match=r"can't be reached \(.*\): `systemctl start"):
        LinkClient.connect(tmp_path / "a" / ("n" * 200))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be someone else")
def test_a_socket_for_another_user_says_who_may_connect() -> None:
    with open_directory() as directory, listening(directory / "link.sock"):
        (directory / "link.sock").chmod(0o600)
        with as_nobody(), pytest.raises(LinkError, match="user 65534 may not connect"):
            LinkClient.connect(directory / "link.sock")
