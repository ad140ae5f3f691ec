"""Stay behind everybody else at the disk (ioprio_set(2)).

The C library has no function for it. Children inherit the priority.
"""

from __future__ import annotations

import os

from keycensus_agent.isolation import libc

_NUMBERS = {"x86_64": (251, 252), "aarch64": (30, 31)}
_WHO_PROCESS = 1
# linux/ioprio.h: class in the upper bits. Idle: served when nobody else has asked for a while.
_CLASS_SHIFT = 13
_IDLE = 3


def be_idle_at_the_disk() -> bool:
    """Set the idle class for this process; whether the kernel took it.

    Not where it may not be changed (under systemd the unit has set it already, and refuses the call).
    """
    numbers = _NUMBERS.get(os.uname().machine)
    if numbers is None:
        return False
    try:
        libc.system_call(numbers[0], _WHO_PROCESS, 0, _IDLE << _CLASS_SHIFT)
    except OSError:
        return is_idle_at_the_disk()
    return True


def is_idle_at_the_disk(pid: int = 0) -> bool:
    """Whether a process, or this one, has the idle class."""
    numbers = _NUMBERS.get(os.uname().machine)
    if numbers is None:
        return False
    try:
        return libc.system_call(numbers[1], _WHO_PROCESS, pid) >> _CLASS_SHIFT == _IDLE
    except OSError:
        return False
