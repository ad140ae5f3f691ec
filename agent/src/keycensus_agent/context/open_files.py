"""Which processes have files open or mapped: by names in /proc, nothing is opened.

Runs in the reader, only where that is switched on and the reader was given CAP_SYS_PTRACE, without which
other users' processes don't show theirs (proc(5), ptrace(2): PTRACE_MODE_READ). Of a process its name, user
and unit are told, never its arguments. Processes in other mount namespaces know files by other names.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from keycensus_agent.context.control_groups import name_of

_PROCESSES = 32_768
_DESCRIPTORS = 4_096
_MAPPINGS = 65_536
_DELETED = b" (deleted)"
_MAP_FIELDS = 5
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Holder:
    """One process that has files open: its name, user, unit (or ""), and their paths."""

    name: str
    uid: int
    unit: str
    paths: frozenset[bytes]


def holders(wanted: Collection[bytes], proc: Path = _PROC) -> Iterator[Holder]:
    """Yield processes of this mount namespace that have one of the wanted paths open or mapped."""
    home = _link(proc / "self/ns/mnt")
    processes = (directory for directory in proc.iterdir() if directory.name.isdigit())
    for directory in islice(processes, _PROCESSES):
        if int(directory.name) == os.getpid() or _link(directory / "ns/mnt") != home:
            continue
        try:
            found = {*_open(directory), *_mapped(directory)}.intersection(wanted)
            if found:
                yield _holder(directory, frozenset(found))
        except OSError:
            continue  # ended meanwhile, or not ours to see


def _open(directory: Path) -> Iterator[bytes]:
    for descriptor in islice((directory / "fd").iterdir(), _DESCRIPTORS):
        path = _link(descriptor)
        if path.startswith(b"/"):
            yield path.removesuffix(_DELETED)


def _mapped(directory: Path) -> Iterator[bytes]:
    with (directory / "maps").open("rb") as maps:
        for line in islice(maps, _MAPPINGS):
            fields = line.rstrip(b"\n").split(None, _MAP_FIELDS)
            if len(fields) > _MAP_FIELDS and fields[_MAP_FIELDS].startswith(b"/"):
                yield fields[_MAP_FIELDS].removesuffix(_DELETED)


def _holder(directory: Path, paths: frozenset[bytes]) -> Holder:
    name = (directory / "comm").read_bytes().strip().decode("utf-8", "replace")
    groups = (directory / "cgroup").read_bytes().splitlines()
    own = next((line[3:] for line in groups if line.startswith(b"0::")), b"")
    return Holder(name, directory.stat().st_uid, name_of(own), paths)


def _link(path: Path) -> bytes:
    try:
        return os.fsencode(path.readlink())
    except OSError:
        return b""
