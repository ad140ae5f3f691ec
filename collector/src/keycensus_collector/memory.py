"""Whether the collector is short of memory, so that it sheds load before the kernel ends it.

What it may use is the least of what its control groups, the machine and the configuration say. What
it uses is its own memory that is not backed by files: the page cache, which the groups count too, is
given back by the kernel. Sources: proc_pid_statm(5), cgroups(7), the kernel's cgroup-v2.rst
(`memory.max`) and cgroup-v1/memory.rst (`memory.limit_in_bytes`), mallopt(3).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

# The rest is for what is under way, for the parser's child and for what comes between two looks.
_SHORT = 0.8
_LOOK_SECONDS = 1.0
_M_ARENA_MAX = -8
_ARENAS = 2
# What version 1 says where there is no limit is close to the largest number.
_NO_LIMIT = 1 << 60

_log = structlog.get_logger()


def use_few_arenas() -> None:
    """Let all threads share two of the allocator's arenas; call it before there are any.

    glibc gives each thread one of its own, eight for a processor. gRPC's threads come and go, and what each of their
    arenas once held stays resident: 5 MiB after some ten thousand connections, and growing (measured). Other
    libraries of C have no such arenas.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    mallopt(_M_ARENA_MAX, _ARENAS)


def limit_bytes(
    proc: Path = Path("/proc/self"), groups: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Return how much memory this process may use; None if neither machine nor groups say."""
    limits = [*_group_limits(proc / "cgroup", groups), *_machine()]
    return min(limits, default=None)


def used_bytes(proc: Path = Path("/proc/self")) -> int:
    """Return how much memory of its own this process uses; 0 if the kernel does not say."""
    try:
        _, resident, shared, *_ = map(int, (proc / "statm").read_text().split())
    except (OSError, ValueError):
        return 0
    return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def _machine() -> Iterator[int]:
    pages = os.sysconf("SC_PHYS_PAGES")
    if pages > 0:
        yield pages * os.sysconf("SC_PAGE_SIZE")


def _group_limits(membership: Path, groups: Path) -> Iterator[int]:
    """Yield the limits of the groups that the process is in, and of those around them."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "memory" not in controllers.split(","):
            continue
        root, name = (
            (groups / "memory", "memory.limit_in_bytes") if controllers else (groups, "memory.max")
        )
        group = root / path.lstrip("/")
        for directory in (group, *group.parents):
            if directory.is_relative_to(root):
                yield from _limit_in(directory / name)


def _limit_in(file: Path) -> Iterator[int]:
    try:
        limit = int(file.read_text())
    except (OSError, ValueError):
        return  # no such group here, or "max"
    if limit < _NO_LIMIT:
        yield limit


class Memory:
    """What intake asks before it takes another stream. `configured_bytes` 0 is no limit of its own.

    Looks at most once a second, since a look opens a few files; `used` and `limit` are what it looks at.
    """

    def __init__(
        self,
        configured_bytes: int = 0,
        *,
        used: Callable[[], int] = used_bytes,
        limit: Callable[[], int | None] = limit_bytes,
    ) -> None:
        self._configured = configured_bytes
        self._used = used
        self._limit = limit
        self._looked_at: float | None = None
        self._short = False

    def is_short(self, now: float) -> bool:
        """Whether another stream would be too much; `now` is by a steady clock."""
        if self._looked_at is None or now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._look()
        return self._short

    def _look(self) -> None:
        given = self._limit()
        limits = [limit for limit in (given, self._configured) if limit]
        used = self._used()
        short = bool(limits) and used > _SHORT * min(limits)
        if short != self._short:
            _log.warning(
                "memory.short" if short else "memory.enough",
                bytes=used,
                limit=min(limits, default=0),
            )
        self._short = short
