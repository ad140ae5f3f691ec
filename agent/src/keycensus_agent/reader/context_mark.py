"""Whether configurations can say something else than when they were read last. Runs in the reader.

By the digests that the sweep keeps of directories: each is over what lstat says of the names in one, so
a written, moved or removed configuration shows. Time counts too: what is due is overdue later.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from keycensus_agent import __version__
from keycensus_agent.reader.memory import order_key
from keycensus_agent.reader.state import State

_NAME = "configurations"
# Grows when the readers of configurations learn to see more.
_EPOCH = 1
# Then they are read again in any case: a configuration may be somewhere else altogether.
_AGE_MS = 6 * 3_600_000
_ALWAYS_THERE = b"/etc"


@dataclass(frozen=True, slots=True)
class ContextMark:
    """Kept in the state; `directories` are those that configurations are in or below, each ending in /."""

    state: State
    directories: tuple[bytes, ...]
    # What else decides what is stored of them.
    settings: str = ""

    def stands(self, now_ms: int) -> bool:
        """Whether nothing has changed since `keep`, and that was not long ago."""
        kept = json.loads(self.state.get(_NAME) or b"{}")
        age = now_ms - int(kept.get("at_ms", 0))
        return 0 <= age < _AGE_MS and kept.get("mark") == self._mark() != ""

    def keep(self, now_ms: int) -> None:
        """Note that configurations were read now."""
        kept = {"at_ms": now_ms, "mark": self._mark()}
        self.state.put(_NAME, json.dumps(kept, sort_keys=True).encode())

    def _mark(self) -> str:
        """Return a digest over the digests; empty where the sweep does not see configurations."""
        sha256, found = hashlib.sha256(), False
        sha256.update(f"{_EPOCH} {__version__} {self.settings}".encode())
        for path, digest in self._digests():
            found = found or path == order_key(_ALWAYS_THERE)
            sha256.update(path + b"/" + digest)
        return sha256.hexdigest() if found else ""

    def _digests(self) -> Iterable[tuple[bytes, bytes]]:
        for directory in self.directories:
            first = order_key(directory[:-1])
            yield from self.state.connection.execute(
                "SELECT path, digest FROM directory WHERE path = ?1 OR (path > ?2 AND path < ?3)"
                " ORDER BY path",
                (first, first + b"\0", first + b"\1"),
            )
