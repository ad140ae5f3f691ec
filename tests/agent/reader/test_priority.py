"""The daemon and its children stay behind everybody else at the disk."""

from __future__ import annotations

import subprocess
import sys

from keycensus_agent.reader.priority import is_idle_at_the_disk

PROGRAM = """
import subprocess, sys
from keycensus_agent.reader.priority import be_idle_at_the_disk
assert be_idle_at_the_disk()
child = "from keycensus_agent.reader.priority import is_idle_at_the_disk as idle; print(idle())"
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True).stdout)
"""


def test_a_process_becomes_idle_at_the_disk_with_its_children_and_nobody_else() -> None:
    before = is_idle_at_the_disk()  # as some test before may have left this process
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["True"]
    assert is_idle_at_the_disk() == before
