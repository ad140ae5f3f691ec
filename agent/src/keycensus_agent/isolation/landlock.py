"""Landlock, where the kernel has it: file system and network taken away on top of the filter.

By ctypes, with the rights of whatever version the kernel speaks (1 to 7 and later); a kernel without
it, or one that was started without it, is reported as 0 and nothing else changes. It binds the
calling thread and what that starts later, so it is entered while there is one thread. Source: landlock(7),
linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from keycensus_agent.isolation import libc

# The same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1

WRITE_FILE, READ_FILE, READ_DIRECTORY = 1 << 1, 1 << 2, 1 << 3
READ = READ_FILE | READ_DIRECTORY
# Write, remove directory and file, make directory and regular file, truncate.
WRITE = WRITE_FILE | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 14
# What may be granted on a path that is no directory: execute, write, read, truncate, ioctl.
_OF_FILES = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 14 | 1 << 15
# Rights to the file system by the version that brought them, all bits up to and including this.
_FILE_SYSTEM_BITS = ((1, 13), (2, 14), (3, 15), (5, 16))
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6
# TCP bind and connect; abstract sockets and signals beyond this process.
_NETWORK, _SCOPES = 0b11, 0b11


@dataclass(frozen=True, slots=True)
class Grant:
    """A path, and the rights to it and below."""

    path: str
    rights: int


def version() -> int:
    """Return the version of the kernel's Landlock, 0 if it has none."""
    try:
        return libc.system_call(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict(grants: Iterable[Grant] = (), *, network: bool) -> int:
    """Leave this process `grants` of the file system and nothing else; return the version, or 0.

    `network` true leaves TCP as it is; false takes it (version 4). Paths that do not exist are left
    out. `no_new_privs` must be set. What open descriptors lead to stays usable.
    """
    found = version()
    if found == 0:
        return 0
    handled = _handled(found)
    attributes = struct.pack(
        "=QQQ",
        handled,
        _NETWORK if not network and found >= _NETWORK_SINCE else 0,
        _SCOPES if found >= _SCOPES_SINCE else 0,
    )
    size = 24 if found >= _SCOPES_SINCE else 16 if found >= _NETWORK_SINCE else 8
    try:
        ruleset = libc.system_call(_CREATE_RULESET, ctypes.c_char_p(attributes), size, 0)
    except OSError:
        return 0
    try:
        for grant in grants:
            _allow(ruleset, grant, handled)
        libc.system_call(_RESTRICT_SELF, ruleset, 0)
    except OSError:
        return 0
    finally:
        os.close(ruleset)
    return found


def _handled(found: int) -> int:
    bits = max(count for since, count in _FILE_SYSTEM_BITS if found >= since)
    return (1 << bits) - 1


def _allow(ruleset: int, grant: Grant, handled: int) -> None:
    try:
        descriptor = os.open(grant.path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        rights = grant.rights & handled
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        libc.system_call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(descriptor)
