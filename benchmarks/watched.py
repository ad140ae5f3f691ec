"""An agent that runs beside a collector: how soon it tells a change, what changes cost, what waiting costs.

Real processes on one machine: a collector, an agent enrolled at it that watches a made tree, files
changed by this process. The collector sends idle links away after a second, so that each change finds
the link asleep.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from fakes.certificates import Leaf
from fakes.collector import Collector
from fakes.sample_agent import SampleAgent, kill_group
from faults.kit.oracle import family, manifests

from benchmarks.measure import Standing, cost_of, wait_until
from benchmarks.plot import Chart, Line
from benchmarks.table import MIB, Bench, Row, limit_row, say
from benchmarks.tree import make_tree

LATENCY_MEDIAN, LATENCY_WORST = 1.0, 3.0
IDLE_MEMORY_MIB, IDLE_CPU_PERCENT, IDLE_THREADS = 40, 0.05, 4
FILES = 5_000
WATCHED = 20
SAMPLES = 60
CHANGES, CHANGES_A_SECOND = 1_000, 50
SETTLE_SECONDS = 5.0
# Prime to the number of files, so that each change of a file is one.
_CONTENTS = 3


class Watching:
    """A running agent and its collector; `process` is the reader's."""

    def __init__(self, collector: Collector, agent: SampleAgent, process: int) -> None:
        self._collector = collector
        self._agent = agent
        self.process = process
        self._contents = [Leaf(f"{number}.example").pem for number in range(_CONTENTS)]
        self._turn = 0

    @classmethod
    @contextlib.contextmanager
    def started(
        cls, directory: Path, files: int = FILES, settle: float = SETTLE_SECONDS
    ) -> Iterator[Watching]:
        """Start both over a made tree; the agent has swept, reported, and its link has left."""
        collector = Collector.make(directory / "collector")
        with collector.config_file.open("a") as config:
            config.write("\n[limits]\nlinger_seconds = 1\n")
        agent = SampleAgent(directory / "one", "one")
        text = agent.config_file.read_text()
        agent.config_file.write_text(text.replace("interval_seconds = 1\n", ""))
        make_tree(agent.root / "srv", files)
        with collector:
            agent.enrol(collector)
            for number in range(WATCHED):
                agent.write(f"etc/ssl/{number}.pem", b"nothing yet\n")
            process = agent.start("run")
            try:
                watching = cls(collector, agent, process.pid)
                for number in range(WATCHED):
                    watching.change(number)
                watching.until(watching._all_told, "the first report")
                watching.fall_asleep(settle)
                yield watching
            finally:
                process.terminate()
                with contextlib.suppress(Exception):
                    process.wait(20)
                kill_group(process)

    def change(self, number: int) -> None:
        """Give a watched file another certificate, as renewals do: written beside and renamed over."""
        self._turn += 1
        path = self._agent.root / f"etc/ssl/{number}.pem"
        fresh = path.with_suffix(".new")
        fresh.write_bytes(self._contents[self._turn % _CONTENTS])
        fresh.replace(path)

    def told(self, number: int) -> bytes | None:
        """Return the manifest that the collector has of a watched file."""
        found = manifests(self._collector.database, "one")
        return found.get(f"/etc/ssl/{number}.pem".encode())

    def differs(self, number: int, before: bytes | None) -> bool:
        """Whether the collector has another manifest of a watched file than before."""
        return self.told(number) != before

    def _all_told(self) -> bool:
        return all(self.told(number) is not None for number in range(WATCHED))

    def until(self, holds: Callable[[], bool], what: str) -> float:
        """Wait until something holds; return how many seconds that took."""
        return wait_until(holds, what, told=self._log)

    def _log(self) -> str:
        return (self._agent.directory / "agent.log").read_text()[-2000:]

    def link_sleeps(self) -> bool:
        """Whether no link and no parser runs."""
        for pid in family(self.process):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                if b"keycensus_agent.link" in command or b"keycensus_agent.parser" in command:
                    return False
        return True

    def fall_asleep(self, settle: float = SETTLE_SECONDS) -> None:
        """Wait until link and parser have left, and what follows that is done."""
        self.until(self.link_sleeps, "the link's leaving")
        time.sleep(settle)
        self.until(self.link_sleeps, "the link's leaving")


def latency(bench: Bench) -> Iterator[Row]:
    """Change a watched file while the link sleeps, and wait for the collector's inventory."""
    taken = []
    with Watching.started(bench.scratch / "latency") as watching:
        for turn in range(bench.changes):
            number = turn % WATCHED
            before = watching.told(number)
            watching.change(number)
            differs = partial(watching.differs, number, before)
            taken.append(watching.until(differs, "a change"))
            watching.fall_asleep()
    times = list(range(1, len(taken) + 1))
    bench.charts.append(
        Chart(
            "change to answer, sorted, s",
            "changes",
            times,
            [Line("seconds", sorted(taken))],
        )
    )
    yield limit_row(
        "watched change to answer, median", statistics.median(taken), LATENCY_MEDIAN, "s"
    )
    yield limit_row("watched change to answer, worst", max(taken), LATENCY_WORST, "s")


def changes(bench: Bench) -> Iterator[Row]:
    """Count the agent's CPU for a thousand changes, reported; in C: to read the same files once each."""
    with Watching.started(bench.scratch / "changes") as watching:
        before = Standing.of(watching.process)
        started = time.monotonic()
        for turn in range(CHANGES):
            watching.change(turn % WATCHED)
            time.sleep(max(0.0, started + turn / CHANGES_A_SECOND - time.monotonic()))
        watching.fall_asleep()
        cpu = Standing.of(watching.process).cpu - before.cpu
        files = bench.scratch / "read"
        files.mkdir()
        for turn in range(CHANGES):
            (files / str(turn)).write_bytes(Leaf("0.example").pem if turn == 0 else b"x" * 700)
        cost_of([bench.reference, "head", str(files)])
        reference = cost_of([bench.reference, "head", str(files)]).cpu
    yield Row(
        "CPU for 1,000 changes, reported",
        f"{cpu:.3f} s",
        f"{reference:.3f} s",
        cpu / reference,
        None,
    )


def idle(bench: Bench) -> Iterator[Row]:
    """Let an agent watch a tree in which nothing changes: memory, CPU and threads of all its processes."""
    with Watching.started(bench.scratch / "idle") as watching:
        say(f"idle for {bench.idle_seconds:g} s")
        first = Standing.of(watching.process)
        started, seen, moments = time.monotonic(), [first], [0.0]
        for _ in range(SAMPLES):
            time.sleep(bench.idle_seconds / SAMPLES)
            seen.append(Standing.of(watching.process))
            moments.append(time.monotonic() - started)
    percent = 100 * (seen[-1].cpu - first.cpu) / moments[-1]
    memory = [each.memory / MIB for each in seen]
    bench.charts.append(
        Chart("idle: PSS of all processes, MiB", "s", moments, [Line("MiB", memory)])
    )
    span = f"over {moments[-1]:.0f} s"
    yield limit_row("idle: memory (PSS), highest", max(memory), IDLE_MEMORY_MIB, "MiB")
    yield limit_row(f"idle: CPU {span}", percent, IDLE_CPU_PERCENT, "% of a core")
    yield limit_row("idle: threads", max(each.threads for each in seen), IDLE_THREADS, "threads")
