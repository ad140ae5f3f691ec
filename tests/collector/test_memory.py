"""The collector knows how much memory it may use, and turns streams away before it is all used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keycensus_collector.memory import Memory, limit_bytes, used_bytes

MIB = 1024 * 1024


def groups_in(directory: Path, membership: str, limits: dict[str, str]) -> tuple[Path, Path]:
    """Write what the kernel shows: `/proc/self` and the tree of control groups."""
    proc, groups = directory / "proc", directory / "cgroup"
    for path in (proc, groups):
        path.mkdir()
    (proc / "cgroup").write_text(membership)
    for name, content in limits.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(content)
    return proc, groups


@pytest.mark.parametrize(
    ("membership", "limits", "expected"),
    [
        (
            "0::/system.slice/kc.service\n",
            {"system.slice/kc.service/memory.max": "104857600\n"},
            100,
        ),
        (
            "0::/a/b\n",
            {"a/b/memory.max": "max\n", "a/memory.max": "52428800\n", "memory.max": "73400320\n"},
            50,
        ),
        (
            "4:cpu,memory:/a\n3:pids:/b\n0::/\n",
            {
                "memory/a/memory.limit_in_bytes": "31457280\n",
                "memory/b/memory.limit_in_bytes": "1\n",
            },
            30,
        ),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("0::/gone\n", {}, None),
        ("no line at all", {}, None),
    ],
)
def test_the_least_limit_of_the_groups_around_counts(
    tmp_path: Path, membership: str, limits: dict[str, str], expected: int | None
) -> None:
    proc, groups = groups_in(tmp_path, membership, limits)
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert limit_bytes(proc, groups) == (machine if expected is None else expected * MIB)


def test_what_is_used_is_what_no_file_backs(tmp_path: Path) -> None:
    (tmp_path / "statm").write_text("90000 3000 1000 1 0 2000 0\n")
    assert used_bytes(tmp_path) == 2000 * os.sysconf("SC_PAGE_SIZE")
    assert used_bytes(tmp_path / "missing") == 0
    before = used_bytes()
    more = bytearray(os.urandom(1) * (64 * MIB))
    assert used_bytes() - before > 32 * MIB
    assert more


def test_it_is_short_from_four_fifths_on_and_again_not_below() -> None:
    used = [70 * MIB]
    memory = Memory(used=lambda: used[0], limit=lambda: 100 * MIB)
    assert not memory.is_short(0)
    used[0] = 81 * MIB
    assert not memory.is_short(0.5), "looked at once a second"
    assert memory.is_short(1.5)
    used[0] = 79 * MIB
    assert memory.is_short(2)
    assert not memory.is_short(3)


@pytest.mark.parametrize(
    ("configured", "given", "short"),
    [(0, None, False), (100, None, False), (80, None, True), (80, 100, True), (100, 80, True)],
)
def test_the_lesser_of_configuration_and_groups_counts(
    configured: int,
    given: int | None,
    short: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    limit = given and given * MIB
    memory = Memory(configured * MIB, used=lambda: 70 * MIB, limit=lambda: limit)
    assert memory.is_short(0) is short


# Eight threads that need memory at the same time; prints how many arenas they got.
ARENAS = """
import ctypes, sys, threading
from keycensus_collector.memory import use_few_arenas
if sys.argv[1] == "few":
    use_few_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes = (ctypes.c_int, ctypes.c_void_p)
libc.fclose.argtypes = (ctypes.c_void_p,)
barrier = threading.Barrier(8)
def take():
    barrier.wait()
    libc.malloc(4096)
    barrier.wait()
threads = [threading.Thread(target=take) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
print(open(sys.argv[2]).read().count("<heap nr="))
"""


@pytest.mark.parametrize(("how", "most"), [("few", 2), ("many", 64)])
def test_threads_share_two_arenas(tmp_path: Path, how: str, most: int) -> None:
    line = [sys.executable, "-c", ARENAS, how, str(tmp_path / "arenas")]
    result = subprocess.run(line, capture_output=True, text=True, check=True)
    arenas = int(result.stdout)
    assert arenas <= most
    assert how == "few" or arenas > 2
