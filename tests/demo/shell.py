"""Run the three programs as a person would: each command is shown before its output."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo.processes import DemoError

COMMAND_SECONDS = 120
# Tables fold long paths into what they are given; a pipe has no width of its own.
LEAST_COLUMNS = 120
# What is passed on from the caller's environment: no proxies, no Python settings, no credentials.
_KEPT = ("PATH", "LANG", "LC_ALL", "TERM", "TZ", "SSL_CERT_DIR", "SSL_CERT_FILE")


def say(text: str = "") -> None:
    """Print a line at once, also into a pipe."""
    print(text, flush=True)


def heading(text: str) -> None:
    """Print a heading between two parts of the demo."""
    say()
    say(f"== {text} {'=' * max(0, 90 - len(text))}")


@dataclass(frozen=True, slots=True)
class Shell:
    """Commands run in `directory`, with `variables` over a small environment.

    `wrap` makes of a command line the one that is run.
    """

    directory: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    wrap: Callable[[Sequence[str]], list[str]] = list

    def environment(self) -> dict[str, str]:
        """Return the environment of every process of the demo."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        width = {"COLUMNS": str(max(shutil.get_terminal_size().columns, LEAST_COLUMNS))}
        return kept | width | dict(self.variables)

    def command(self, program: str, *arguments: str) -> list[str]:
        """Return the command line of one of our programs, from this environment's own folder."""
        return self.wrap([str(Path(sys.executable).parent / program), *arguments])

    def show(self, program: str, *arguments: str) -> None:
        """Print the command and then its output; DemoError if it fails."""
        say(f"\n$ {shlex.join((program, *arguments))}")
        say(self._run(program, *arguments).rstrip("\n"))

    def quiet(self, program: str, *arguments: str, given: str = "") -> str:
        """Run a command, with `given` on its standard input, and return its output; DemoError if it fails."""
        return self._run(program, *arguments, given=given)

    def ask(self, program: str, *arguments: str) -> Any:  # noqa: ANN401 - JSON of three programs
        """Run a command with `-o json` and return what it says."""
        return json.loads(self._run(program, *arguments, "-o", "json"))

    def _run(self, program: str, *arguments: str, given: str = "") -> str:
        try:
            done = subprocess.run(
                self.command(program, *arguments),
                cwd=self.directory,
                env=self.environment(),
                input=given,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DemoError(f"{program} did not answer in {COMMAND_SECONDS} s") from error
        if done.returncode != 0:
            line = shlex.join((program, *arguments))
            raise DemoError(f"{line}\nended with status {done.returncode}:\n{done.stderr.strip()}")
        return done.stdout
