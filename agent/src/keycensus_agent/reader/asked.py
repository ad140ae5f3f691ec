"""When each usage's listeners were asked last, and which are due. Runs in the reader; keeps to the state.

A usage is due at its interval; some seconds after what stands at its places has changed, so that a
renewal's own reload is waited for; and sooner than else while something other than the disk's is served.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from keycensus_agent.reader.state import State

_NAME = "asked"
# Beyond this many the oldest are forgotten, and asked again.
_KEPT = 10_000
# After a change: the time that a tool takes from writing a certificate to reloading its service.
SETTLE_MS = 30_000
# While what is served is not what the disk has: at first, then twice as long each time.
IMPATIENT_MS = 60_000


@dataclass(slots=True)
class Asked:
    """The memory of one host; `patient` false asks at once (a run that does not come back soon)."""

    state: State
    interval_ms: int
    patient: bool = True
    # When it was asked, what stood at its places, and how often in a row something else was served.
    _entries: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    _changed_at: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stored = json.loads(self.state.get(_NAME) or b"{}")
        self._entries = {
            key: (int(at), str(mark), int(bad)) for key, (at, mark, bad) in stored.items()
        }

    def due_in_ms(self, key: str, fingerprint: str, now_ms: int) -> int:
        """Return after how long a usage is to be asked; 0: now."""
        entry = self._entries.get(key)
        if entry is None or entry[0] > now_ms:
            return 0
        at_ms, before, bad = entry
        if fingerprint != before:
            since = self._changed_at.setdefault(key, now_ms)
            return max(0, since + SETTLE_MS - now_ms) if self.patient else 0
        self._changed_at.pop(key, None)
        wait = min(self.interval_ms, IMPATIENT_MS << min(bad - 1, 16)) if bad else self.interval_ms
        return max(0, at_ms + wait - now_ms)

    def age(self, key: str) -> int:
        """Return a number that sorts those first that were never asked, or longest ago."""
        return self._entries.get(key, (0, "", 0))[0]

    def note(self, key: str, fingerprint: str, now_ms: int, *, fine: bool) -> None:
        """Keep that a usage was asked."""
        self._changed_at.pop(key, None)
        bad = 0 if fine else self._entries.get(key, (0, "", 0))[2] + 1
        self._entries[key] = (now_ms, fingerprint, bad)

    def save(self, present: set[str]) -> None:
        """Store what was noted of usages that there still are."""
        kept = sorted(
            ((key, entry) for key, entry in self._entries.items() if key in present),
            key=lambda item: -item[1][0],
        )[:_KEPT]
        self._entries = dict(kept)
        self.state.put(_NAME, json.dumps(self._entries, sort_keys=True).encode())
