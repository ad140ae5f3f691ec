"""The demo's collector and agents: made, started, and what they went through before today."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from demo.history import (
    CHANGE_DAYS,
    CHANGED,
    FIRST_DAYS,
    FOUND_CHANGED,
    FOUND_FIRST,
    by_clock_behind,
)
from demo.machine import inside
from demo.processes import DemoError, Processes, Running
from demo.shell import Shell, say

COLLECTOR = "keycensus-collector"
AGENT = "keycensus-agent"
CLIENT = "keycensus"
READY_SECONDS = 60
CATALOGUE_SECONDS = 300
# On a sample server, so that a change is seen soon; this machine's agent takes its time.
SAMPLE_SWEEP_SECONDS, SWEEP_SECONDS = 2, 600
POLL_SECONDS = 0.25
# All of a machine of its own but its /etc is this one's.
SCAN_OF_MACHINE = 'roots = ["/etc"]\n'


@dataclass(slots=True)
class Fleet:
    """`hosts`: the sample servers' roots by name; `machine`: which of them is a machine of its own, if any is."""

    work: Path
    shell: Shell
    processes: Processes
    hosts: dict[str, Path]
    machine: str
    addresses: dict[str, Any] = field(default_factory=dict)
    agents: dict[str, Running] = field(default_factory=dict)

    def init_collector(self) -> None:
        """Set the collector up, as of the day of its first report."""
        state, anywhere = self.work / "collector", "127.0.0.1:0"
        state.mkdir()
        replace(self.shell, wrap=by_clock_behind(FIRST_DAYS)).show(
            *(COLLECTOR, "init", *self.configured, "--state-dir", self.relative(state)),
            *("--deployment", "demo", "--name", "localhost", "--name", "127.0.0.1"),
            *("--listen-enrol", anywhere, "--listen-report", anywhere, "--listen-web", anywhere),
            *("--admin-token-file", self.relative(self.work / "admin.token")),
        )

    def look_back(self, go_on: Callable[[], None]) -> None:
        """Let the sample servers' agents report on days before this one, and things change in between."""
        say("\nIts clock is put back first, so that there is a past to look at.")
        self._report_on_day(FIRST_DAYS, self._join, FOUND_FIRST)
        say(f"{FIRST_DAYS} days ago: the agents of the sample servers enrolled and reported.")
        self._report_on_day(CHANGE_DAYS, go_on, FOUND_CHANGED)
        say(f"{CHANGE_DAYS} days ago: {CHANGED}.")

    def _report_on_day(
        self, days_ago: int, first: Callable[[], None], found: Mapping[str, frozenset[str]]
    ) -> None:
        """Run the collector by a clock that is so far behind while the sample servers report, after `first`.

        `found`: by query, the names of certificates that it knows of on that day before it ends.
        """
        collector = self._serve(by_clock_behind(days_ago))
        first()
        self._on_each_sample(self._report_once)
        for query, names in found.items():
            self.wait(
                partial(self._lists, query, names), CATALOGUE_SECONDS, f"{query!r} to list {names}"
            )
        self.processes.end(collector)

    def _lists(self, query: str, names: frozenset[str]) -> bool:
        return names <= {each["name"] for each in self.shell.ask(CLIENT, "certs", "-q", query)}

    def _join(self) -> None:
        self._log_in()
        self._on_each_sample(self._enrol)

    def start_collector(self) -> None:
        """Start it as it stays up, by the machine's clock."""
        say(f"\n$ {COLLECTOR} {' '.join(self._serving)} &")
        self._serve(list)
        say(f"listening: {self.addresses}")

    def _serve(self, wrap: Callable[[Sequence[str]], list[str]]) -> Running:
        self._ready.unlink(missing_ok=True)
        command = replace(self.shell, wrap=wrap).command(COLLECTOR, *self._serving)
        started = self.processes.start("collector", command, self.shell.environment())
        self.wait(self._ready.exists, READY_SECONDS, "the collector to listen")
        self.addresses = json.loads(self._ready.read_text())
        self._keep_ports()
        return started

    def _keep_ports(self) -> None:
        """Let it listen where its agents know it, whenever it is started again."""
        file = self.work / "collector" / "collector.toml"
        text = file.read_text()
        for name in ("enrol", "report", "web"):
            text = text.replace(f'{name} = "127.0.0.1:0"', f'{name} = "{self.addresses[name]}"')
        file.write_text(text)

    @property
    def _ready(self) -> Path:
        return self.work / "collector" / "ready.json"

    @property
    def _serving(self) -> tuple[str, ...]:
        return "serve", *self.configured, "--ready-file", self.relative(self._ready)

    @property
    def configured(self) -> tuple[str, str]:
        """What the collector's commands are told of its configuration."""
        return "--config", self.relative(self.work / "collector" / "collector.toml")

    def _log_in(self) -> None:
        url = f"https://{self.addresses['web']}"
        admin = self.relative(self.work / "admin.token")
        anchor = self.relative(self.work / "collector" / "authority" / "chain.pem")
        self.shell.show(CLIENT, "login", url, "--token-file", admin, "--ca-file", anchor)

    def wait_until_read(self) -> None:
        """Wait until the collector has read every certificate that it got."""
        self.wait(
            lambda: bool(self.shell.ask(CLIENT, "summary")["waiting"] == 0),
            CATALOGUE_SECONDS,
            "the collector to read every certificate",
        )

    def _on_each_sample(self, do: Callable[[str], None]) -> None:
        """Do it on all sample servers at the same time."""
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            for _ in pool.map(do, self.hosts):
                pass

    def start_agents(self) -> None:
        """Start an agent for this machine, which is enrolled before, and those of the sample servers."""
        here = socket.gethostname()
        self._enrol(here, show=True)
        for name in (here, *self.hosts):
            self._start_agent(name)

    def _enrol(self, name: str, *, show: bool = False) -> None:
        """Make an agent's configuration, and enrol it."""
        root, folder = self.hosts.get(name, Path("/")), self.work / "agents" / name
        folder.mkdir(parents=True, mode=0o700)
        config, token = folder / "agent.toml", folder / "token"
        scan = SCAN_OF_MACHINE if name == self.machine else _scan_of(root, self.work)
        config.write_text(_agent_configuration(root, scan, folder / "state"))
        created = ("token", "create", "--output-file", self.relative(token), *self.configured)
        address = ("--collector", str(self.addresses["enrol"]))
        enrolled = ("enrol", *address, "--token-file", self.relative(token))
        for shell, program, arguments in (
            (self.shell, COLLECTOR, created),
            (self._shell_of(name), AGENT, (*enrolled, *self._settings_of(name))),
        ):
            if show:
                shell.show(program, *arguments)
            else:
                shell.quiet(program, *arguments)

    def _report_once(self, name: str) -> None:
        self._shell_of(name).quiet(AGENT, "run", "--once", *self._settings_of(name))

    def _start_agent(self, name: str) -> None:
        shell, arguments = self._shell_of(name), ("run", *self._settings_of(name))
        if not self.agents:
            say(f"\n$ {AGENT} {' '.join(arguments)} &")
        self.agents[name] = self.processes.start(
            f"agent-{name}", shell.command(AGENT, *arguments), shell.environment()
        )
        say(f"{name}: its agent runs")

    def _settings_of(self, name: str) -> tuple[str, str]:
        return "--config", self.relative(self.work / "agents" / name / "agent.toml")

    def _shell_of(self, name: str) -> Shell:
        """Return what runs an agent's commands on its machine."""
        if name == self.machine:
            on_it = partial(inside, f"{name}.example.com", self.hosts[name])
            return replace(self.shell, wrap=on_it)
        return self.shell

    def wait(self, done: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until it is so; DemoError if it takes too long or something ends by itself."""
        deadline = time.monotonic() + seconds
        while not done():
            self.processes.check()
            if time.monotonic() > deadline:
                raise DemoError(f"waited {seconds:.0f} s for {what}")
            time.sleep(POLL_SECONDS)

    def relative(self, path: Path) -> str:
        """Return a path as it is written in the folder in which commands run."""
        return str(path.relative_to(self.shell.directory))


def _scan_of(root: Path, work: Path) -> str:
    """Return what an agent scans. This machine's stays out of the sample servers' files."""
    exclude = f"exclude = [{json.dumps(str(work))}]\n" if root == Path("/") else ""
    return f"root = {json.dumps(str(root))}\n{exclude}"


def _agent_configuration(root: Path, scan: str, state: Path) -> str:
    """Return the agent's TOML."""
    interval = SWEEP_SECONDS if root == Path("/") else SAMPLE_SWEEP_SECONDS
    return (
        f"[scan]\n{scan}"
        f"[state]\ndirectory = {json.dumps(str(state))}\n"
        f"[sweep]\ninterval_seconds = {interval}\n"
        "start_delay_seconds = 0\ncpu_share = 1.0\n"
    )
