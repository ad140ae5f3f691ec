"""The collector as a process: signals, restarts, and commands beside it."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from fakes.collector import Collector
from fakes.joining import enrol, key_pem


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with Collector.make(tmp_path / "collector", interpreter=sys.executable) as collector:
        yield collector


async def test_it_enrols_survives_a_kill_ends_on_sigterm_and_tells_no_secret(
    collector: Collector,
) -> None:
    anchor = collector.ca_file.read_bytes()
    token = collector.enrolment_token("--uses", "2")
    key = ec.generate_private_key(ec.SECP256R1())
    before = await enrol(collector.enrol, anchor, token, key=key)
    address = collector.enrol
    collector.kill()
    collector.start()
    assert collector.enrol == address
    again = await enrol(collector.enrol, anchor, token, key=key)
    assert again.certificate == before.certificate
    (row,) = collector.query("agent", "list")
    assert row["id"] == before.response.agent_id
    started = time.monotonic()
    assert collector.stop() == 0
    assert time.monotonic() - started < 10
    assert [row["state"] for row in collector.query("agent", "list")] == ["active"]

    assert len(collector.events("serve.started")) == 2
    assert len(collector.events("serve.stopped")) == 1
    log = collector.log_file.read_bytes()
    assert all(line.startswith(b"{") for line in log.splitlines())
    number = key.private_numbers().private_value.to_bytes(32, "big")
    body = b"".join(key_pem(key).splitlines()[1:-1])
    secrets = (token.split(".")[2].encode(), collector.admin_token.encode(), number, body)
    for place in (log, collector.database.read_bytes()):
        assert not [secret for secret in secrets if secret in place]


def test_commands_beside_the_running_server_see_what_it_sees(collector: Collector) -> None:
    assert collector.query("db", "status")["up_to_date"] is True
    checks = {row["check"]: row for row in collector.query("doctor")}
    assert checks["listen.enrol"]["text"].endswith("answers")
    assert not [row for row in checks.values() if row["state"] == "fail"]
    for arguments in (("db", "upgrade"), ("serve",)):
        result = collector.command(*arguments)
        assert result.returncode == 3
        assert f"is in use by process {collector.pid}" in result.stderr
    collector.interrupt()
    assert collector.wait_until_dead() == 0


def test_a_port_in_use_is_one_clear_line_with_status_3(tmp_path: Path) -> None:
    collector = Collector.make(tmp_path / "collector", interpreter=sys.executable)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        text = collector.config_file.read_text()
        collector.config_file.write_text(
            text.replace('enrol = "127.0.0.1:0"', f'enrol = "127.0.0.1:{port}"')
        )
        result = collector.command("serve")
    assert result.returncode == 3
    told = [line for line in result.stderr.splitlines() if not line.startswith("{")]
    assert len(told) == 1
    assert f"127.0.0.1:{port} (listen.enrol) can't be bound: another program" in told[0]
