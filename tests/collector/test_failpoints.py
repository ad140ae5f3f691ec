from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

CODE = """
from keycensus_collector.failpoints import reach
for turn in range(3):
    reach("before"); print("between", turn, flush=True); reach("after")
"""


def run(failpoint: str) -> tuple[int, int]:
    """Return the exit status and how many turns were made."""
    result = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "KEYCENSUS_FAILPOINT": failpoint},
        capture_output=True,
        text=True,
        check=False,
    )
    return result.returncode, result.stdout.count("between")


@pytest.mark.parametrize(
    ("failpoint", "turns"), [("before", 0), ("after", 1), ("before:2", 1), ("after:3", 3)]
)
def test_the_process_dies_at_the_point_and_turn_that_was_named(failpoint: str, turns: int) -> None:
    assert run(failpoint) == (-signal.SIGKILL, turns)


@pytest.mark.parametrize("failpoint", ["", "elsewhere", "after:4"])
def test_nothing_happens_otherwise(failpoint: str) -> None:
    assert run(failpoint) == (0, 3)
