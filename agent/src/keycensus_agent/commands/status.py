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

# How a conversation ends that says that this machine's identity is of no use as it is.
_UNUSABLE = frozenset(
    {"other-machine", "expired", "banned", "cloned", "unknown", "rekeyed", "not-enrolled"}
)


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
            _identity(status),
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
        lines += _unasked(sweep)
    else:
        lines.append(("last sweep", "none yet"))
    under_way = status.get("sweep_under_way")
    if under_way:
        reached = f"{_ago(under_way['saved_ms'])} ago at {under_way['at']}"
        seen = f"{under_way['directories']} directories, {under_way['files']} files seen"
        lines.append(("under way", f"a sweep, {reached}, {seen}"))
    lines += _watches(status)
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
        lines += _untaken(outbox, status.get("too_long") or {})
    connection = status.get("connection")
    if connection:
        what = "ok" if connection["ok"] else f"{connection['reason']}: {connection['text']}"
        lines.append(("collector", f"{_ago(connection['at_ms'])} ago, {what}"))
        lines.append(("clock", f"{connection['clock_skew_ms'] / 1000:+.1f} s to the collector's"))
    comparison = status.get("reconciliation")
    if comparison:
        lines.append(("compared", _comparison(comparison)))
    lines += _isolation(status.get("isolation", {}))
    waiting = status.get("waiting")
    if waiting:
        text = f"{waiting['seconds']} s and longer for an answer of the disk at {waiting['path']}"
        lines.append(("waiting", text))
    if status.get("trouble"):
        lines.append(("trouble", status["trouble"]))
    return lines


def _identity(status: dict[str, Any]) -> str:
    """Say whether this machine has an identity that it may use, and if not, what to do."""
    if not status["enrolled"]:
        return "not enrolled: keycensus-agent enrol --collector HOST:PORT --token-file FILE"
    connection = status.get("connection") or {}
    if connection.get("reason") in _UNUSABLE:
        return f"enrolled, but not usable ({connection['reason']}): {connection['text']}"
    return "enrolled"


def _watches(status: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what is watched, what is not and why, and what looks at it have come to."""
    watches = status.get("watches")
    if not watches:
        return []
    if watches["trouble"]:
        return [("watches", f"none ({watches['trouble']}): only sweeps tell what changed")]
    text = f"{watches['placed']} directories of at most {watches['budget']}"
    if watches["refused"]:
        reasons = ", ".join(f"{name} {n}" for name, n in sorted(watches["refused_reasons"].items()))
        text += f"; {watches['refused']} not watched ({reasons}), seen by sweeps only"
    if watches["noisy"]:
        text += f"; {len(watches['noisy'])} polled because they never rest"
    if watches["overflows"] or watches["restarts"]:
        text += f"; {watches['overflows']} overflows, {watches['restarts']} restarts"
    looks = status["looks"]
    lines = [("watches", text)]
    if looks["count"]:
        last = f"the last {_ago(looks['ended_ms'])} ago"
        cost = f"{looks['changes']} changes, {looks['cpu_seconds']} s CPU"
        lines.append(("looks", f"{looks['count']} because of what was heard, {last}, {cost}"))
    return lines


def _isolation(processes: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what the kernel held each process by when it was last seen."""
    if not processes:
        return []
    names = ("reader", "parser", "link")
    lines = [f"{name}: {described(processes.get(name))}" for name in names]
    return [("isolation" if line == lines[0] else "", line) for line in lines]


def _untaken(outbox: dict[str, Any], too_long: dict[str, Any]) -> list[tuple[str, str]]:
    """Say what of this host the collector has not, and where it is."""
    lines = [("refused", f"{row['path']}: {row['reason']}") for row in outbox["refused_rows"][:5]]
    lines += [
        ("too long", f"{item['path']}: {item['kind']} of {item['size']} bytes, named but not sent")
        for item in too_long.get("listed", [])[:5]
    ]
    if outbox["not_supplied"]:
        text = f"{outbox['not_supplied']} times a wanted certificate or key was not here any more"
        lines.append(("not supplied", text))
    if outbox["unlisted"]:
        text = f"{outbox['unlisted']} changes did not fit and were listed anew from the difference"
        lines.append(("unlisted", text))
    return lines


def _comparison(comparison: dict[str, Any]) -> str:
    ago = f"{_ago(comparison['at_ms'])} ago with the collector, "
    if not comparison["differing"]:
        return f"{ago}nothing differed"
    return (
        f"{ago}{comparison['differing']} lists differed, {comparison['sent_again']} rows were sent"
        f" again, {comparison['removed']} removed there"
    )


def _coverage(sweep: dict[str, Any]) -> str:
    counters = sweep["counters"]
    text = f"{counters.get('files', 0)} files, {sweep['gap_count']} gaps"
    for gap in sweep["gaps"][:5]:
        text += f"; {gap['prefix']} ({gap['reason']} {gap['detail']})".replace(" )", ")")
    return text


def _unasked(sweep: dict[str, Any]) -> list[tuple[str, str]]:
    """Say who listens in network namespaces of their own, where nobody is asked what it presents."""
    counters = sweep["counters"]
    networks = counters.get("networks-not-asked", 0)
    if not networks:
        return []
    text = f"{counters['listeners-not-asked']} listeners in {networks} other network namespaces"
    for each in sweep["unasked"][:5]:
        text += f"; {each['name']} ({' '.join(each['listen'])})"
    return [("not asked", text)]


def _ago(at_ms: int) -> str:
    seconds = max(0, int(time.time() - at_ms / 1000))
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} days"
