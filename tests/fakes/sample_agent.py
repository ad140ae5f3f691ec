"""A real agent: real commands over a small root directory, with a state directory of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from fakes.collector import Collector

COMMAND_SECONDS = 90.0


class SampleAgent:
    """One host: a root with files, a configuration, and the agent's commands over it."""

    def __init__(self, directory: Path, name: str = "host") -> None:
        self.directory = directory
        self.name = name
        self.root = directory / "root"
        self.state = directory / "agent"
        self.config_file = directory / "agent.toml"
        # Another Python (faults.kit.preload), or what stands before it (`ip netns exec NAME`).
        self.interpreter = [sys.executable]
        (self.root / "etc").mkdir(parents=True)
        (self.root / "etc/hostname").write_text(f"{name}\n")
        (self.root / "etc/machine-id").write_text(os.urandom(16).hex() + "\n")
        self.config_file.write_text(
            f'[scan]\nroot = "{self.root}"\n'
            f'[state]\ndirectory = "{self.state}"\n'
            "[sweep]\nstart_delay_seconds = 0\ninterval_seconds = 1\ncpu_share = 1.0\n"
        )
        self.config_file.chmod(0o600)

    def write(self, path: str, content: bytes, mode: int = 0o600) -> Path:
        """Put a file under the root."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
        return file

    def command(
        self, *arguments: str, failpoint: str = "", stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run one `keycensus-agent` command line to its end."""
        return subprocess.run(
            self.command_line(*arguments),
            env=self._environment(failpoint),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )

    def start(self, *arguments: str, failpoint: str = "") -> subprocess.Popen[bytes]:
        """Start a command in a process group of its own, its output in `agent.log`."""
        with (self.directory / "agent.log").open("ab") as log:
            return subprocess.Popen(
                self.command_line(*arguments),
                env=self._environment(failpoint),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def command_line(self, *arguments: str) -> list[str]:
        """Return the words of a command line."""
        return [
            *(*self.interpreter, "-m", "keycensus_agent", "--config", str(self.config_file)),
            *arguments,
        ]

    def _environment(self, failpoint: str) -> dict[str, str]:
        return {**os.environ, "KEYCENSUS_AGENT_FAILPOINT": failpoint}

    def enrol(self, collector: Collector) -> None:
        """Enrol at a running collector with a fresh token."""
        token_file = self.directory / "token"
        token_file.write_text(collector.enrolment_token())
        token_file.chmod(0o600)
        done = self.command(
            "enrol", "--collector", collector.enrol, "--token-file", str(token_file)
        )
        assert done.returncode == 0, done.stderr

    def report_to(self, address: str) -> None:
        """Name another address of the collector in the configuration, such as a proxy's."""
        text = self.config_file.read_text().partition("[collector]\n")[0]
        self.config_file.write_text(f'{text}[collector]\naddress = "{address}"\n')

    def run_once(self) -> subprocess.CompletedProcess[str]:
        """Sweep and report once, successfully."""
        done = self.command("run", "--once")
        assert done.returncode == 0, done.stdout + done.stderr
        return done


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a started command and what it started, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
