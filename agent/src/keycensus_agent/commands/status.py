"""`keycensus-agent status`: what the running agent last said of itself, and whether it still runs."""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from keycensus_agent.config import load_config
from keycensus_agent.errors import UsageError
from keycensus_agent.isolation.evidence import described
from keycensus_agent.reader.status_file import read_status
from keycensus_agent.text import safe_path, safe_text


def run(arguments: argparse.Namespace) -> int:
    """Run the command; returns 0 if the agent runs and its last report went through, else 1."""
    config = load_config(
        Path(arguments.config) if arguments.config else None,
        state_directory=Path(arguments.state_dir) if arguments.state_dir else None,
    )
    status = read_status(config.state.directory) or {}
    lock = config.state_database.with_suffix(".lock")
    status["running"] = _is_held(lock)
    status["enrolled"] = _is_enrolled(config.identity_directory)
    healthy = status["running"] and status.get("connection", {}).get("ok", False)
    if arguments.output == "json":
        print(json.dumps(status, indent=1, sort_keys=True))
    else:
        for name, value in _lines(status):
            print(f"{name:<14} {safe_text(value)}")
    return 0 if healthy else 1


def _is_enrolled(identity: Path) -> bool:
    try:
        return (identity / "identity.json").exists()
    except PermissionError as error:
        raise UsageError(
            f"user {os.geteuid()} may not look into {safe_path(os.fsencode(identity))}: run "
            "`keycensus-agent status` as root"
        ) from error


def _is_held(lock: Path) -> bool:
    """Whether an agent holds the state: its lock can't be had."""
    import fcntl

    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _lines(status: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [
        ("agent", "running" if status["running"] else "not running"),
        (
            "identity",
            "enrolled"
            if status["enrolled"]
            else "not enrolled: keycensus-agent enrol --collector HOST:PORT --token-file FILE",
        ),
    ]
    sweep = status.get("last_sweep")
    if sweep:
        whole = "complete" if sweep["complete"] else "broken off"
        lines.append(
            (
                "last sweep",
                (
                    f"{_ago(sweep['ended_ms'])} ago, {whole}, {sweep['seconds']} s, "
                    f"{sweep['cpu_seconds']} s CPU, {sweep['changes']} changes"
                ),
            )
        )
        lines.append(("coverage", _coverage(sweep)))
    else:
        lines.append(("last sweep", "none yet"))
    outbox = status.get("outbox")
    if outbox:
        lines.append(
            (
                "outbox",
                (
                    f"{outbox['items']} changes, {outbox['bytes']} bytes waiting; "
                    f"{outbox['dropped']} dropped, {outbox['refused']} refused by the collector"
                ),
            )
        )
    connection = status.get("connection")
    if connection:
        what = "ok" if connection["ok"] else f"{connection['reason']}: {connection['text']}"
        lines.append(("collector", f"{_ago(connection['at_ms'])} ago, {what}"))
        lines.append(("clock", f"{connection['clock_skew_ms'] / 1000:+.1f} s to the collector's"))
    lines += _isolation(status.get("isolation", {}))
    if status.get("trouble"):
        lines.append(("trouble", status["trouble"]))
    return lines


def _isolation(processes: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what the kernel held each process by when it was last seen."""
    if not processes:
        return []
    names = ("reader", "parser", "link")
    lines = [f"{name}: {described(processes.get(name))}" for name in names]
    return [("isolation" if line == lines[0] else "", line) for line in lines]


def _coverage(sweep: dict[str, Any]) -> str:
    counters = sweep["counters"]
    text = f"{counters.get('files', 0)} files, {sweep['gap_count']} gaps"
    for gap in sweep["gaps"][:5]:
        text += f"; {gap['prefix']} ({gap['reason']} {gap['detail']})".replace(" )", ")")
    return text


def _ago(at_ms: int) -> str:
    seconds = max(0, int(time.time() - at_ms / 1000))
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} days"
