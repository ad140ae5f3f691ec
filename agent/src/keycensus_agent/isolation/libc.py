"""The C library by ctypes: the few calls that Python has no name for.

Used by every process of the agent while it still starts; nothing here keeps state.
"""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)


def prctl(option: int, *arguments: int) -> int:
    """Set or ask something of this process; OSError if it fails."""
    padded = [ctypes.c_ulong(each) for each in (*arguments, 0, 0, 0, 0)[:4]]
    return checked(_LIBC.prctl(ctypes.c_int(option), *padded))


def capset(header: ctypes.Array[ctypes.c_uint32], sets: ctypes.Array[ctypes.c_uint32]) -> None:
    """Set this thread's capabilities; OSError if it fails."""
    checked(_LIBC.capset(header, sets))


def capget(header: ctypes.Array[ctypes.c_uint32], sets: ctypes.Array[ctypes.c_uint32]) -> None:
    """Ask for this thread's capabilities; OSError if it fails."""
    checked(_LIBC.capget(header, sets))


def system_call(number: int, *arguments: object) -> int:
    """Make a system call that the C library has no function for; OSError if it fails."""
    # Whole registers: an int would leave the upper half of one to chance.
    words = [ctypes.c_ulong(each) if isinstance(each, int) else each for each in arguments]
    return checked(_LIBC.syscall(ctypes.c_long(number), *words))


def checked(result: int) -> int:
    """Return `result`, or raise the OSError that errno names."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
