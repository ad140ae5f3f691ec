"""Who listens in other network namespaces, by /proc, without a privilege."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from fakes.unprivileged import as_nobody

from keycensus_agent.context.other_networks import OtherNetwork, other_networks

LISTEN = """
import socket, sys
four = socket.create_server(("0.0.0.0", 48443))
six = socket.create_server(("::", 48443), family=socket.AF_INET6)
print("ready", flush=True)
sys.stdin.read()
"""
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
LISTENS = "   0: 0100007F:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0\n"
TALKS = "   1: 0100007F:1F90 0100007F:01BB 01 00000000:00000000 00:00000000 00000000     0\n"


@contextmanager
def running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        process.communicate(timeout=30)


def apart(program: str) -> AbstractContextManager[None]:
    """Run a program in a network namespace of its own."""
    alone = ("unshare", "--net", "--map-root-user")
    return running(*alone, sys.executable, "-I", "-c", program)


def told(port: int) -> list[OtherNetwork]:
    """Return what is told of the test's own listener; others may come and go beside it."""
    return [each for each in other_networks() if f"0.0.0.0:{port}" in each.listen]


def test_an_ordinary_user_sees_who_listens_in_another_namespace() -> None:
    with apart(LISTEN), as_nobody():
        [found] = told(48443)
        assert found.listen == ("0.0.0.0:48443", "[::]:48443")
        assert found.name
    assert told(48443) == []


def test_listeners_of_the_own_namespace_are_not_told() -> None:
    listen = LISTEN.replace("48443", "48444")
    with apart(listen):
        assert len(told(48444)) == 1
    with running(sys.executable, "-I", "-c", listen):
        assert told(48444) == []


def process(proc: Path, number: str, table: str, group: str = "0::/user.slice\n") -> Path:
    directory = proc / number
    (directory / "net").mkdir(parents=True)
    (directory / "net/tcp").write_text(HEAD + table)
    (directory / "cgroup").write_text(group)
    (directory / "comm").write_text("server\n")
    return directory


def test_a_namespace_is_told_once_by_its_container_unit_or_first_process(tmp_path: Path) -> None:
    assert list(other_networks(tmp_path)) == []
    docker = f"12:cpu:/\n1:name=systemd:/docker/{'ab' * 32}\n0::/\n"
    process(tmp_path, "self", LISTENS)
    process(tmp_path, "31", LISTENS + TALKS, docker)
    process(tmp_path, "4", LISTENS, "0::/system.slice/alone.service\n")
    (tmp_path / "5").mkdir()
    process(tmp_path, "6", LISTENS)
    process(tmp_path, "7", TALKS)
    # A second process of the same namespace has the same file.
    same = process(tmp_path, "8", "") / "net/tcp"
    same.unlink()
    same.hardlink_to(tmp_path / "6/net/tcp")
    assert list(other_networks(tmp_path)) == [
        OtherNetwork("alone.service", ("127.0.0.1:443",)),
        OtherNetwork("server", ("127.0.0.1:443",)),
        OtherNetwork("container abababababab", ("127.0.0.1:443",)),
    ]
