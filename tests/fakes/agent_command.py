"""Run `keycensus-agent` inside the test, as the console script does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from keycensus_agent.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command left: exit status and what it printed."""

    status: int
    out: str
    err: str


class AgentCommand:
    """Runs commands; `capsys` of the test takes what they print."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str | Path) -> Ran:
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as left:
            status = int(left.code or 0)
        printed = self._capsys.readouterr()
        return Ran(status, printed.out, printed.err)
