"""What the agent says of itself, in one small file for `keycensus-agent status`.

A file, not a socket: reading it can't disturb the agent, and after a crash it still tells what was.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import structlog

from keycensus_agent import __version__
from keycensus_agent.reader.equipment import now_ms
from keycensus_agent.reader.progress import Progress, recall
from keycensus_agent.reader.report.reconcile import last_comparison
from keycensus_agent.reader.report.sync import Outcome
from keycensus_agent.reader.report.untaken import (
    count_refused,
    recall_long_artifacts,
    refused_rows,
)
from keycensus_agent.reader.service import Look, ReaderService, SweepResult
from keycensus_agent.reader.state_file import database_errors

if TYPE_CHECKING:
    # One sweep watches nothing, and need not load what it takes.
    from keycensus_agent.reader.watch.watching import Watching

FILE_NAME = "status.json"
SCHEMA_VERSION = 1
# Gaps that are listed by name; all are counted, and all are at the collector.
LISTED_GAPS = 100
# Network namespaces of others that are listed by name, and listeners of each; all are counted.
LISTED_NETWORKS = 20
LISTED_LISTENERS = 8
# Directories without a watch that are listed by name.
LISTED_REFUSED = 20
# The watchdog's thread writes, too, when the reader's can't.
_WRITING = Lock()

log = structlog.get_logger()


@dataclass(slots=True)
class StatusBoard:
    """Collects what happens and writes it out; keeps what an earlier process wrote."""

    service: ReaderService
    # Where the daemon looks by itself; None for one sweep.
    watching: Watching | None = None
    _status: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self._status = read_status(self.service.config.state.directory) or {}
        self._status |= {
            "version": __version__,
            "started_ms": now_ms(),
            "trouble": "",
            "waiting": None,
        }
        self._status["looks"] = {"ended_ms": 0, "count": 0, "changes": 0, "cpu_seconds": 0.0}
        self._status.pop("watches", None)
        self.service.watchdog.tell = self.waiting

    def swept(self, result: SweepResult) -> None:
        """Note how a sweep ended."""
        gaps = result.coverage.gaps
        self._status["trouble"] = ""
        self._status["last_sweep"] = {
            "ended_ms": now_ms(),
            "complete": result.complete,
            "seconds": round(result.seconds, 3),
            "cpu_seconds": round(result.cpu_seconds, 3),
            "changes": result.changes,
            "counters": result.coverage.counters,
            "gaps": [
                {
                    "prefix": gap.prefix.decode("utf-8", "backslashreplace"),
                    "reason": gap.reason,
                    "detail": gap.detail,
                }
                for gap in gaps[:LISTED_GAPS]
            ],
            "gap_count": len(gaps),
            "unasked": [
                {"name": each.name, "listen": each.listen[:LISTED_LISTENERS]}
                for each in result.unasked[:LISTED_NETWORKS]
            ],
        }

    def looked(self, look: Look) -> None:
        """Note a look at parts of the disk, since the agent started."""
        before = self._status["looks"]
        self._status["looks"] = {
            "ended_ms": now_ms(),
            "count": before["count"] + 1,
            "changes": before["changes"] + look.changes,
            "cpu_seconds": round(before["cpu_seconds"] + look.cpu_seconds, 3),
        }

    def talked(self, outcome: Outcome) -> None:
        """Note how a conversation ended."""
        self._status["connection"] = {
            "at_ms": now_ms(),
            "ok": outcome.ok,
            "reason": outcome.reason,
            "text": outcome.text,
            "clock_skew_ms": outcome.skew_ms,
        }

    def trouble(self, text: str) -> None:
        """Note what keeps the agent from its work."""
        self._status["trouble"] = text

    def waiting(self, path: bytes, seconds: float) -> None:
        """Write at once where the reader waits for the disk, or (empty) that it does no more.

        From another thread: it touches nothing but the file.
        """
        shown = path.decode("utf-8", "backslashreplace")
        waits = {"path": shown, "seconds": round(seconds)} if path else None
        if waits is None:
            log.info("the disk answers again")
        else:
            log.warning("a path does not answer", **waits)
        self._status["waiting"] = waits
        write_status(self.service.config.state.directory, {**self._status})

    def write(self) -> None:
        """Write the file, with what waits in the outbox now."""
        service = self.service
        self._status["written_ms"] = now_ms()
        with database_errors():
            self._status["outbox"] = {
                "items": service.outbox.count(),
                "bytes": service.outbox.size_bytes(),
                "dropped": service.state.get_number("outbox_dropped"),
                "unlisted": service.state.get_number("outbox_unlisted"),
                "refused": count_refused(service.state),
                "refused_rows": refused_rows(service.state),
                "not_supplied": service.state.get_number("not_supplied"),
            }
            self._status["sweep_under_way"] = _under_way(recall(service.state))
            self._status["too_long"] = recall_long_artifacts(service.state)
            self._status["reconciliation"] = last_comparison(service.state)
        if self.watching is not None:
            self._status["watches"] = watch_figures(self.watching)
        self._status["isolation"] = {**service.enforced}
        write_status(service.config.state.directory, self._status)


def _under_way(progress: Progress | None) -> dict[str, Any] | None:
    """Return how far a sweep has come that did not end yet; None if there is none."""
    if progress is None:
        return None
    return {
        "at": progress.path.decode("utf-8", "backslashreplace"),
        "saved_ms": progress.saved_ms,
        "directories": progress.directories,
        "files": progress.files,
    }


def watch_figures(watching: Watching) -> dict[str, Any]:
    """Return what is watched and what is not, and how often that went wrong."""
    refused = watching.refused
    return {
        "placed": len(watching.watched),
        "budget": watching.budget,
        "refused": len(refused),
        "refused_reasons": dict(Counter(refused.values())),
        "refused_paths": [
            path.decode("utf-8", "backslashreplace") for path in sorted(refused)[:LISTED_REFUSED]
        ],
        "noisy": [path.decode("utf-8", "backslashreplace") for path in watching.agenda.noisy],
        "overflows": watching.overflows,
        "restarts": watching.restarts,
        "trouble": watching.trouble,
    }


def write_status(directory: Path, status: dict[str, Any]) -> None:
    """Replace the file atomically. A full disk is no reason to stop: then the old one stays."""
    fresh = directory / f"{FILE_NAME}.new"
    with suppress(OSError), _WRITING:
        _replace(directory, fresh, status)


def _replace(directory: Path, fresh: Path, status: dict[str, Any]) -> None:
    try:
        descriptor = os.open(
            fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({**status, "schema_version": SCHEMA_VERSION}, file, indent=1, sort_keys=True)
        fresh.replace(directory / FILE_NAME)
    except OSError:
        fresh.unlink()


def read_status(directory: Path) -> dict[str, Any] | None:
    """Return what was last written, None if there is nothing that can be read."""
    try:
        status = json.loads((directory / FILE_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) else None
