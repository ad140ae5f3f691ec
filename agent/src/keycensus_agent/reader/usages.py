"""The usages of this host as the reader knows them, and what changes about them.

A change is stored with the row itself, so that after a crash either both are there or neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace

from keycensus_agent.model import Blob, Cause, RowClass
from keycensus_agent.reader.convert import encode_usage, usage_of
from keycensus_agent.reader.report.convert import Change
from keycensus_agent.reader.report.outbox import Outbox
from keycensus_agent.reader.state import State
from keycensus_agent.usage import Handshake, Usage, by_weight, usage_key

# An answer that stays the same is reported again after this long, so that its age is known.
REFRESH_MS = 86_400_000


class Usages:
    """The `usage` table, and the outbox beside it."""

    def __init__(self, state: State, outbox: Outbox, now_ms: Callable[[], int]) -> None:
        self._state = state
        self._outbox = outbox
        self._now_ms = now_ms

    def known(self) -> dict[bytes, Usage]:
        """Return what is stored, by the binding."""
        rows = self._state.connection.execute("SELECT row FROM usage ORDER BY key")
        return {usage.binding: usage for usage in (usage_of(row) for (row,) in rows)}

    def settle(self, usages: Iterable[Usage], blobs: Iterable[Blob] = ()) -> int:
        """Store all usages as they are now, and lose those that are not among them; how many changed."""
        current: dict[bytes, bytes] = {}
        manifests: dict[bytes, bytes] = {}
        for usage in usages:
            key = usage_key(usage.binding)
            current[key] = encode_usage(usage)
            manifests[key] = usage.manifest
        changed = 0
        with self._state.transaction() as connection:
            stored = dict(connection.execute("SELECT key, row FROM usage").fetchall())
            connection.executemany(
                "INSERT OR IGNORE INTO blob VALUES (?, ?, ?)",
                [(blob.hash, blob.kind.value, blob.data) for blob in blobs],
            )
            cause = Cause.CONTENT if self._state.complete else Cause.FIRST
            now_ms = self._now_ms()
            for key, row in current.items():
                if stored.get(key) == row:
                    continue
                connection.execute(
                    "INSERT OR REPLACE INTO usage VALUES (?, ?, ?, ?)",
                    (key, row, hashlib.sha256(row).digest(), manifests[key]),
                )
                self._outbox.add(Change(RowClass.USAGE, key, row, cause, now_ms))
                changed += 1
            for key in stored.keys() - current.keys():
                connection.execute("DELETE FROM usage WHERE key = ?", (key,))
                self._outbox.add(
                    Change(RowClass.USAGE, key, None, cause, now_ms, gone_reason="removed")
                )
                changed += 1
        return changed


def with_answers(usage: Usage, answers: Iterable[Handshake], before: Usage | None) -> Usage:
    """Return a usage with what its listeners presented.

    An answer that is as the last one keeps its time, unless that is a day old.
    """
    earlier = {each.says: each for each in (before.handshakes if before else ())}
    kept = []
    for answer in answers:
        known = earlier.get(answer.says)
        same = known is not None and 0 <= answer.at_ms - known.at_ms < REFRESH_MS
        kept.append(known if known is not None and same else answer)
    return replace(usage, handshakes=by_weight(kept))
