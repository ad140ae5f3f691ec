"""Start the demo's servers and agents, watch that they live, and leave none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

# A collector finishes its transactions and an agent its step; both end well within this.
STOP_SECONDS = 20.0
TAIL_LINES = 8


class DemoError(Exception):
    """The demo can't go on; the text says why, with the end of the log that tells more."""


class ProcessEndedError(DemoError):
    """A process ended by itself; the text holds the end of its log."""


@dataclass(frozen=True, slots=True)
class Running:
    """One process that the demo started, and where it logs."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> str:
        """Return the end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(f"    {line}" for line in lines)


@dataclass(slots=True)
class Processes:
    """A context: whatever was started in it has ended when it ends.

    Each process gets a group of its own, so that Ctrl-C reaches the demo alone, and so that what a
    process left behind can be ended by the number of that group.
    """

    logs: Path
    _running: list[Running] = field(default_factory=list)

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> Running:
        """Start `command` in the background; its output goes to a log named after it."""
        self.logs.mkdir(parents=True, exist_ok=True)
        log = self.logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )
        running = Running(name, process, log)
        self._running.append(running)
        return running

    def end(self, running: Running) -> None:
        """End one that was started here before the others are, and wait for it."""
        self._running.remove(running)
        running.process.send_signal(signal.SIGTERM)
        _wait_for(running, STOP_SECONDS)

    def check(self) -> None:
        """Raise ProcessEndedError if a process has ended that should be running."""
        for running in self._running:
            status = running.process.poll()
            if status is not None:
                raise ProcessEndedError(
                    f"{running.name} ended with status {status}; its log ({running.log}):\n"
                    f"{running.tail()}"
                )

    def tails(self) -> str:
        """Return the end of every log."""
        return "\n".join(f"{running.name}:\n{running.tail()}" for running in self._running)

    def stop(self) -> None:
        """End all, the last one started first, and wait for each."""
        for running in reversed(self._running):
            with suppress(ProcessLookupError):
                running.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for running in reversed(self._running):
            _wait_for(running, max(0.1, deadline - time.monotonic()))
        self._running.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _wait_for(running: Running, seconds: float) -> None:
    """Wait until it has ended, with what it started; it is killed if that takes longer."""
    try:
        running.process.wait(seconds)
    except subprocess.TimeoutExpired:
        running.process.kill()
        running.process.wait()
    # Its children end with it; one that did not is in its group, which only it could be in.
    with suppress(ProcessLookupError):
        os.killpg(running.process.pid, signal.SIGKILL)
