"""Which unit or container a socket's control group is. Runs in the reader.

The kernel names a socket's control group by number, which is the inode of its directory in the
hierarchy of version 2 (cgroups(7); kernel documentation, cgroup-v2).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))
_CONTROLLERS = "cgroup.controllers"
# A host with more control groups runs thousands of containers; those beyond have no name here.
_GROUPS = 20_000
_DEPTH = 12
_HEX_ID = re.compile(r"(?:^|[-:])([0-9a-f]{64})(?:\.scope)?\Z")
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


def read_groups(wanted: Iterable[int], roots: Iterable[Path] = _ROOTS) -> dict[int, bytes]:
    """Return the paths of control groups by their numbers, as far as they are found."""
    missing = set(wanted) - {0}
    found: dict[int, bytes] = {}
    for root in roots:
        # Version 1 numbers each of its hierarchies; a socket's number is version 2's.
        if not missing or not (root / _CONTROLLERS).exists():
            continue
        waiting: list[tuple[str, int, int]] = [(str(root), root.stat().st_ino, 0)]
        for _ in range(_GROUPS):
            if not waiting or not missing:
                break
            path, inode, depth = waiting.pop()
            if inode in missing:
                missing.discard(inode)
                found[inode] = os.fsencode(path[len(str(root)) :]) or b"/"
            if depth < _DEPTH:
                waiting += [(*each, depth + 1) for each in _below(path)]
    return found


def _below(path: str) -> list[tuple[str, int]]:
    try:
        with os.scandir(path) as entries:
            return [
                (entry.path, entry.inode())
                for entry in entries
                if entry.is_dir(follow_symlinks=False)
            ]
    except OSError:
        return []  # ended meanwhile


def name_of(group: bytes) -> str:
    """Return the unit ("nginx.service") or container ("container 0123456789ab") of a path; or "".

    The container's id is in the last part as runtimes write it (docker-, cri-containerd-, libpod-);
    of nested units the innermost service counts.
    """
    parts = [_unescaped(part) for part in os.fsdecode(group).split("/") if part]
    for part in reversed(parts):
        if found := _HEX_ID.search(part):
            return f"container {found[1][:12]}"
    for ending in (".service", ".scope"):
        for part in reversed(parts):
            if part.endswith(ending):
                return part.encode("utf-8", "replace").decode()[:200]
    return ""


def _unescaped(part: str) -> str:
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), part)
