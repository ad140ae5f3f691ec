"""Which processes have a file open or mapped, by /proc."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from keycensus_agent.context.open_files import Holder, holders
from keycensus_agent.context.usages import open_in

OPEN = "import sys\nheld = open(sys.argv[1], 'rb')\nprint('ready', flush=True)\nsys.stdin.read()"
MAP = (
    "import mmap, os, sys\nfd = os.open(sys.argv[1], os.O_RDONLY)\n"
    "held = mmap.mmap(fd, 0, prot=mmap.PROT_READ)\nos.close(fd)\n"
    "print('ready', flush=True)\nsys.stdin.read()"
)


@contextmanager
def holding(program: str, path: Path) -> Iterator[int]:
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", program, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process.pid
    finally:
        process.communicate(timeout=30)


@pytest.mark.parametrize("program", [OPEN, MAP])
def test_a_process_that_has_it_open_or_mapped_is_found(tmp_path: Path, program: str) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(b"key")
    wanted = [os.fsencode(path.resolve()), b"/absent"]
    with holding(program, path):
        (found,) = holders(wanted)
        assert (found.uid, found.paths) == (os.geteuid(), frozenset(wanted[:1]))
        assert found.name.startswith("python")
        # Also when its name is gone: the process has the old one still.
        path.unlink()
        assert [each.paths for each in holders(wanted)] == [{wanted[0]}]
    assert list(holders(wanted)) == []


def test_nobody_is_found_in_a_directory_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "12").mkdir()
    (tmp_path / "self").mkdir()
    assert list(holders([b"/x"], tmp_path)) == []


def test_processes_of_one_program_are_one_usage() -> None:
    one = Holder("nginx", 33, "nginx.service", frozenset({b"/a"}))
    two = Holder("nginx", 33, "nginx.service", frozenset({b"/b", b"/unknown"}))
    other = Holder("nginx", 0, "nginx.service", frozenset({b"/a"}))
    found = open_in([one, two, other], {b"/a": b"A", b"/b": b"B"})
    assert sorted((usage.processes, usage.places) for usage in found) == [
        (("nginx (0)",), (b"A",)),
        (("nginx (33)",), (b"A", b"B")),
    ]
    assert {(usage.service, usage.directive, usage.unit) for usage in found} == {
        ("process", "open", "nginx.service")
    }
