"""The installed package on a Debian of its own: what its services cost while they wait, and a scan.

As packaged: under systemd, as the agent's unprivileged user with its one capability. There is no collector
beside it, so the host is not enrolled, and the agent now and then starts a link to be told so.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fakes.debian import installed
from fakes.machine import Machine
from faults.kit.oracle import family

from benchmarks.measure import CommandFailedError, Standing, alternate, median_cpu, median_wall
from benchmarks.table import MIB, Bench, Row, limit_row, say, time_row
from benchmarks.tree import make_tree
from keycensus_agent.reader.kept_parser import KEEP_SECONDS

AS_THE_READER = (
    *("setpriv", "--reuid=keycensus-agent", "--regid=keycensus-agent", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
    *("--bounding-set=-all,+dac_read_search", "--no-new-privs"),
)
SAMPLES = 60
FILES = 50_000
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class _Scratch:
    directory: Path

    def getbasetemp(self) -> Path:
        return self.directory


def packaged(bench: Bench, *, memory_mib: float, threads: int) -> Iterator[Row]:
    """Measure against the budgets of an idle agent, which the caller names, and a scan in C."""
    say("making a Debian and the package")
    debian = installed(_Scratch(bench.scratch))
    place = bench.scratch / "machine"
    place.mkdir()
    with Machine.booted(place, debian.root) as machine:
        machine.write("/etc/keycensus/agent.d/50-bench.toml", "[sweep]\nstart_delay_seconds = 0\n")
        machine.run("systemctl", "start", "multi-user.target")
        _wait_for_a_sweep(machine)
        yield from _idle(bench, machine, memory_mib, threads)
        machine.run("systemctl", "stop", "keycensus-agent")
        yield from _scan(bench, machine)


def _scan(bench: Bench, machine: Machine) -> Iterator[Row]:
    """Scan a made tree as the packaged user, against the C program as the same user.

    The Debian is too small for it: there the start of the interpreters would be most of a scan. The made
    tree holds many times the keys and archives of a machine, so the budget of a machine is not its.
    """
    say(f"making a tree of {FILES} files")
    make_tree(machine.path("/srv/tree"), FILES)
    shutil.copy(bench.reference, machine.path("/usr/local/bin/reference"))
    ours = machine.command_line(*AS_THE_READER, "keycensus-agent", "scan", "/srv", "-o", "ndjson")
    reference = machine.command_line(*AS_THE_READER, "/usr/local/bin/reference", "head", "/srv")
    a, b = alternate(ours, reference, bench.rounds)
    yield time_row("packaged: full scan, wall", median_wall, a, b, None)
    yield time_row("packaged: full scan, CPU", median_cpu, a, b, None)


def _idle(bench: Bench, machine: Machine, memory_mib: float, threads: int) -> Iterator[Row]:
    main = _process_outside(machine)
    # The parser of the last look is kept for some seconds, in case another follows.
    _wait_until_alone(main)
    say(f"idle for {bench.idle_seconds:g} s")
    seen, started = [Standing.of(main)], time.monotonic()
    for _ in range(SAMPLES):
        time.sleep(bench.idle_seconds / SAMPLES)
        seen.append(Standing.of(main))
    taken = time.monotonic() - started
    percent = 100 * (seen[-1].cpu - seen[0].cpu) / taken
    most = max(each.memory for each in seen) / MIB
    yield limit_row("packaged: idle reader, memory (PSS)", most, memory_mib, "MiB")
    yield limit_row(
        "packaged: idle reader, threads", max(each.threads for each in seen), threads, "threads"
    )
    yield Row("packaged: idle reader, CPU, not enrolled", f"{percent:.3g} %", "", percent, None)


def _wait_for_a_sweep(machine: Machine) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        said = machine.run("keycensus-agent", "status", "-o", "json", check=False).stdout
        if said and json.loads(said).get("last_sweep") and json.loads(said).get("connection"):
            return
        if time.monotonic() > deadline:
            raise CommandFailedError(f"no sweep in {PATIENCE_SECONDS:g} s: {machine.journal()}")
        time.sleep(0.2)


def _wait_until_alone(main: int) -> None:
    deadline = time.monotonic() + KEEP_SECONDS + PATIENCE_SECONDS
    while Standing.of(main).processes > 1:
        if time.monotonic() > deadline:
            raise CommandFailedError("the reader goes on having a parser")
        time.sleep(0.5)


def _process_outside(machine: Machine) -> int:
    """Return the reader's number outside the machine (proc(5), NSpid)."""
    show = ("systemctl", "show", "--property=MainPID", "--value", "keycensus-agent")
    inside = machine.run(*show).stdout.strip()
    for pid in family(machine.init):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:") and line.split()[-1] == inside:
                return pid
    raise CommandFailedError(f"the reader {inside} is not among the machine's processes")
