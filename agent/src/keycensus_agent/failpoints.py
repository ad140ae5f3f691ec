"""Die on purpose at a named step, so that tests can prove what a crash there leaves behind.

`KEYCENSUS_AGENT_FAILPOINT=name` or `name:3` (the third time) makes the process kill itself with
SIGKILL when it reaches that step. Unset, as always outside tests, a step costs one comparison.
"""

from __future__ import annotations

import os
import signal

VARIABLE = "KEYCENSUS_AGENT_FAILPOINT"

_name, _, _count = os.environ.get(VARIABLE, "").partition(":")
_left = int(_count) if _count.isdecimal() else 1


def reach(name: str) -> None:
    """Note that the step `name` is reached; does not return if it is the one to die at."""
    global _left  # noqa: PLW0603 - the countdown is this process's own
    if name != _name:
        return
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
