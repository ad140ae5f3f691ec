"""Does anything grow? A collector, a real agent and a fleet, with connections that break, for long.

    PYTHONPATH=tests python -m benchmarks.soak --minutes 30 --agents 50 --plot soak.svg

The collector is a process of its own and never restarted. Before it stands the chaos proxy, which
resets every open connection now and then. A real agent daemon sweeps every second and reports each
change through a link process and a connection of its own; the simulated agents connect, report a change,
stay a while and leave, over and over. Every few seconds the memory, descriptors and threads of the
collector and of the reader are read from /proc. Files go through the same few contents, so that what
is kept (history apart) does not grow; what SQLite keeps in memory of its database is held to a MiB.

The verdict is about the last three quarters: a straight line through them, and the medians of their
first and last third.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import linear_regression, median

from fakes.agent_stream import File, file_of
from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.sample_agent import SampleAgent, kill_group
from faults.kit.chaos_proxy import ChaosProxy
from faults.kit.fleet import EndedError, SimulatedAgent, issue_fleet
from faults.kit.oracle import Footprint, acknowledged_is_there

from benchmarks.plot import Chart, Line, svg

CONTENTS = 8
# Descriptors that the fleet's own process may need: two a connection, and some.
_DESCRIPTORS = 16_384
_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One look: seconds since the start, both sides, and what had happened by then."""

    seconds: float
    collector: Footprint
    reader: Footprint
    open_streams: int
    connections: int
    reports: int
    database_bytes: int


@dataclass(slots=True)
class Soak:
    """One soak; `run` returns the samples."""

    directory: Path
    agents: int
    seconds: float
    every: float = 5.0
    resets_every: float = 15.0
    reports: int = 0
    broken: int = 0
    dice: random.Random = dataclasses.field(default_factory=lambda: random.Random(4))

    async def run(self) -> list[Sample]:
        """Start everything, let it run, stop it, and hold the inventory against what was acked."""
        collector = Collector.make(self.directory / "collector")
        with collector.config_file.open("a") as config:
            # The database grows, and its caches with it until they are full; that is not asked here.
            config.write("[database]\ncache_mib = 1\n")
        files = [file_of(Leaf(f"{number}.example").der) for number in range(CONTENTS)]
        fleet = [SimulatedAgent(each) for each in issue_fleet(collector, self.agents)]
        with collector, ChaosProxy(collector.report) as proxy:
            agent = SampleAgent(self.directory / "one", "one")
            agent.enrol(collector)
            with agent.config_file.open("a") as config:
                config.write(f'[collector]\naddress = "{proxy.address}"\n')
            process = agent.start("run")
            try:
                tasks = [
                    *(self._live(each, proxy.address, files) for each in fleet),
                    self._change_files(agent),
                    self._trouble(proxy),
                ]
                samples = await self._watch(collector, agent, process, proxy, tasks)
            finally:
                process.terminate()
                with contextlib.suppress(Exception):
                    await asyncio.to_thread(process.wait, 20)
                kill_group(process)
            # What was cut off in its middle gets its answer now (I4); then nothing is open.
            await asyncio.gather(*(member.visit(collector.report) for member in fleet))
            for member in fleet:
                acknowledged_is_there(
                    collector.database, member.acknowledged, member.credentials.name
                )
        return samples

    async def _watch(
        self,
        collector: Collector,
        agent: SampleAgent,
        process: subprocess.Popen[bytes],
        proxy: ChaosProxy,
        lives: Sequence[Coroutine[None, None, None]],
    ) -> list[Sample]:
        tasks = [asyncio.create_task(each) for each in lives]
        samples: list[Sample] = []
        started = time.monotonic()
        try:
            while time.monotonic() - started < self.seconds:
                await asyncio.sleep(self.every)
                assert collector.is_running(), collector.log_file.read_text()[-4000:]
                log = agent.directory / "agent.log"
                assert process.poll() is None, (
                    f"status {process.returncode}: {log.read_text(errors='replace')[-4000:]}"
                )
                samples.append(
                    Sample(
                        time.monotonic() - started,
                        Footprint.of(collector.pid),
                        Footprint.of(process.pid),
                        proxy.open_connections(),
                        proxy.counted.connections,
                        self.reports,
                        collector.database.stat().st_size,
                    )
                )
                for task in tasks:
                    if task.done():
                        task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return samples

    async def _live(self, member: SimulatedAgent, address: str, files: Sequence[File]) -> None:
        for turn in itertools.count():
            member.wanted[b"/srv/a.pem"] = files[turn % CONTENTS]
            try:
                await member.visit(address, hold_seconds=self.dice.uniform(0, 6))
                self.reports += 1
            except EndedError:
                self.broken += 1
            await asyncio.sleep(self.dice.uniform(0, 4))

    async def _change_files(self, agent: SampleAgent) -> None:
        leaves = [Leaf(f"disk{number}.example").pem for number in range(CONTENTS)]
        for turn in itertools.count():
            agent.write(f"srv/{turn % 5}.pem", leaves[turn % CONTENTS])
            await asyncio.sleep(2.0)

    async def _trouble(self, proxy: ChaosProxy) -> None:
        while True:
            await asyncio.sleep(self.dice.uniform(0.5, 1.5) * self.resets_every)
            proxy.reset_all()


@dataclass(frozen=True, slots=True)
class Slope:
    """How one number went over the last three quarters of a soak."""

    label: str
    first: float
    last: float
    per_hour: float


def slopes(samples: Sequence[Sample]) -> list[Slope]:
    """Return every number's way; memory in MiB."""
    kept = list(samples[len(samples) // 4 :])
    hours = [each.seconds / 3600 for each in kept]
    third = max(1, len(kept) // 3)
    found = []
    for side in ("collector", "reader"):
        names = ("descriptors", "threads", "pool_threads")
        for name, unit in (("memory_bytes", _MEBIBYTE), *((name, 1) for name in names)):
            values = [getattr(getattr(each, side), name) / unit for each in kept]
            found.append(
                Slope(
                    f"{side} {name.removesuffix('_bytes').replace('_', ' ')}",
                    median(values[:third]),
                    median(values[-third:]),
                    linear_regression(hours, values).slope,
                )
            )
    return found


def drawn(samples: Sequence[Sample]) -> str:
    """Return the plot as SVG."""
    minutes = [each.seconds / 60 for each in samples]

    def chart(title: str, name: str, unit: int) -> Chart:
        lines = [
            Line(side, [getattr(getattr(each, side), name) / unit for each in samples])
            for side in ("collector", "reader")
        ]
        return Chart(title, "minutes", minutes, lines)

    return svg(
        f"Soak: {samples[-1].connections} connections, {samples[-1].reports} reports",
        [
            chart("resident memory, MiB", "memory_bytes", _MEBIBYTE),
            chart("open descriptors", "descriptors", 1),
            chart("threads", "threads", 1),
            chart("threads of gRPC's pool", "pool_threads", 1),
            Chart(
                "streams open",
                "minutes",
                minutes,
                [Line("streams", [each.open_streams for each in samples])],
            ),
        ],
    )


def table(samples: Sequence[Sample], soak: Soak) -> str:
    """Return the figures as Markdown."""
    last = samples[-1]
    happened = (
        f"{last.seconds / 60:.1f} minutes, {soak.agents} simulated agents and a real one,"
        f" {last.connections} connections, {last.reports} reports,"
        f" {soak.broken} visits broken by resets,"
        f" database {last.database_bytes / _MEBIBYTE:.1f} MiB"
    )
    lines = [
        happened,
        "",
        "| what | first third | last third | slope an hour |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {each.label} | {each.first:.1f} | {each.last:.1f} | {each.per_hour:+.2f} |"
        for each in slopes(samples)
    ]
    return "\n".join(lines)


def main() -> None:
    """Run a soak and print its figures."""
    parser = argparse.ArgumentParser(prog="benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--plot", type=Path, default=None, help="write an SVG to this file")
    arguments = parser.parse_args()
    allow_descriptors()
    with tempfile.TemporaryDirectory(prefix="keycensus-soak-") as directory:
        soak = Soak(Path(directory), arguments.agents, arguments.minutes * 60)
        samples = asyncio.run(soak.run())
    print(table(samples, soak))
    if arguments.plot is not None:
        arguments.plot.write_text(drawn(samples))
        print(f"plot: {arguments.plot}", file=sys.stderr)


def allow_descriptors() -> None:
    """Let this process, and what it starts, open as many descriptors as a fleet needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_DESCRIPTORS, hard), hard))


if __name__ == "__main__":
    main()
