"""The installed package on a Debian of its own: what its services cost while they wait, and a scan.

As packaged: under systemd, as the agent's unprivileged user with its one capability. There is no collector
beside it, so the host is not enrolled, and the agent now and then starts a link to be told so.

What is scanned is this machine, shown read-only to that Debian, which is too small: there the start of
the interpreters would be most of a scan. Scanned twice: as that user by hand, and by the unit with all
that it switches, its command alone exchanged for `scan`, which has no processor budget of its own.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fakes.debian import installed
from fakes.machine import SHOWN, Machine
from faults.kit.oracle import family

from benchmarks.measure import (
    PATIENCE_SECONDS,
    CommandFailedError,
    Cost,
    Standing,
    alternate,
    cost_of,
    median_cpu,
    median_wall,
    wait_until,
)
from benchmarks.table import MIB, Bench, Row, limit_row, say, time_row
from keycensus_agent.reader.kept_parser import KEEP_SECONDS

AS_THE_READER = (
    *("setpriv", "--reuid=keycensus-agent", "--regid=keycensus-agent", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
    *("--bounding-set=-all,+dac_read_search", "--no-new-privs"),
)
SAMPLES = 60
_NAME = "measured"
# The unit as installed, but for what it runs, and that it ends.
_DROP_IN = """[Service]
Type=oneshot
Restart=no
WatchdogSec=0
ExecReload=
ExecStart=
ExecStart={command}
StandardOutput=null
"""


@dataclass(frozen=True, slots=True)
class Budgets:
    """What holds for the agent at rest, and for a scan of a machine as ratios to the C program."""

    memory_mib: float
    threads: int
    scan_wall: float
    scan_cpu: float


@dataclass(frozen=True, slots=True)
class _Scratch:
    directory: Path

    def getbasetemp(self) -> Path:
        return self.directory


def packaged(bench: Bench, budgets: Budgets) -> Iterator[Row]:
    """Measure the agent at rest, and scans of the bench's root."""
    say("making a Debian and the package")
    debian = installed(_Scratch(bench.scratch))
    place = bench.scratch / "machine"
    place.mkdir()
    with Machine.booted(place, debian.root, {_NAME: bench.root}) as machine:
        machine.write(
            "/etc/keycensus/agent.d/50-bench.toml",
            f'[scan]\nexclude = ["{SHOWN}"]\n[sweep]\nstart_delay_seconds = 0\n',
        )
        machine.run("systemctl", "start", "multi-user.target")
        wait_until(lambda: _has_swept(machine), "a sweep", pause=0.2, told=machine.journal)
        yield from _idle(bench, machine, budgets)
        machine.run("systemctl", "stop", "keycensus-agent")
        yield from _scan(bench, machine, budgets)


def _scan(bench: Bench, machine: Machine, budgets: Budgets) -> Iterator[Row]:
    """Scan as the packaged user and in its unit, each against the C program run likewise."""
    tree = _shown(bench, machine)
    shutil.copy(bench.reference, machine.path("/usr/local/bin/reference"))
    # By its root, so that paths are those of a machine: what is searched depends on them.
    ours = ("/usr/bin/keycensus-agent", "scan", "--root", tree, "-o", "ndjson")
    reference = ("/usr/local/bin/reference", "head", tree)
    say("scanning by hand")
    a, b = alternate(
        machine.command_line(*AS_THE_READER, *ours),
        machine.command_line(*AS_THE_READER, *reference),
        bench.rounds,
    )
    yield time_row("packaged: full scan, wall", median_wall, a, b, budgets.scan_wall)
    yield time_row("packaged: full scan, CPU", median_cpu, a, b, budgets.scan_cpu)
    say("scanning in the unit")
    pairs = [(_in_unit(machine, ours), _in_unit(machine, reference)) for _ in range(bench.rounds)]
    a, b = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    yield time_row("packaged: full scan in its unit, CPU", median_cpu, a, b, budgets.scan_cpu)


def _shown(bench: Bench, machine: Machine) -> str:
    """Return where the machine has the bench's root, without this machine's temporary files.

    The Debian itself lies among them, a second time.
    """
    tree = f"{SHOWN}/{_NAME}"
    temporary = Path(tempfile.gettempdir()).resolve()
    if temporary.is_relative_to(bench.root):
        hidden = f"{tree}/{temporary.relative_to(bench.root)}"
        machine.run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", hidden)
    return tree


def _in_unit(machine: Machine, command: Sequence[str]) -> Cost:
    """Run a command as what the agent's unit starts; its processor time is the control group's."""
    directory = "/etc/systemd/system/keycensus-agent.service.d"
    machine.write(f"{directory}/50-bench.conf", _DROP_IN.format(command=" ".join(command)))
    machine.run("systemctl", "daemon-reload")
    # `start` returns when the command has ended.
    wall = cost_of(machine.command_line("systemctl", "start", "keycensus-agent")).wall
    taken = int(_property(machine, "CPUUsageNSec"))
    return Cost(wall, taken / 1e9, 0)


def _idle(bench: Bench, machine: Machine, budgets: Budgets) -> Iterator[Row]:
    main = _process_outside(machine)
    # The parser of the last look is kept for some seconds, in case another follows.
    wait_until(
        lambda: Standing.of(main).processes == 1,
        "the parser's leaving",
        seconds=KEEP_SECONDS + PATIENCE_SECONDS,
        pause=0.5,
    )
    say(f"idle for {bench.idle_seconds:g} s")
    seen, started = [Standing.of(main)], time.monotonic()
    for _ in range(SAMPLES):
        time.sleep(bench.idle_seconds / SAMPLES)
        seen.append(Standing.of(main))
    taken = time.monotonic() - started
    percent = 100 * (seen[-1].cpu - seen[0].cpu) / taken
    most = max(each.memory for each in seen) / MIB
    yield limit_row("packaged: idle reader, memory (PSS)", most, budgets.memory_mib, "MiB")
    threads = max(each.threads for each in seen)
    yield limit_row("packaged: idle reader, threads", threads, budgets.threads, "threads")
    yield Row("packaged: idle reader, CPU, not enrolled", f"{percent:.3g} %", "", percent, None)


def _has_swept(machine: Machine) -> bool:
    said = machine.run("keycensus-agent", "status", "-o", "json", check=False).stdout
    status = json.loads(said) if said else {}
    return bool(status.get("last_sweep") and status.get("connection"))


def _process_outside(machine: Machine) -> int:
    """Return the reader's number outside the machine (proc(5), NSpid)."""
    inside = _property(machine, "MainPID")
    for pid in family(machine.init):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:") and line.split()[-1] == inside:
                return pid
    raise CommandFailedError(f"the reader {inside} is not among the machine's processes")


def _property(machine: Machine, name: str) -> str:
    """Return what systemd says of the reader's unit."""
    show = ("systemctl", "show", f"--property={name}", "--value", "keycensus-agent")
    return machine.run(*show).stdout.strip()
