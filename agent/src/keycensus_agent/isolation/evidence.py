"""What the kernel says that a process is held by, as data for `status`.

Read by the reader from /proc/PID/status (proc(5)) while the process runs; what was meant to be
enforced has no part in it. Landlock alone can't be seen from outside: its version is the process's own
word, given before it has met the first stranger's byte.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

_STATUS_LIMIT = 64 * 1024
_MODE_FILTER = "2"

Enforced = dict[str, object]


def enforced(pid: int | str = "self", *, landlock: int = 0) -> Enforced | None:
    """Return what holds a running process, None if it can't be seen (gone, or hidden from us).

    `user` and `group` are numbers, `groups` the supplementary ones; `capabilities` the permitted
    set and `bounding` the most that a program it starts could have, in hexadecimal; `seccomp` and
    `no_new_privs` tell whether they are on; `landlock` is its version, 0 for none.
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
        "capabilities": fields["CapPrm"].strip().lstrip("0") or "0",
        "bounding": fields["CapBnd"].strip().lstrip("0") or "0",
        # A kernel without these says nothing of them.
        "seccomp": fields.get("Seccomp", "0").strip() == _MODE_FILTER,
        "no_new_privs": fields.get("NoNewPrivs", "0").strip() == "1",
        "landlock": landlock,
    }
