"""Measure the budgets of docs/architecture.md as ratios, in one run on one machine; print a table.

    python -m benchmarks.run [--root DIR] [--rounds N] [--only NAME]

Each row is ours against the physical limit or the peer that the budget names, run in turn. The table
goes to stdout, what is going on to stderr. Exit status 1 if a budget is missed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import (
    CommandFailedError,
    Cost,
    alternate,
    become_subreaper,
    cost_of,
    median_cpu,
    median_wall,
    peak_memory,
)
from benchmarks.tree import make_tree

HERE = Path(__file__).resolve().parent
AGENT = str(Path(sys.executable).parent / "keycensus-agent")
MIB = 1 << 20

FULL_SCAN_WALL, FULL_SCAN_CPU = 2.0, 2.5
UNCHANGED_SWEEP = 2.0
PEAK_MEMORY_MIB, MEMORY_GROWTH = 120, 1.25
HELP = 3.0
INTAKE = 0.7
SMALL_TREE = 5_000
# After so many runs of the reference, what still comes from the disk never stays in the cache.
WARM_UP_RUNS = 4


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `ratio` is compared with `budget`; `at_least` turns the comparison."""

    what: str
    ours: str
    reference: str
    ratio: float
    budget: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the budget is kept."""
        return self.ratio >= self.budget if self.at_least else self.ratio <= self.budget

    def line(self) -> str:
        """Return the row in Markdown."""
        sign = "≥" if self.at_least else "≤"
        verdict = "holds" if self.holds else "**missed**"
        cells = [self.what, self.ours, self.reference, f"{self.ratio:.2f}"]
        return f"| {' | '.join(cells)} | {sign} {self.budget:g} | {verdict} |"


@dataclass(frozen=True, slots=True)
class Bench:
    """What every measurement gets: where to look, how often, where to keep its files."""

    root: Path
    rounds: int
    scratch: Path

    @property
    def reference(self) -> str:
        """The compiled C program."""
        return str(self.scratch / "reference")


def say(text: str) -> None:
    """Tell the person who waits what is going on."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def compile_reference(bench: Bench) -> None:
    """Build the C program beside the other files of this run."""
    source = HERE / "reference.c"
    compiler = os.environ.get("CC", "cc")
    subprocess.run(
        [compiler, "-O2", "-Wall", "-Wextra", "-o", bench.reference, str(source)], check=True
    )


def warm(command: list[str]) -> None:
    """Run the reference until nothing comes from the disk any more: budgets are for a warm cache."""
    for _ in range(WARM_UP_RUNS):
        if cost_of(command).blocks == 0:
            return
    say("the page cache does not hold this tree; choose a smaller one with ROOT=DIR")


def full_scan(bench: Bench) -> Iterator[Row]:
    """Scan the whole root, all formats, against walk, stat, read 64 KiB and search in C."""
    ours = [AGENT, "scan", str(bench.root), "-o", "ndjson"]
    reference = [bench.reference, "head", str(bench.root)]
    warm(reference)
    a, b = alternate(ours, reference, bench.rounds)
    yield _time_row("full scan, wall", median_wall, a, b, FULL_SCAN_WALL)
    yield _time_row("full scan, CPU", median_cpu, a, b, FULL_SCAN_CPU)


def unchanged_sweep(bench: Bench) -> Iterator[Row]:
    """Sweep a tree in which nothing changed, against walk and stat in C."""
    configuration = bench.scratch / "agent.toml"
    state = bench.scratch / "state"
    configuration.write_text(
        f'[scan]\nroots = ["{bench.root}"]\nexclude = ["{bench.scratch}"]\n'
        f'[state]\ndirectory = "{state}"\n'
    )
    ours = [AGENT, "run", "--once", "--config", str(configuration)]
    reference = [bench.reference, "stat", str(bench.root)]
    say("first sweep, which opens every file")
    warm([bench.reference, "head", str(bench.root)])
    # Nothing is enrolled here: the sweep is stored, and that nobody can be told ends in status 3.
    a, b = alternate(ours, reference, bench.rounds, statuses=(0, 3))
    yield _time_row("unchanged sweep, wall", median_wall, a, b, UNCHANGED_SWEEP)
    yield _time_row("unchanged sweep, CPU", median_cpu, a, b, UNCHANGED_SWEEP)
    opened = _files_opened(ours)
    yield Row("unchanged sweep, files opened", str(opened), "0", float(opened), 0.0)


def _files_opened(command: list[str]) -> int:
    """Run a sweep once more and return how many files it says that it opened."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"(\d+) opened", done.stdout)
    if found is None:
        raise CommandFailedError(f"{' '.join(command)} does not say what it opened: {done.stderr}")
    return int(found[1])


def memory(bench: Bench) -> Iterator[Row]:
    """Find the peak memory of a scan over all its processes, and whether it grows with the tree."""
    peaks = []
    for files in (SMALL_TREE, 10 * SMALL_TREE):
        say(f"making a tree of {files} files")
        tree = bench.scratch / f"tree-{files}"
        make_tree(tree, files)
        peaks.append(peak_memory([AGENT, "scan", str(tree), "-o", "ndjson"]))
    small, large = (f"{peak / MIB:.0f} MiB" for peak in peaks)
    yield Row(
        f"peak memory (PSS), {10 * SMALL_TREE} files",
        large,
        f"{PEAK_MEMORY_MIB} MiB",
        peaks[1] / MIB / PEAK_MEMORY_MIB,
        1.0,
    )
    yield Row("the same, tree ten times as large", large, small, peaks[1] / peaks[0], MEMORY_GROWTH)


def help_text(bench: Bench) -> Iterator[Row]:
    """Time --help against a bare interpreter that imports argparse."""
    a, b = alternate(
        [AGENT, "--help"], [sys.executable, "-c", "import argparse"], max(bench.rounds, 10)
    )
    yield _time_row("--help, wall", median_wall, a, b, HELP)


def intake(_bench: Bench) -> Iterator[Row]:
    """Count rows a second through the whole of intake, against bare SQL of the same rows."""
    from benchmarks.intake import measure

    # What the collector's code logs belongs to progress: the table alone is our output.
    with contextlib.redirect_stdout(sys.stderr):
        figures = measure()
    say(f"intake of first-seen blobs, apart: {figures['blob_ratio']:.2f} of bare SQL")
    yield Row(
        "intake, rows a second",
        f"{figures['rows_per_second']:,.0f}",
        f"{figures['bare_rows_per_second']:,.0f}",
        figures["ratio"],
        INTAKE,
        at_least=True,
    )


BENCHES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "scan": full_scan,
    "sweep": unchanged_sweep,
    "memory": memory,
    "help": help_text,
    "intake": intake,
}


def _time_row(
    what: str,
    median: Callable[[list[Cost]], float],
    ours: list[Cost],
    reference: list[Cost],
    budget: float,
) -> Row:
    a, b = median(ours), median(reference)
    return Row(what, f"{a:.3f} s", f"{b:.3f} s", a / b, budget)


def main() -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path("/"), help="what to scan (/)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each that count (5)")
    parser.add_argument("--only", choices=BENCHES, action="append", help="measure only this")
    arguments = parser.parse_args()
    become_subreaper()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="keycensus-bench-") as scratch:
        bench = Bench(arguments.root.resolve(), arguments.rounds, Path(scratch))
        compile_reference(bench)
        for name in arguments.only or BENCHES:
            say(name)
            rows += BENCHES[name](bench)
    print(f"| {bench.root}, {bench.rounds} rounds | ours | reference | ratio | budget | verdict |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(row.line())
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
