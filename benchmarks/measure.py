"""Measure whole process trees: wall time, CPU, blocks read, peak of proportional memory (PSS).

A command's cost is that of all processes it starts. They are found by making this process a child
subreaper (prctl(2)): what a command leaves behind becomes our child, is waited for, and counts.
"""

from __future__ import annotations

import ctypes
import os
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_PR_SET_CHILD_SUBREAPER = 36
# Between two samples of memory; a sample walks the page tables, so memory is not measured in a run
# whose time counts.
_SAMPLE_SECONDS = 0.02
# How long something may take before a measurement is given up.
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a command took. Seconds; `blocks` is what had to come from the disk."""

    wall: float
    cpu: float
    blocks: int


class CommandFailedError(Exception):
    """A measured command ended with a status that was not expected; the text holds its output."""


class NotReadyError(Exception):
    """This machine lacks what a measurement stands on; the text says what, and how to get it."""


def wait_until(
    holds: Callable[[], bool],
    what: str,
    *,
    seconds: float = PATIENCE_SECONDS,
    pause: float = 0.01,
    told: Callable[[], str] = str,
) -> float:
    """Wait until something holds; return how many seconds that took.

    CommandFailedError after `seconds`, with what `told` then has to say of it.
    """
    started = time.monotonic()
    while not holds():
        if time.monotonic() - started > seconds:
            raise CommandFailedError(f"{what} did not come in {seconds:g} s: {told()}")
        time.sleep(pause)
    return time.monotonic() - started


def become_subreaper() -> None:
    """Make orphans of measured commands children of this process."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def cost_of(command: Sequence[str], *, statuses: Sequence[int] = (0,)) -> Cost:
    """Run `command` to its end, its output thrown away, and return what all its processes took."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        errors = process.stderr.read() if process.stderr else b""
        status = process.wait()
    wall = time.monotonic() - begun
    _reap_orphans()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if status not in statuses:
        text = errors.decode(errors="replace")[-2000:]
        raise CommandFailedError(f"{' '.join(command)} ended with {status}: {text}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu, after.ru_inblock - before.ru_inblock)


def alternate(
    ours: Sequence[str],
    reference: Sequence[str],
    rounds: int,
    *,
    statuses: Sequence[int] = (0,),
    reference_statuses: Sequence[int] = (0,),
) -> tuple[list[Cost], list[Cost]]:
    """Run both commands in turn, after one run of each that does not count.

    `statuses` are those with which ours may end, `reference_statuses` those of the other.
    """
    pairs = [
        (cost_of(ours, statuses=statuses), cost_of(reference, statuses=reference_statuses))
        for _ in range(rounds + 1)
    ][1:]
    return [a for a, _ in pairs], [b for _, b in pairs]


def median_wall(costs: Sequence[Cost]) -> float:
    """Return the median wall time in seconds."""
    return statistics.median(cost.wall for cost in costs)


def median_cpu(costs: Sequence[Cost]) -> float:
    """Return the median CPU time in seconds."""
    return statistics.median(cost.cpu for cost in costs)


def peak_memory(command: Sequence[str], *, statuses: Sequence[int] = (0,)) -> int:
    """Run `command` and return the highest sum of PSS over its processes, in bytes, as sampled."""
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, sum(_pss(pid) for pid in _tree(process.pid)))
            time.sleep(_SAMPLE_SECONDS)
    _reap_orphans()
    if process.returncode not in statuses:
        raise CommandFailedError(f"{' '.join(command)} ended with {process.returncode}")
    return peak


@dataclass(frozen=True, slots=True)
class Standing:
    """What a process and all below it take now: PSS in bytes, CPU seconds since its start, threads.

    `cpu` holds that of children which ended and were waited for.
    """

    memory: int
    cpu: float
    threads: int
    processes: int

    @classmethod
    def of(cls, root: int) -> Self:
        """Look at `root` and what descends from it (proc(5), stat and smaps_rollup)."""
        pids = _tree(root)
        found = [stat for pid in pids if (stat := _stat(pid)) is not None]
        ticks = os.sysconf("SC_CLK_TCK")
        return cls(
            memory=sum(_pss(pid) for pid in pids),
            # utime, stime, cutime, cstime; numbers count from the state, which is field 3.
            cpu=sum(sum(map(int, stat[11:15])) for stat in found) / ticks,
            threads=sum(int(stat[17]) for stat in found),
            processes=len(found),
        )


def _stat(pid: int) -> list[bytes] | None:
    """Return the fields of /proc/PID/stat from the state on, None once it is gone."""
    try:
        # The name in parentheses may hold anything; the state follows its last bracket.
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None


def _tree(root: int) -> list[int]:
    """Return `root` and every process below it that is alive now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (stat := _stat(int(entry.name))):
            children.setdefault(int(stat[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, ()))
    return found


def _pss(pid: int) -> int:
    """Return the proportional set size of one process in bytes; 0 once it is gone."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith(b"Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _reap_orphans() -> None:
    """Wait for what the command left behind, at most ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            time.sleep(0.01)
