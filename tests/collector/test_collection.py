from __future__ import annotations

import subprocess
import sys

_CHILD = """
import gc
from keycensus_collector.collection import collect_seldom
before = gc.get_threshold()
collect_seldom()
print(gc.get_freeze_count() > 1000, gc.get_threshold()[0] > 10 * before[0], gc.get_threshold()[1:] == before[1:])
"""


def test_what_is_imported_is_left_out_of_collections_and_these_are_seldom() -> None:
    # In a process of its own: what is frozen stays so.
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["True", "True", "True"]
