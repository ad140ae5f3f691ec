"""The preloaded library reaches the real interpreter, its SQLite, and what these start."""

from __future__ import annotations

import errno
import subprocess
import sys
import time
from pathlib import Path

from faults.kit.preload import SYNC, WRITE, Preload

_COMMITS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in [
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "CREATE TABLE IF NOT EXISTS t (x)",
    *["INSERT INTO t VALUES (1)"] * 5,
]:
    try:
        connection.execute(statement)
    except sqlite3.Error as error:
        print(error.sqlite_errorname)
    else:
        if statement.startswith("INSERT"):
            print("committed")
"""


def python(preload: Preload, code: str, *arguments: str, interpreter: str = sys.executable) -> str:
    done = subprocess.run(
        [interpreter, "-c", code, *arguments],
        env=preload.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_an_fsync_fails_at_the_moment_it_is_told_to_and_sqlite_says_so(
    tmp_path: Path, preload: Preload
) -> None:
    database = tmp_path / "state.db"
    assert python(preload, _COMMITS, str(database)).split() == ["committed"] * 5
    preload.fail(SYNC, errno.EIO, below=database, after=2, times=1)
    said = python(preload, _COMMITS, str(database)).split()
    assert said.count("SQLITE_IOERR_FSYNC") == 1
    assert said.count("committed") == 4
    assert preload.failed == 1
    assert preload.seen > 3


def test_a_write_fails_as_on_a_full_disk_only_below_the_prefix(
    tmp_path: Path, preload: Preload
) -> None:
    full, other = tmp_path / "full.db", tmp_path / "other.db"
    for database in (full, other):
        python(preload, _COMMITS, str(database))
    preload.fail(WRITE, errno.ENOSPC, below=tmp_path / "full.db-wal")
    assert set(python(preload, _COMMITS, str(full)).split()) == {"SQLITE_FULL"}
    assert python(preload, _COMMITS, str(other)).split() == ["committed"] * 5
    preload.heal()
    assert python(preload, _COMMITS, str(full)).split() == ["committed"] * 5


def test_the_wall_clock_moves_and_steady_clocks_do_not(preload: Preload) -> None:
    code = "import time; print(time.time(), time.time_ns() / 1e9, time.monotonic())"
    preload.shift_clock(-86400)
    wall, precise, steady = map(float, python(preload, code).split())
    assert abs(wall - (time.time() - 86400)) < 60
    assert abs(precise - wall) < 1
    assert abs(steady - time.monotonic()) < 60


def test_children_with_an_environment_of_their_own_have_it_by_the_interpreter(
    preload: Preload,
) -> None:
    preload.shift_clock(86400)
    code = (
        "import subprocess, sys, time, structlog; subprocess.run([sys.executable, '-I', '-c',"
        " 'import time, structlog; print(time.time())'], env={})"
    )
    said = python(preload, code, interpreter=str(preload.interpreter()))
    assert abs(float(said) - (time.time() + 86400)) < 60
