"""What the kernel says that a process is held by, as data for `status`.

Read by the reader from /proc/PID/status (proc(5)) while the process runs; what was meant to be
enforced has no part in it. Landlock alone can't be seen from outside: its version is the process's own
word, given before it has met the first stranger's byte.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import TypedDict

_STATUS_LIMIT = 64 * 1024
_MODE_FILTER = "2"

# Names of those that a process of ours may have; others are shown by number.
_CAPABILITY_NAMES = {1: "dac_override", 2: "dac_read_search", 19: "sys_ptrace"}
_CAPABILITIES = 64


class Enforced(TypedDict):
    """What holds one process.

    `user` and `group` are numbers, `root` whether any of its user ids is 0, `groups` the supplementary
    ones. `capabilities` is the permitted set by name. `landlock` is a version, 0 for none.
    """

    user: int
    root: bool
    group: int
    groups: list[int]
    capabilities: list[str]
    seccomp: bool
    no_new_privs: bool
    landlock: int


def enforced(pid: int | str = "self", *, landlock: int = 0) -> Enforced | None:
    """Return what holds a running process, None if it can't be seen (gone, or hidden from us).

    `landlock` is the process's own word.
    """
    try:
        descriptor = os.open(f"/proc/{pid}/status", os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(_STATUS_LIMIT).decode("ascii", "replace")
    except OSError:
        return None
    fields = dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    with contextlib.suppress(KeyError, ValueError, IndexError):
        return _understood(fields, landlock)
    return None


def _understood(fields: Mapping[str, str], landlock: int) -> Enforced:
    return {
        "user": max(map(int, fields["Uid"].split())),
        "root": "0" in fields["Uid"].split(),
        "group": int(fields["Gid"].split()[1]),
        "groups": [int(each) for each in fields.get("Groups", "").split()],
        "capabilities": _names(int(fields["CapPrm"], 16)),
        # A kernel without these says nothing of them.
        "seccomp": fields.get("Seccomp", "0").strip() == _MODE_FILTER,
        "no_new_privs": fields.get("NoNewPrivs", "0").strip() == "1",
        "landlock": landlock,
    }


def _names(mask: int) -> list[str]:
    held = [number for number in range(_CAPABILITIES) if mask >> number & 1]
    return [_CAPABILITY_NAMES.get(number, f"cap_{number}") for number in held]


def described(found: Enforced | None) -> str:
    """Return it as a line for people; what is not in force is said, too."""
    if found is None:
        return "not seen yet"
    user = f"user {found['user']}" if not found["root"] else "root"
    held = found["capabilities"]
    few = len(held) <= len(_CAPABILITY_NAMES)
    capabilities = (", ".join(held) if few else f"{len(held)} of them") or "none"
    version = found["landlock"]
    return (
        f"{user}; capabilities: {capabilities}; seccomp: {_yes(found['seccomp'])}; "
        f"no_new_privs: {_yes(found['no_new_privs'])}; "
        f"Landlock: {f'version {version}' if version else 'no'}"
    )


def _yes(true: object) -> str:
    return "yes" if true else "NO"


def facts_of(reader: Enforced | None) -> tuple[str, ...]:
    """Return what a host says of it to its collector: the reader's, which does not come and go."""
    if reader is None:
        return ()
    return (
        f"reader.network={'seccomp' if reader['seccomp'] else 'open'}",
        f"reader.user={'root' if reader['root'] else 'own'}",
        f"reader.capabilities={','.join(reader['capabilities']) or 'none'}",
    )
