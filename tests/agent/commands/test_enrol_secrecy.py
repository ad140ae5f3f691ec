"""The token of an enrolment is in no command line and no environment, where every user could read it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fakes.tcp_servers import says_nothing, tcp_server

SECRET = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
TOKEN = f"kc1.AAAAAAAAAAA.{SECRET}.{'A' * 43}"


@pytest.mark.parametrize("way", ["file", "standard input"])
def test_a_token_is_not_to_be_seen_among_the_processes(tmp_path: Path, way: str) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    connected = threading.Event()

    def notice(connection: socket.socket) -> None:
        connected.set()
        says_nothing(connection)

    with tcp_server(notice) as port:
        agent = subprocess.Popen(
            [
                *(sys.executable, "-m", "keycensus_agent", "--state-dir", str(tmp_path / "state")),
                *("enrol", "--collector", f"127.0.0.1:{port}"),
                *("--token-file", str(file) if way == "file" else "-"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert agent.stdin is not None
            if way == "standard input":
                agent.stdin.write(TOKEN.encode() + b"\n")
            agent.stdin.close()
            # From here on it holds the token, and waits for a server that says nothing.
            assert connected.wait(60)
            seen = b"".join(
                Path(f"/proc/{agent.pid}/{name}").read_bytes() for name in ("cmdline", "environ")
            )
            assert f"127.0.0.1:{port}".encode() in seen
        finally:
            agent.kill()
            agent.wait()
            assert agent.stdout is not None
            assert agent.stderr is not None
            seen += agent.stdout.read() + agent.stderr.read()
            agent.stdout.close()
            agent.stderr.close()
    assert SECRET.encode() not in seen


def test_no_option_takes_a_token_as_a_word() -> None:
    from keycensus_agent.cli import build_parser

    with pytest.raises(SystemExit):
        build_parser().parse_args(["enrol", "--collector", "c", "--token", TOKEN])
