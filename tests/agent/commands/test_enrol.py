from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from fakes.collector_stub import CollectorStub, running_collector

# What cli.py does with a command, without its parser.
RUN = """
import argparse, sys
from keycensus_agent.commands import enrol
from keycensus_agent.errors import KeycensusError
collector, token_file, config, state = sys.argv[1:]
try:
    sys.exit(enrol.run(argparse.Namespace(
        collector=collector, token_file=token_file, config=config or None, state_dir=state)))
except KeycensusError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_status)
"""


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


async def enrol(
    stub: CollectorStub, directory: Path, token_file: str, *, typed: str = "", config: str = ""
) -> Ended:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        RUN,
        stub.enrolment_address,
        token_file,
        config,
        str(directory / "state"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(typed.encode())
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


def kept(directory: Path, token: str, mode: int = 0o600) -> str:
    path = directory / "token"
    path.write_text(token + "\n")
    path.chmod(mode)
    return str(path)


async def test_enrolling_from_a_file_says_who_we_are_and_that_the_token_is_spent(
    tmp_path: Path,
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text('[labels]\nsite = "a"\n')
    async with running_collector() as stub:
        token = stub.token()
        ended = await enrol(stub, tmp_path, kept(tmp_path, token), config=str(config))
        again = await enrol(stub, tmp_path, kept(tmp_path, token))
    assert (ended.status, ended.err) == (0, "")
    assert 'enrolled at "test"' in ended.out
    assert "is spent" in ended.out
    assert again.status == 0
    assert "already enrolled" in again.out
    assert (tmp_path / "token").exists()
    assert b"site" in stub.enrol_requests[0].host_facts


async def test_the_token_may_come_from_standard_input(tmp_path: Path) -> None:
    async with running_collector() as stub:
        ended = await enrol(stub, tmp_path, "-", typed=stub.token() + "\n")
    assert ended.status == 0
    assert "spent" not in ended.out


async def test_a_token_that_others_can_read_is_warned_about(tmp_path: Path) -> None:
    async with running_collector(CollectorStub(clock_offset_seconds=7200)) as stub:
        ended = await enrol(stub, tmp_path, kept(tmp_path, stub.token(), 0o644))
    assert ended.status == 0
    assert "other users can read the token" in ended.err
    assert "clock differs" in ended.err


@pytest.mark.parametrize(
    ("typed", "status", "says"),
    [("", 2, "token is empty"), ("hunter2", 2, "no enrolment token")],
)
async def test_a_bad_token_is_a_usage_error_without_a_traceback(
    tmp_path: Path, typed: str, status: int, says: str
) -> None:
    ended = await enrol(CollectorStub(enrolment_port=1), tmp_path, "-", typed=typed)
    assert ended.status == status
    assert says in ended.err
    assert "Traceback" not in ended.err
    assert "hunter2" not in ended.err


async def test_a_missing_token_file_and_a_collector_that_is_down_say_what_to_do(
    tmp_path: Path,
) -> None:
    stub = CollectorStub(enrolment_port=1)
    missing = await enrol(stub, tmp_path, str(tmp_path / "none"))
    assert missing.status == 2
    assert "can't be read: No such file" in missing.err
    down = await enrol(stub, tmp_path, kept(tmp_path, stub.token()))
    assert down.status == 3
    assert "nothing listens on port 1" in down.err
    assert "Traceback" not in down.err
