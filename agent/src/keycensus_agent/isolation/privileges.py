"""Users and capabilities: become somebody else, keep at most one capability, never gain any again.

Used by every process of the agent while it starts, with one thread: capabilities are a thread's.
What can't be given up (a container may lack the right to change users) stays, and `evidence` shows
it. Source: capabilities(7), prctl(2), linux/capability.h.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from keycensus_agent.isolation import libc
from keycensus_agent.isolation.users import User

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_KILL = 1, 2, 5
CAP_SETGID, CAP_SETUID, CAP_SETPCAP, CAP_SYS_PTRACE = 6, 7, 8, 19

_VERSION_3 = 0x20080522
_SET_DUMPABLE, _SET_KEEPCAPS, _CAPBSET_DROP, _SET_NO_NEW_PRIVS = 4, 8, 24, 38
_CAP_AMBIENT = 47
_AMBIENT_IS_SET, _AMBIENT_RAISE, _AMBIENT_LOWER, _AMBIENT_CLEAR = 1, 2, 3, 4
_CAPABILITIES = 64
# What lets a process read every file, the lesser one first.
_READING = (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE)


def permitted() -> int:
    """Return the capabilities that this process may use, as a bit mask."""
    sets = (ctypes.c_uint32 * 6)()
    libc.capget((ctypes.c_uint32 * 2)(_VERSION_3, 0), sets)
    return sets[1] | sets[4] << 32


def become(user: User | None, *, keep: int = 0, hand_down: bool = False) -> None:
    """Change to `user` if this is root (None: stay), with the capabilities `keep` and no other.

    `keep` is a bit mask; what of it this process does not have is not gained. With `hand_down`,
    programs that this one starts have them too, outside of `spawning`.
    """
    keep &= permitted()
    _bound(keep)
    if user is not None and os.geteuid() == 0:
        with suppress(OSError):
            _switch(user)
    with suppress(OSError):
        libc.prctl(_CAP_AMBIENT, _AMBIENT_CLEAR)
    with suppress(OSError):
        _set(keep)
    if hand_down:
        for capability in _READING:
            if keep >> capability & 1:
                _ambient(_AMBIENT_RAISE, capability)


def to_read() -> int:
    """Return what of this process's capabilities lets it read every file, the least of them.

    Containers are often given CAP_DAC_OVERRIDE and not the lesser CAP_DAC_READ_SEARCH.
    """
    have = permitted()
    return next((1 << each for each in _READING if have >> each & 1), 0)


def stays_root() -> bool:
    """Whether processes that root starts stay root's: it lacks the right to read everything.

    As in some containers. Root can then still read what is root's, which another user could not, and
    can't come to files that it gave away.
    """
    return not to_read()


def _switch(user: User) -> None:
    """Change user and group for good, keeping what capabilities are permitted."""
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    libc.prctl(_SET_KEEPCAPS, 1)
    try:
        os.setresuid(user.uid, user.uid, user.uid)
    finally:
        libc.prctl(_SET_KEEPCAPS, 0)


def _bound(keep: int) -> None:
    """Let no program that is started from here ever have more than `keep`."""
    for capability in range(_CAPABILITIES):
        if not keep >> capability & 1:
            try:
                libc.prctl(_CAPBSET_DROP, capability)
            except OSError:
                # Not privileged, or beyond the last capability of this kernel: nor are the others.
                return


def _set(keep: int) -> None:
    """Make `keep` the effective, permitted and inheritable set."""
    low, high = keep & 0xFFFFFFFF, keep >> 32
    sets = (ctypes.c_uint32 * 6)(low, low, low, high, high, high)
    libc.capset((ctypes.c_uint32 * 2)(_VERSION_3, 0), sets)


def seal() -> None:
    """Gain nothing by exec from now on; leave no core file, and let no one of this user trace."""
    with suppress(OSError):
        libc.prctl(_SET_NO_NEW_PRIVS, 1)
    with suppress(OSError):
        libc.prctl(_SET_DUMPABLE, 0)


@contextmanager
def spawning(*files: str) -> Iterator[None]:
    """Start a program in the block to which the capability to read is not handed down.

    `files` are its own. Where one is not open to everybody (an environment below /root), the program
    can only start with the capability, and gives it up itself as its first act.
    """
    given = [each for each in _READING if _ambient(_AMBIENT_IS_SET, each)]
    # access(2) asks as a user without capabilities.
    if not all(os.access(file, os.R_OK) for file in files):
        given = []
    for each in given:
        _ambient(_AMBIENT_LOWER, each)
    try:
        yield
    finally:
        for each in given:
            _ambient(_AMBIENT_RAISE, each)


def _ambient(operation: int, capability: int) -> int:
    try:
        return libc.prctl(_CAP_AMBIENT, operation, capability)
    except OSError:
        # Not ours to give, or the kernel is older than the ambient set (4.3).
        return 0


def mask(*capabilities: int) -> int:
    """Return a bit mask of capabilities."""
    return sum(1 << each for each in capabilities)
