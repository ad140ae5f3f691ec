"""The link as systemd starts it, here started the same way: a connection as descriptor 3."""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fakes.collector_stub import running_collector
from fakes.enrolled_agent import enrolled
from fakes.unprivileged import as_nobody

from keycensus_agent.relay import FrameKind, encode_frame, receive_frame

PROGRAM = "from keycensus_agent.link.activated import main; main()"
# As systemd does (sd_listen_fds): the process id must be the program's own, and exec keeps it.
ACTIVATE = 'exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"'
PATIENCE = 20.0


def configured(directory: Path, text: str = "") -> Path:
    file = directory / "agent.toml"
    file.write_text(f'{text}\n[link]\nidentity = "{directory / "identity"}"\n')
    return file


def activated(theirs: socket.socket, config: Path, *, reader: str = "") -> subprocess.Popen[str]:
    options = ["--config", str(config), "--reader", reader or getpass.getuser()]
    return subprocess.Popen(
        ["sh", "-c", ACTIVATE, sys.executable, "-c", PROGRAM, *options],
        stdin=theirs.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(
    config: Path, *, reader: str = "", pair: tuple[socket.socket, socket.socket] | None = None
) -> tuple[dict[str, Any], int, str]:
    """Start a link, and return the CLOSED frame, exit status and errors that it ends with."""
    ours, theirs = pair or socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs, activated(theirs, config, reader=reader) as process:
        theirs.close()
        ours.settimeout(PATIENCE)
        frame = receive_frame(ours)
        _, errors = process.communicate(timeout=PATIENCE)
    assert frame is not None
    assert frame[0] is FrameKind.CLOSED
    return json.loads(frame[1]), process.returncode, errors


async def test_it_becomes_the_link_of_its_connection(tmp_path: Path) -> None:
    async with running_collector() as stub:
        _, store = await enrolled(stub, tmp_path)
        assert store.path == tmp_path / "identity"
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs, activated(theirs, configured(tmp_path)) as process:
            theirs.close()
            frame = await in_time(ours)
            assert frame[0] is FrameKind.OPEN
            assert json.loads(frame[1])["deployment"] == "test"
            assert b"keycensus_agent.link" in of_process(process.pid, "cmdline").split(b"\0")
            assert b"LISTEN_PID" not in of_process(process.pid, "environ")
            ours.sendall(encode_frame(FrameKind.END))
            assert (await in_time(ours))[0] is FrameKind.CLOSED
            process.communicate(timeout=PATIENCE)
        assert process.returncode == 0


def of_process(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


async def in_time(ours: socket.socket) -> tuple[FrameKind, bytes]:
    ours.settimeout(PATIENCE)
    frame = await asyncio.to_thread(receive_frame, ours)
    assert frame is not None
    return frame


def test_without_an_identity_the_reader_is_told_so(tmp_path: Path) -> None:
    closed, status, _ = answer(configured(tmp_path))
    assert closed["reason"] == "not-enrolled"
    assert status == 3


def test_the_configured_address_and_proxy_reach_the_link(tmp_path: Path) -> None:
    secret = "http://ada:hunter2@127.0.0.1:1"
    config = configured(tmp_path, f'[collector]\naddress = "127.0.0.1:1"\nproxy = "{secret}"\n')
    closed, _, errors = answer(config)
    assert closed["reason"] == "not-enrolled"
    assert "hunter2" not in errors


def test_a_mistake_in_the_configuration_is_told_to_the_reader(tmp_path: Path) -> None:
    closed, status, errors = answer(configured(tmp_path, "[collector]\nproxy = 7\n"))
    assert "[collector] proxy" in closed["text"]
    assert "[collector] proxy" in errors
    assert status == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be someone else")
def test_who_is_not_the_reader_is_not_served(tmp_path: Path) -> None:
    with as_nobody():
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    closed, status, errors = answer(configured(tmp_path), reader="daemon", pair=pair)
    assert closed["text"] == errors.removeprefix("keycensus-agent-link: ").strip()
    assert "user 65534 is not the reader (daemon) and is not served" in closed["text"]
    assert status == 3


def test_a_reader_that_does_not_exist_is_a_clear_error(tmp_path: Path) -> None:
    closed, status, _ = answer(configured(tmp_path), reader="nobody-of-that-name")
    assert "there is no user 'nobody-of-that-name': `systemd-sysusers` makes it" in closed["text"]
    assert status == 2


def test_a_network_connection_is_not_served(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
        with ours, theirs, activated(theirs, configured(tmp_path)) as process:
            _, errors = process.communicate(timeout=PATIENCE)
    assert "is not AF_UNIX" in errors
    assert process.returncode == 2


def test_started_by_hand_it_says_who_starts_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--reader", "root"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert "is started by systemd" in done.stderr
    assert "Traceback" not in done.stderr
