"""A limit of memory over a program and all that it starts, and the OOM killer behind it.

    with MemoryGroup.make(64 * MIB) as group:
        process = subprocess.Popen([*group.prefix, *command])
        group.watch(process.pid)

A control group of the kernel (version 1 or 2) where this machine lets us make one. Else a thread does the
same from outside: it ends the largest process when all together have more than the limit.
"""

from __future__ import annotations

import os
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from faults.kit.oracle import family

_GROUPS = Path("/sys/fs/cgroup")
_PAGE = os.sysconf("SC_PAGE_SIZE")
# Puts itself into the group, then becomes the program.
_ENTER = 'echo $$ > "$0" && exec "$@"'


class MemoryGroup(ABC):
    """The limit; `kills` counts who was ended by it."""

    prefix: tuple[str, ...] = ()

    @abstractmethod
    def set_limit(self, limit_bytes: int) -> None:
        """Change the limit while the program runs."""

    @abstractmethod
    def watch(self, pid: int) -> None:
        """Say which process the program is."""

    @property
    @abstractmethod
    def kills(self) -> int:
        """How many processes were ended."""

    @staticmethod
    @contextmanager
    def make(limit_bytes: int) -> Iterator[MemoryGroup]:
        """Give a group with that limit; whatever is left in it is ended."""
        group: _KernelGroup | _Warden = _KernelGroup.made() or _Warden()
        try:
            group.set_limit(limit_bytes)
            yield group
        finally:
            group.close()


class _KernelGroup(MemoryGroup):
    def __init__(self, directory: Path, limit: str, events: str) -> None:
        self._directory = directory
        self._limit = limit
        self._events = events
        self.prefix = ("/bin/sh", "-c", _ENTER, str(directory / "cgroup.procs"))

    @classmethod
    def made(cls) -> _KernelGroup | None:
        """Return a new group; None if this machine lets us make none that limits memory."""
        for root, limit, events in (
            (_GROUPS / "memory", "memory.limit_in_bytes", "memory.oom_control"),
            (_GROUPS, "memory.max", "memory.events"),
        ):
            directory = root / f"keycensus-test-{os.getpid()}"
            try:
                directory.mkdir()
            except OSError:
                continue
            if (directory / limit).exists():
                # What goes to swap would not be missing. Not every kernel has one or the other.
                for name in ("memory.swappiness", "memory.swap.max"):
                    with suppress(OSError):
                        (directory / name).write_text("0")
                return cls(directory, limit, events)
            directory.rmdir()
        return None

    def set_limit(self, limit_bytes: int) -> None:
        (self._directory / self._limit).write_text(str(limit_bytes))

    def watch(self, pid: int) -> None:
        """Do nothing: the kernel knows."""

    @property
    def kills(self) -> int:
        words = (self._directory / self._events).read_text().split()
        return int(words[words.index("oom_kill") + 1])

    def close(self) -> None:
        for pid in (self._directory / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        for _ in range(100):
            with suppress(OSError):
                self._directory.rmdir()
                return
            threading.Event().wait(0.05)


class _Warden(MemoryGroup):
    def __init__(self) -> None:
        self._bytes = 0
        self._kills = 0
        self._pid = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._guard)
        self._thread.start()

    def set_limit(self, limit_bytes: int) -> None:
        self._bytes = limit_bytes

    def watch(self, pid: int) -> None:
        self._pid = pid

    @property
    def kills(self) -> int:
        return self._kills

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _guard(self) -> None:
        while not self._ended.wait(0.01):
            members = {pid: _own_bytes(pid) for pid in family(self._pid)} if self._pid else {}
            if sum(members.values()) > self._bytes:
                with suppress(ProcessLookupError):
                    os.kill(max(members, key=lambda pid: members[pid]), signal.SIGKILL)
                    self._kills += 1


def _own_bytes(pid: int) -> int:
    with suppress(OSError, ValueError):
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
        return (resident - shared) * _PAGE
    return 0
