"""Points at which a crash test can kill this process for real.

The environment variable `KEYCENSUS_FAILPOINT` names one point, `NAME` or `NAME:N`: the process kills
itself with SIGKILL when it reaches that point for the N-th time (first if not said). Without the
variable nothing happens. Whoever can set a service's environment can stop it anyway, so this gives
nobody anything; it is read once, when the process starts.
"""

from __future__ import annotations

import os
import signal
import threading

ENVIRONMENT = "KEYCENSUS_FAILPOINT"


class Failpoint:
    """One armed point: counts how often it is reached and kills at the right moment."""

    def __init__(self, specification: str) -> None:
        name, _, nth = specification.partition(":")
        self._name = name
        self._left = int(nth) if nth.isdigit() else 1
        self._lock = threading.Lock()

    def reach(self, name: str) -> None:
        """Kill this process if `name` is the armed point and its turn has come."""
        if name != self._name:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


_ARMED = Failpoint(os.environ[ENVIRONMENT]) if os.environ.get(ENVIRONMENT) else None


def reach(name: str) -> None:
    """Say that execution is at the point `name`; returns, unless a crash test armed it."""
    if _ARMED is not None:
        _ARMED.reach(name)
