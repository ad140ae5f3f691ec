"""The operators' socket of a real server, and the same commands without one."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes.ports import Running, configuration_in, running_server

from keycensus_collector import admin
from keycensus_collector.clock import SystemClock
from keycensus_collector.deployment import set_up
from keycensus_collector.errors import KeycensusError, StoreError, UsageError
from keycensus_collector.operations import OPERATIONS


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    async with running_server(tmp_path / "state") as running:
        yield running


def socket_of(running: Running) -> Path:
    return running.configuration.state_directory / "admin.sock"


def ask(path: Path, line: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(line)
        with connection.makefile("rb") as stream:
            return stream.readline()


async def test_commands_go_through_the_running_server(running: Running) -> None:
    made = await asyncio.to_thread(running.run, "token.create", uses=2)
    (row,) = await asyncio.to_thread(running.run, "token.list")
    assert (row["id"], row["uses_left"]) == (made["id"], 2)


async def test_the_socket_is_its_owners_alone(running: Running) -> None:
    mode = socket_of(running).stat().st_mode
    assert stat.S_ISSOCK(mode)
    assert mode & 0o777 == 0o600


async def test_another_user_is_not_answered(running: Running, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    code = (
        "import os, socket, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        's.sendall(b\'{"operation": "user.list"}\\n\'); print(s.recv(100))'
    )
    path = socket_of(running)
    path.chmod(0o666)  # even if someone opens the mode
    for parent in (path.parent, *path.parents):
        if parent.is_relative_to(tmp_path.parent.parent) and parent.stat().st_uid == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    result = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-I", "-S", "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert result.stdout.strip() in ("b''", "") or "reset" in result.stderr.lower()
    assert "admin" not in result.stdout


async def test_errors_come_back_with_their_kind(running: Running) -> None:
    with pytest.raises(UsageError, match="there is none for agent 'nobody'"):
        await asyncio.to_thread(running.run, "agent.ban", agent="nobody")
    with pytest.raises(UsageError, match="the argument agent is missing"):
        await asyncio.to_thread(running.run, "agent.ban")
    with pytest.raises(UsageError, match="knows no operation 'nothing'; restart it"):
        await asyncio.to_thread(running.run, "nothing")


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"junk\n",
        b"[]\n",
        b'"text"\n',
        b'{"operation": "token.list", "arguments": 1}\n',
        b'{"operation": "token.create", "arguments": {"ttl_ms": "x"}}\n',
        b'{"operation": "token.create", "arguments": {"labels": 1}}\n',
        b"x" * 200_000 + b"\n",
    ],
)
async def test_a_broken_request_gets_an_error_and_harms_nobody(
    running: Running, line: bytes
) -> None:
    try:
        answer = await asyncio.to_thread(ask, socket_of(running), line)
    except ConnectionError:
        answer = b""
    assert answer == b"" or "error" in json.loads(answer)
    assert await asyncio.to_thread(running.run, "token.list") == []


async def test_the_socket_of_a_killed_server_is_replaced_and_goes_with_the_server(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(state / "admin.sock"))
    async with running_server(state) as running:
        assert await asyncio.to_thread(running.run, "token.list") == []
    assert not (state / "admin.sock").exists()


async def test_a_path_longer_than_a_socket_address_works(tmp_path: Path) -> None:
    async with running_server(tmp_path / ("d" * 120) / "state") as running:
        assert await asyncio.to_thread(running.run, "token.list") == []


def test_without_a_server_the_command_opens_the_database(tmp_path: Path) -> None:
    configuration = configuration_in(tmp_path / "state")
    set_up(configuration, "test", None, SystemClock())
    assert not admin.server_runs(configuration)
    made = admin.call(configuration, SystemClock(), "user.add", {"name": "ann", "role": "viewer"})
    assert made == {"name": "ann", "role": "viewer"}
    rows = admin.call(configuration, SystemClock(), "user.list", {})
    assert [row["name"] for row in rows] == ["admin", "ann"]


def test_before_init_every_command_names_it(tmp_path: Path) -> None:
    configuration = configuration_in(tmp_path / "state")
    for name in OPERATIONS:
        with pytest.raises(StoreError, match="keycensus-collector init"):
            admin.call(configuration, SystemClock(), name, {})


def test_a_server_that_does_not_answer_is_told(tmp_path: Path) -> None:
    configuration = configuration_in(tmp_path)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "admin.sock"))
        mute.listen()
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                (
                    "import sys; from pathlib import Path\n"
                    "from fakes.ports import configuration_in\n"
                    "from keycensus_collector import admin, clock\n"
                    "admin.call(configuration_in(Path(sys.argv[1])), clock.SystemClock(), 'x', {})"
                ),
                str(tmp_path),
            ],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stderr=subprocess.PIPE,
            text=True,
        )
        mute.settimeout(20)
        connection, _ = mute.accept()
        connection.close()
        _, errors = process.communicate(timeout=20)
    assert StoreError.__name__ in errors
    assert "did not answer" in errors
    assert issubclass(StoreError, KeycensusError)
    assert configuration.state_directory == tmp_path
