"""How far a sweep has come, so that after a restart it goes on instead of starting over.

At a tenth of a core the first sweep of a large disk takes hours; a machine that is restarted every night
would never see the end of it. Saved with what was stored: everything up to `path`, in the order of the
walk, is in the state. Runs in the reader.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field

from keycensus_agent.model import Coverage, Gap
from keycensus_agent.reader.memory import order_key
from keycensus_agent.reader.state import State

_NAME = "sweep_progress"
# Later than this the beginning is too old to be called seen in the same sweep.
LONGEST_MS = 24 * 3600 * 1000
# With more gaps than this a sweep starts over: they would be written again and again.
_MOST_GAPS = 2000


@dataclass(frozen=True, slots=True)
class Progress:
    """`rules`: a hash of what is searched and how; another one, and the sweep starts over."""

    rules: str
    path: bytes
    saved_ms: int
    directories: int
    files: int
    counters: dict[str, int] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()

    def is_done(self, directory: bytes) -> bool:
        """Whether a directory was looked at."""
        return order_key(directory) <= order_key(self.path)

    def leads_on(self, directory: bytes) -> bool:
        """Whether a directory, or something below it, was not looked at."""
        key, reached = order_key(directory), order_key(self.path)
        return key >= reached or reached.startswith(key + b"\0")

    def restore(self, coverage: Coverage) -> None:
        """Put into `coverage` what was counted and could not be seen so far."""
        coverage.gaps.extend(self.gaps)
        for name, count in self.counters.items():
            coverage.count(name, count)


def save(state: State, progress: Progress) -> None:
    """Store how far a sweep has come; inside a transaction or alone."""
    if len(progress.gaps) > _MOST_GAPS:
        forget(state)
        return
    document = {
        "rules": progress.rules,
        "path": _text(progress.path),
        "saved_ms": progress.saved_ms,
        "directories": progress.directories,
        "files": progress.files,
        "counters": progress.counters,
        "gaps": [[_text(gap.prefix), gap.reason, gap.detail] for gap in progress.gaps],
    }
    state.put(_NAME, json.dumps(document).encode())


def forget(state: State) -> None:
    """Note that no sweep is to be gone on with."""
    state.put(_NAME, b"{}")


def recall(state: State) -> Progress | None:
    """Return how far a sweep had come that did not end; None if there is none."""
    document = json.loads(state.get(_NAME, b"{}"))
    try:
        return Progress(
            rules=str(document["rules"]),
            path=base64.b64decode(document["path"]),
            saved_ms=int(document["saved_ms"]),
            directories=int(document["directories"]),
            files=int(document["files"]),
            counters={str(name): int(count) for name, count in document["counters"].items()},
            gaps=tuple(
                Gap(base64.b64decode(prefix), str(reason), str(detail))
                for prefix, reason, detail in document["gaps"]
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
        return None


def resumable(state: State, rules: str, now_ms: int) -> Progress | None:
    """Return what to go on with, if it is of the same rules and not too old."""
    progress = recall(state)
    if progress is None or progress.rules != rules:
        return None
    return progress if 0 <= now_ms - progress.saved_ms <= LONGEST_MS else None


def _text(path: bytes) -> str:
    return base64.b64encode(path).decode()
