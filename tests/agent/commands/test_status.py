"""What `status` says of an identity that this machine may not use."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from keycensus_agent.commands import status


def told(directory: Path, capsys: pytest.CaptureFixture[str], **connection: object) -> str:
    (directory / "identity").mkdir(exist_ok=True)
    (directory / "identity" / "identity.json").write_text("{}")
    said = {"at_ms": 0, "ok": False, "clock_skew_ms": 0, **connection}
    (directory / "status.json").write_text(json.dumps({"connection": said}))
    arguments = argparse.Namespace(config=None, state_dir=str(directory), output="table")
    assert status.run(arguments) == 1
    printed = capsys.readouterr().out.splitlines()
    return next(line for line in printed if line.startswith("identity"))


def test_an_identity_of_another_machine_is_said_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "made on another machine: enrol this one with a token of its own"
    line = told(tmp_path, capsys, reason="other-machine", text=text)
    assert line.split(maxsplit=1)[1] == f"enrolled, but not usable (other-machine): {text}"


def test_an_identity_that_is_merely_out_of_reach_is_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(tmp_path, capsys, reason="unreachable", text="no route").endswith(" enrolled")


def watches(**figures: object) -> str:
    well = {"placed": 9, "budget": 100, "refused": 0, "refused_reasons": {}, "noisy": []}
    status_of = {**well, "overflows": 0, "restarts": 0, "trouble": "", **figures}
    looks = {"count": 0, "ended_ms": 0, "changes": 0, "cpu_seconds": 0.0}
    [(name, text)] = status._watches({"watches": status_of, "looks": looks})
    assert name == "watches"
    return text


def test_watches_are_told_with_everything_that_is_not_watched_and_why() -> None:
    assert status._watches({}) == []
    assert watches() == "9 directories of at most 100"
    assert watches(refused=3, refused_reasons={"ENOSPC": 2, "EACCES": 1}) == (
        "9 directories of at most 100; 3 not watched (EACCES 1, ENOSPC 2), seen by sweeps only"
    )
    assert "1 polled because they never rest" in watches(noisy=["/srv"])
    assert "2 overflows, 1 restarts" in watches(overflows=2, restarts=1)
    assert watches(trouble="EMFILE") == "none (EMFILE): only sweeps tell what changed"


def test_listeners_that_nobody_asks_are_told_with_where_they_are() -> None:
    assert status._unasked({"counters": {"files": 1}}) == []
    counters = {"networks-not-asked": 2, "listeners-not-asked": 3}
    unasked = [
        {"name": "container 0123456789ab", "listen": ["0.0.0.0:443", "[::]:443"]},
        {"name": "cell", "listen": ["127.0.0.1:8443"]},
    ]
    assert status._unasked({"counters": counters, "unasked": unasked}) == [
        (
            "not asked",
            "3 listeners in 2 other network namespaces; container 0123456789ab (0.0.0.0:443 [::]:443); cell (127.0.0.1:8443)",
        )
    ]
