"""Measure the budgets of docs/architecture.md as ratios, in one run on one machine; print a table.

    PYTHONPATH=tests python -m benchmarks.run [--root DIR] [--rounds N] [--only NAME] [--plot FILE]

Each row is ours against the physical limit or the peer that the budget names, run in turn; rows
without a budget are there to be compared with. The table
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
from pathlib import Path

from benchmarks.measure import (
    CommandFailedError,
    NotReadyError,
    alternate,
    become_subreaper,
    cost_of,
    median_cpu,
    median_wall,
    peak_memory,
)
from benchmarks.needs import need
from benchmarks.plot import Chart, Line, svg
from benchmarks.table import MIB, Bench, Row, say, shares, time_row
from benchmarks.tree import make_tree

HERE = Path(__file__).resolve().parent
AGENT = str(Path(sys.executable).parent / "keycensus-agent")

FULL_SCAN_WALL, FULL_SCAN_CPU = 2.0, 2.5
UNCHANGED_SWEEP = 2.0
PEAK_MEMORY_MIB, MEMORY_GROWTH = 120, 1.25
HELP = 3.0
INTAKE = 0.7
SMALL_TREE = 5_000
# Not part of a whole run: needs root, debootstrap and systemd, and fetches a Debian.
ON_DEMAND = frozenset({"packaged"})
# After so many runs of the reference, what still comes from the disk never stays in the cache.
WARM_UP_RUNS = 4


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
    yield time_row("full scan, wall", median_wall, a, b, FULL_SCAN_WALL)
    yield time_row("full scan, CPU", median_cpu, a, b, FULL_SCAN_CPU)


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
    yield time_row("unchanged sweep, wall", median_wall, a, b, UNCHANGED_SWEEP)
    yield time_row("unchanged sweep, CPU", median_cpu, a, b, UNCHANGED_SWEEP)
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
    peaks, sizes = [], (SMALL_TREE, 10 * SMALL_TREE)
    for files in sizes:
        say(f"making a tree of {files} files")
        tree = bench.scratch / f"tree-{files}"
        make_tree(tree, files)
        peaks.append(peak_memory([AGENT, "scan", str(tree), "-o", "ndjson"]))
    in_mib = [peak / MIB for peak in peaks]
    bench.charts.append(
        Chart("peak memory (PSS) of a scan, MiB", "files", sizes, [Line("MiB", in_mib)])
    )
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
    yield time_row("--help, wall", median_wall, a, b, HELP)


def intake(_bench: Bench) -> Iterator[Row]:
    """Count rows a second through the whole of intake, against bare SQL of the same rows."""
    from benchmarks.intake import DATABASES, measure

    for name, databases in DATABASES.items():
        # What the collector's code logs belongs to progress: the table alone is our output.
        with contextlib.redirect_stdout(sys.stderr), databases() as fresh:
            figures = measure(fresh)
        say(f"intake of first-seen blobs, {name}, apart: {figures['blob_ratio']:.2f} of bare SQL")
        yield Row(
            f"intake, rows a second, {name}",
            f"{figures['rows_per_second']:,.0f}",
            f"{figures['bare_rows_per_second']:,.0f}",
            figures["ratio"],
            INTAKE,
            at_least=True,
        )


def others(bench: Bench) -> Iterator[Row]:
    """Scan against what people do without us; no budget, but figures of the same minutes."""
    from benchmarks.others import others as measure

    warm([bench.reference, "head", str(bench.root)])
    yield from measure(bench, AGENT)


def latency(bench: Bench) -> Iterator[Row]:
    """Time a change on a watched file until the collector answers it."""
    from benchmarks.watched import latency as measure

    yield from measure(bench)


def changes(bench: Bench) -> Iterator[Row]:
    """Count the CPU of a thousand changes."""
    from benchmarks.watched import changes as measure

    yield from measure(bench)


def idle(bench: Bench) -> Iterator[Row]:
    """Measure an agent to which nothing happens."""
    from benchmarks.watched import idle as measure

    yield from measure(bench)


def packaged(bench: Bench) -> Iterator[Row]:
    """Measure the installed package as its own user, on a Debian made for it."""
    from benchmarks.packaged import Budgets
    from benchmarks.packaged import packaged as measure
    from benchmarks.watched import IDLE_MEMORY_MIB, IDLE_THREADS

    yield from measure(bench, Budgets(IDLE_MEMORY_MIB, IDLE_THREADS, FULL_SCAN_WALL, FULL_SCAN_CPU))


BENCHES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "scan": full_scan,
    "others": others,
    "sweep": unchanged_sweep,
    "memory": memory,
    "help": help_text,
    "latency": latency,
    "changes": changes,
    "idle": idle,
    "packaged": packaged,
    "intake": intake,
}


def main() -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=Path("/"), help="what to scan (/)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each that count (5)")
    parser.add_argument("--only", choices=BENCHES, action="append", help="measure only this")
    parser.add_argument("--idle", type=float, default=600.0, help="seconds of idleness (600)")
    parser.add_argument("--changes", type=int, default=30, help="changes that are timed (30)")
    parser.add_argument("--plot", type=Path, default=None, help="write the charts to this SVG")
    arguments = parser.parse_args()
    chosen = arguments.only or [name for name in BENCHES if name not in ON_DEMAND]
    try:
        if "packaged" in chosen:
            need("packaged")
    except NotReadyError as error:
        say(str(error))
        return 2
    become_subreaper()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="keycensus-bench-") as scratch:
        bench = Bench(
            arguments.root.resolve(),
            arguments.rounds,
            Path(scratch),
            arguments.idle,
            arguments.changes,
        )
        compile_reference(bench)
        for name in chosen:
            say(name)
            rows += BENCHES[name](bench)
    print(f"| {bench.root}, {bench.rounds} rounds | ours | reference | ratio | budget | verdict |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(row.line())
    if arguments.plot is not None:
        bench.charts.insert(0, shares(rows))
        arguments.plot.write_text(svg(f"make bench, {bench.rounds} rounds", bench.charts))
        say(f"charts: {arguments.plot}")
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
