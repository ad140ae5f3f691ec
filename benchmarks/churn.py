"""Does the inventory follow a disk that changes all the time? A collector, an agent, random changes.

    PYTHONPATH=tests python -m benchmarks.churn --operations 1000 --way plain

Ways: `plain`; `overflow`: the agent is stopped meanwhile and 20,000 more events made, so that the
kernel loses some; `limit`: the agent gets 50 watches, in a user namespace of its own, and sweeps tell
the rest; `rewrite`: one file a thousand times a second for a minute; `day`: a day's worth of changes in
minutes, with what grows.
The truth is os.walk; what is told is how long after the last change the collector agreed with it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import linear_regression, median
from subprocess import Popen
from typing import Any

import psutil
from fakes.certificates import Leaf
from fakes.churn import Churn, Truth
from fakes.collector import Collector
from fakes.inventory import places
from fakes.sample_agent import SampleAgent, kill_group

from benchmarks.measure import wait_until

LEAVES = 12
OVERFLOWING = 20_000
WATCHES = 50
# In a user namespace of its own, with a limit of its own; there it is root, and can't become others.
_LIMITED = (
    *("unshare", "--user", "--map-root-user", "sh", "-c"),
    f'echo {WATCHES} >/proc/sys/user/max_inotify_watches; exec "$@"',
    "limited",
)


@dataclass(slots=True)
class Bench:
    """A collector, an agent that runs, and a tree in a known place that is to be changed."""

    collector: Collector
    agent: SampleAgent
    process: Popen[bytes]
    churn: Churn
    started: float = field(default_factory=time.monotonic)

    def found(self) -> Mapping[str, Truth]:
        """Return what the collector has below the top."""
        top = "/" + str(self.churn.top.relative_to(self.agent.root)) + "/"
        return {
            path: Truth(place.artifacts, place.mode, place.target)
            for path, place in places(self.collector.database).items()
            if path.startswith(top)
        }

    def settle(self, seconds: float) -> float:
        """Wait until disk and collector agree; return how long that took."""
        begun = time.monotonic()
        truth = self.churn.truth()
        while (found := self.found()) != truth:
            if time.monotonic() - begun > seconds:
                differ = {
                    path: (truth.get(path), found.get(path))
                    for path in truth.keys() | found.keys()
                    if truth.get(path) != found.get(path)
                }
                raise AssertionError(f"after {seconds} s these differ: {differ}\n{self.log()}")
            if self.process.poll() is not None:
                raise AssertionError(self.log())
            time.sleep(0.05)
        return time.monotonic() - begun

    def status(self) -> dict[str, Any]:
        """Return what the agent last said of itself."""
        said: dict[str, Any] = json.loads((self.agent.state / "status.json").read_bytes())
        return said

    def log(self) -> str:
        """Return the end of the agent's log."""
        return (self.agent.directory / "agent.log").read_text()[-3000:]

    def processes(self) -> list[psutil.Process]:
        """Return the agent's processes."""
        reader = psutil.Process(self.process.pid)
        return [reader, *reader.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the processor time of the agent's processes and of those that ended."""
        total = 0.0
        for process in self.processes():
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        return total


@contextmanager
def running(
    directory: Path, *, seed: int, interval: int = 86_400, limited: bool = False
) -> Iterator[Bench]:
    """Start a collector and an agent whose timer sweeps come every `interval` seconds."""
    with Collector.make(directory / "collector") as collector:
        agent = SampleAgent(directory / "agent", "churn")
        text = agent.config_file.read_text()
        quick = "interval_seconds = 1\ncpu_share = 1.0"
        assert quick in text
        agent.config_file.write_text(
            text.replace(quick, f"interval_seconds = {interval}\ncpu_share = 1.0")
        )
        if limited:
            agent.interpreter = [*_LIMITED, *agent.interpreter]
        agent.enrol(collector)
        leaves = [Leaf(f"{number}.example") for number in range(LEAVES)]
        agent.write("srv/tree/first.pem", leaves[0].pem)
        process = agent.start("run")
        churn = Churn(agent.root, agent.root / "srv/tree", leaves, random.Random(seed))
        bench = Bench(collector, agent, process, churn)
        try:
            bench.settle(120)
            wait_until(
                lambda: bool(bench.status().get("last_sweep")), "the first sweep", told=bench.log
            )
            yield bench
        finally:
            kill_group(process)


def overflow(bench: Bench, operations: int) -> None:
    """Make the changes while the agent is stopped, with more events than the kernel keeps."""
    os.kill(bench.process.pid, signal.SIGSTOP)
    try:
        for _ in range(operations // 2):
            bench.churn.step()
        noise = bench.agent.write("srv/tree/noise.txt", b"")
        for number in range(OVERFLOWING):
            # Two names in turn, so that the kernel joins nothing.
            (noise, bench.churn.top)[number % 2].chmod((0o600, 0o700)[number % 2])
        for _ in range(operations // 2):
            bench.churn.step()
    finally:
        os.kill(bench.process.pid, signal.SIGCONT)


def rewrite(bench: Bench, seconds: float) -> tuple[int, float, float]:
    """Rewrite one file a thousand times a second; (times, CPU share, seconds until it was told)."""
    file = bench.churn.top / "first.pem"
    before, begun, times = bench.cpu_seconds(), time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        file.write_bytes(bench.churn.leaves[times % LEAVES].pem)
        times += 1
        time.sleep(max(0.0, begun + times / 1000 - time.monotonic()))
    share = (bench.cpu_seconds() - before) / (time.monotonic() - begun)
    return times, share, bench.settle(180)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What the reader holds at one moment: memory of its own, threads, descriptors."""

    seconds: float
    memory_bytes: int
    threads: int
    descriptors: int

    @classmethod
    def of(cls, bench: Bench) -> Footprint:
        """Look at the reader; a link or parser beside it comes and goes, and shares its pages."""
        reader = bench.processes()[0]
        with reader.oneshot():
            return cls(
                time.monotonic() - bench.started,
                reader.memory_full_info().uss,
                reader.num_threads(),
                reader.num_fds(),
            )


def day(bench: Bench, minutes: float, pace: float) -> list[Footprint]:
    """Change the tree `pace` times a second for so long, and look at what the agent holds."""
    looks: list[Footprint] = []
    begun = time.monotonic()
    while time.monotonic() - begun < minutes * 60:
        bench.churn.step()
        if bench.churn.operations % 20 == 0:
            try:
                looks.append(Footprint.of(bench))
            except psutil.NoSuchProcess:
                continue
        time.sleep(1 / pace)
    return looks


def slopes(looks: list[Footprint]) -> list[str]:
    """Return lines of a table: first and last third of the last three quarters, slope an hour."""
    kept = looks[len(looks) // 4 :]
    hours = [each.seconds / 3600 for each in kept]
    third = max(1, len(kept) // 3)
    lines = ["| what | first third | last third | slope an hour |", "|---|---|---|---|"]
    for name, unit in (("memory_bytes", 1 << 20), ("threads", 1), ("descriptors", 1)):
        values = [getattr(each, name) / unit for each in kept]
        slope = linear_regression(hours, values).slope
        first, last = median(values[:third]), median(values[-third:])
        lines.append(f"| {name.removesuffix('_bytes')} | {first:.1f} | {last:.1f} | {slope:+.2f} |")
    return lines


def main() -> None:
    """Run one way and print its figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.churn", description=__doc__)
    ways = ("plain", "overflow", "limit", "rewrite", "day")
    parser.add_argument("--way", choices=ways, default="plain")
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--pace", type=float, default=20.0, help="changes a second")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    limited = arguments.way == "limit"
    interval = {"limit": 20, "day": 10}.get(arguments.way, 86_400)
    with (
        tempfile.TemporaryDirectory(prefix="keycensus-churn-") as directory,
        running(Path(directory), seed=arguments.seed, interval=interval, limited=limited) as bench,
    ):
        begun = time.monotonic()
        if arguments.way == "rewrite":
            times, share, told = rewrite(bench, arguments.minutes * 60)
            print(
                f"rewritten {times} times: {share:.1%} of a core, told {told:.1f} s after the last"
            )
        elif arguments.way == "day":
            looks = day(bench, arguments.minutes, arguments.pace)
            print(
                f"{bench.churn.operations} changes, equal {bench.settle(60):.1f} s after the last"
            )
            print("\n".join(slopes(looks)))
        else:
            if arguments.way == "overflow":
                overflow(bench, arguments.operations)
            else:
                for _ in range(arguments.operations):
                    bench.churn.step()
            took = time.monotonic() - begun
            after = bench.settle(120)
            print(
                f"{arguments.way}: {arguments.operations} changes in {took:.1f} s,"
                f" {len(bench.churn.truth())} places, equal {after:.1f} s after the last"
            )
        if arguments.way == "overflow":
            wait_until(
                lambda: bench.status()["watches"]["overflows"] > 0, "an overflow", told=bench.log
            )
        print(json.dumps({name: bench.status()[name] for name in ("watches", "looks")}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
