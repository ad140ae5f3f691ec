"""Injected code tries it for real, in a process that became one of the agent's by its own calls.

Each attempt is shown to succeed in a process that gave up nothing, so that a test can fail.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import fakes.attacks
import pytest
from fakes.unprivileged import open_directory

from keycensus_agent.isolation import users

Attack = Callable[..., dict[str, str]]

LANDLOCK = pytest.mark.parametrize("landlock", ["landlock", "no-landlock"])


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield int(listener.getsockname()[1])


@pytest.fixture
def attack(port: int) -> Attack:
    def run(profile: str, landlock: str = "landlock", *files: str | Path) -> dict[str, str]:
        done = subprocess.run(
            [sys.executable, fakes.attacks.__file__, profile, landlock, str(port), *files],
            capture_output=True,
            text=True,
            check=False,
            cwd="/tmp",  # noqa: S108 - any directory that everybody may write
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found

    return run


@pytest.fixture
def secret() -> Iterator[Path]:
    """Make a file that only root, or whoever runs the tests, may read; its directory is passable."""
    with open_directory() as directory:
        file = directory / "secret"
        file.write_bytes(b"x")
        file.chmod(0o600)
        yield file


def refused(found: dict[str, str], *names: str) -> set[str]:
    """Return how those attempts ended: {"EPERM"} if the filter stopped all of them."""
    return {found[name] for name in names}


def test_a_process_that_gave_up_nothing_can_do_all_of_it(attack: Attack, secret: Path) -> None:
    found = attack("none", "landlock", "/etc/passwd", secret)
    # What is refused to a user without privileges, or tells nothing of a filter, aside.
    unprivileged = {"packet", "bpf", "user namespace"} if os.geteuid() else set()
    odd = {name for name, result in found.items() if result != "done"} - unprivileged
    assert odd <= {"bpf", "io_uring"}
    assert found["io_uring"] in {"done", "EINVAL"}
    assert found["bpf"] in {"done", "EINVAL", "EPERM"}


def test_the_reader_has_no_socket_but_unix_ones(attack: Attack) -> None:
    found = attack("reader", "landlock", "/etc/passwd")
    assert refused(found, "inet", "inet6", "netlink", "packet", "io_uring") == {"EPERM"}
    assert refused(found, "unix", "socketpair", "open /etc/passwd") == {"done"}


def test_the_reader_neither_looks_into_processes_nor_changes_namespaces(attack: Attack) -> None:
    found = attack("reader")
    names = ("bpf", "user namespace", "memory file", "foreign memory", "trace")
    assert refused(found, *names) == {"EPERM"}
    # The parser is a program that it starts.
    assert refused(found, "fork", "exec", "kill", "thread") == {"done"}


def test_a_reader_that_was_root_still_reads_what_is_roots_and_writes_nothing_of_it(
    attack: Attack, secret: Path
) -> None:
    found = attack("reader", "landlock", secret)
    assert found[f"open {secret}"] == "done"


@LANDLOCK
def test_the_link_reads_no_file_of_roots_and_starts_no_program(
    attack: Attack, secret: Path, tmp_path: Path, landlock: str
) -> None:
    identity = tmp_path / "identity"
    identity.mkdir()
    identity.chmod(0o777)
    state = tmp_path / "state.db"
    state.write_bytes(b"x")
    state.chmod(0o600)
    if os.geteuid() == 0:
        reader = users.reader_user()
        os.chown(state, reader.uid, reader.gid)
    found = attack(f"link:{identity}", landlock, secret, state)
    if os.geteuid() == 0 or landlock == "landlock":
        assert refused(found, f"open {secret}", f"open {state}") == {"EACCES"}
    names = ("fork", "exec", "kill", "trace", "foreign memory", "listen", "packet", "io_uring")
    assert refused(found, *names, "user namespace", "memory file", "bpf") == {"EPERM"}
    assert refused(found, "connect", "inet", "inet6", "unix", "thread", "write here") == {"done"}


def test_landlock_leaves_the_link_its_directory_and_no_file_that_all_may_read(
    attack: Attack, tmp_path: Path, secret: Path
) -> None:
    identity = tmp_path / "identity"
    identity.mkdir()
    identity.chmod(0o777)
    open_to_all = secret.with_name("open")
    open_to_all.write_bytes(b"x")
    open_to_all.chmod(0o644)
    with_it = attack(f"link:{identity}", "landlock", open_to_all, "/etc/passwd")
    without = attack(f"link:{identity}", "no-landlock", open_to_all, "/etc/passwd")
    assert refused(with_it, f"open {open_to_all}", "open /etc/passwd") == {"EACCES"}
    assert refused(without, f"open {open_to_all}", "open /etc/passwd") == {"done"}


@LANDLOCK
def test_the_parser_computes_and_nothing_else(attack: Attack, secret: Path, landlock: str) -> None:
    found = attack("parser", landlock, "/etc/passwd", "/etc/shadow", secret)
    assert set(found.values()) == {"EPERM"}, found


def test_what_a_parser_would_use_to_tell_where_it_is_is_gone_too(tmp_path: Path) -> None:
    code = (
        "import os\n"
        "from keycensus_agent.parser import sandbox\n"
        "sandbox.enter()\n"
        "for attempt in (lambda: os.stat('/'), lambda: os.listdir('/'), os.getcwd,\n"
        "                lambda: os.unlink('/x'), lambda: os.chmod('/', 0), os.pipe):\n"
        "    try:\n"
        "        attempt()\n"
        "    except PermissionError:\n"
        "        continue\n"
        "    os._exit(1)\n"
        "os._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path)
    assert done.returncode == 0
