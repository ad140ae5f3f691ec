"""A real collector: its own process in a directory of its own, on free ports of 127.0.0.1.

    with Collector.make(tmp_path / "collector") as collector:
        token = collector.enrolment_token()
        ... collector.enrol, collector.report, collector.web are "127.0.0.1:PORT" ...
        collector.kill(); collector.start()

Ports stay the same over restarts, so that agents find it again. Its processes are forked from one that
has imported the collector (fakes.zygote), but where a test gives them another interpreter, a prefix, an
environment or a failpoint; tests/collector/cli/test_process.py says `interpreter` to start it as users do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fakes.zygote import ForkedProcess, zygote_of

START_SECONDS = 120.0
STOP_SECONDS = 30.0


class Collector:
    """One deployment on disk, and its server process while that runs."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config_file = directory / "collector.toml"
        self.state = directory / "state"
        self.ca_file = self.state / "authority" / "chain.pem"
        self.database = self.state / "keycensus.db"
        self.log_file = directory / "log.ndjson"
        self.enrol = self.report = self.web = ""
        # Another Python (faults.kit.release), with that release's collector; if empty, a fork of ours.
        self.interpreter = ""
        # What stands before the server's command line, such as `ip netns exec NAME`.
        self.before: list[str] = []
        self._process: subprocess.Popen[bytes] | ForkedProcess | None = None

    @classmethod
    def make(cls, directory: Path, *init_options: str, interpreter: str = "") -> Self:
        """Run `init` in `directory`; the server is not started yet."""
        collector = cls(directory)
        collector.interpreter = interpreter
        listen = [
            item
            for port in ("enrol", "report", "web")
            for item in (f"--listen-{port}", "127.0.0.1:0")
        ]
        result = collector.command(
            "init",
            *("--deployment", "test", "--name", "localhost", "--state-dir", str(collector.state)),
            *("--admin-token-file", str(directory / "admin-token"), *listen, *init_options),
        )
        assert result.returncode == 0, result.stderr
        return collector

    @property
    def admin_token(self) -> str:
        """API token of the first admin."""
        return (self.directory / "admin-token").read_text().strip()

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def command(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run one `keycensus-collector` command line to its end."""
        group = 2 if arguments[0] in ("token", "agent", "host", "user", "ca", "db") else 1
        line = (*arguments[:group], "--config", str(self.config_file), *arguments[group:])
        if not self.interpreter:
            return zygote_of("keycensus_collector").run(*line, stdin=stdin)
        return subprocess.run(
            self._program(*line),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def query(self, *arguments: str) -> Any:  # noqa: ANN401 - JSON
        """Run a command that succeeds, and return its JSON."""
        result = self.command(*arguments, "-o", "json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def enrolment_token(self, *options: str) -> str:
        """Make a token that lets one host in."""
        return str(self.query("token", "create", *options)["token"])

    def start(self, *, failpoint: str = "", environment: Mapping[str, str] | None = None) -> None:
        """Start the server and wait until it listens.

        `failpoint` arms a crash ("NAME[:NTH]"); `environment` is added to our own.
        """
        assert self._process is None
        ready = self.directory / "ready.json"
        ready.unlink(missing_ok=True)
        line = ("serve", "--config", str(self.config_file), "--ready-file", str(ready))
        with self.log_file.open("ab") as log:
            if self.interpreter or self.before or failpoint or environment:
                self._process = subprocess.Popen(
                    [*self.before, *self._program(*line)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "KEYCENSUS_FAILPOINT": failpoint, **(environment or {})},
                )
            else:
                self._process = zygote_of("keycensus_collector").start(
                    *line, stdout=log, stderr=log
                )
        self._await(ready)
        addresses = json.loads(ready.read_text())
        self.enrol, self.report, self.web = (addresses[key] for key in ("enrol", "report", "web"))
        self._keep_ports(addresses)

    def _await(self, ready: Path) -> None:
        """Wait until the server has written where it listens; end it if it does not in time."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not ready.exists():
            assert self._process.poll() is None, self.log_file.read_text()
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"not in time: {self.log_file.read_text()}")
            time.sleep(0.02)

    def _keep_ports(self, addresses: dict[str, str]) -> None:
        text = self.config_file.read_text()
        for key in ("enrol", "report", "web"):
            text = text.replace(f'{key} = "127.0.0.1:0"', f'{key} = "{addresses[key]}"')
        self.config_file.write_text(text)

    def stop(self) -> int:
        """End the server with SIGTERM and return its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the server with SIGKILL."""
        self._end(signal.SIGKILL)

    def interrupt(self) -> None:
        """Send what Ctrl-C sends; `wait_until_dead` follows."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)

    def wait_until_dead(self, seconds: float = START_SECONDS) -> int:
        """Wait until the server has died by itself (a failpoint); return its exit status."""
        assert self._process is not None
        status = self._process.wait(seconds)
        self._process = None
        return status

    def is_running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    def _end(self, number: signal.Signals) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self.wait_until_dead(STOP_SECONDS)

    def events(self, name: str) -> Sequence[dict[str, Any]]:
        """Return the log's events of one name."""
        lines = self.log_file.read_text().splitlines()
        parsed = [json.loads(line) for line in lines if line.startswith("{")]
        return [event for event in parsed if event.get("event") == name]

    def __enter__(self) -> Self:
        if self._process is None:
            self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _value: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self.kill()

    def _program(self, *arguments: str) -> list[str]:
        return [self.interpreter or sys.executable, "-m", "keycensus_collector", *arguments]
