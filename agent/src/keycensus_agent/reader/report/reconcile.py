"""Reconciliation, the agent's half: what it holds of each class, as one hash and as a list.

Once a day, and on suspicion, the sides compare digests (protos/README.md, section 7); where they
differ the collector asks for the list. Both are over the rows as this host has them, whatever the
collector said of them: what it refused is so tried again once a day. Runs in the reader.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from keycensus_agent.model import RowClass
from keycensus_agent.reader.report import convert
from keycensus_agent.reader.report.outbox import HOST_KEY
from keycensus_agent.reader.report.rebuilding import TABLES
from keycensus_agent.reader.state import State

DAY_MS = 86_400_000
# Between two comparisons: a day, this much more or less, so that a fleet spreads.
_SPREAD = 0.1
# Rows in one piece of a listing: 280 KB, well below a message of 1 MiB.
LISTING_ROWS = 4096
# Classes that this agent keeps rows of. Of others it would say nothing: an empty list would mean that
# there are none.
KEPT_CLASSES = (*TABLES, RowClass.HOST)

_DUE = "digest_due_ms"
_LAST = "reconciliation"


def is_due(state: State, now_ms: int) -> bool:
    """Whether it is time to compare; a clock that was set back does not put it off for long."""
    due = state.get_number(_DUE)
    return now_ms >= due or due - now_ms > 2 * DAY_MS


def suspect(state: State) -> None:
    """Compare in the next conversation: something happened that the daily one is too late for."""
    state.put_number(_DUE, 0)


def note_comparison(state: State, now_ms: int, fraction: float, **result: object) -> None:
    """Keep when and with what result the sides compared; `fraction`, 0 to 1, spreads the next."""
    spread = int(DAY_MS * _SPREAD * (2 * fraction - 1))
    state.put_number(_DUE, now_ms + DAY_MS + spread)
    state.put(_LAST, json.dumps({"at_ms": now_ms, **result}, sort_keys=True).encode())


def last_comparison(state: State) -> dict[str, Any] | None:
    """Return what `note_comparison` kept, for `status`; None if there was none yet."""
    stored = state.get(_LAST)
    return json.loads(stored) if stored else None


def encode_digest(state: State, row_class: RowClass, host_facts: bytes) -> bytes:
    """Return the encoded request: SHA-256 over the sorted (key, row hash) pairs of a class."""
    sha256, count = hashlib.sha256(), 0
    for key, row_hash in rows_of(state, row_class, host_facts):
        sha256.update(key)
        sha256.update(row_hash)
        count += 1
    return convert.encode_digest(row_class, count, sha256.digest())


def listing_pieces(
    state: State, row_class: RowClass, host_facts: bytes, *, whole: bool
) -> Iterator[bytes]:
    """Yield the encoded requests that list a class; `whole`: what they lack is not there."""
    complete = whole and row_class in TABLES
    piece: list[tuple[bytes, bytes]] = []
    for row in rows_of(state, row_class, host_facts):
        if len(piece) == LISTING_ROWS:
            yield convert.encode_listing(row_class, piece, more=True, complete=complete)
            piece = []
        piece.append(row)
    yield convert.encode_listing(row_class, piece, more=False, complete=complete)


def rows_of(state: State, row_class: RowClass, host_facts: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (key, row hash) of a class, sorted by key."""
    if row_class is RowClass.HOST:
        yield HOST_KEY, hashlib.sha256(host_facts).digest()
    elif row_class in TABLES:
        yield from state.connection.execute(
            f"SELECT key, row_hash FROM {TABLES[row_class]} ORDER BY key"  # noqa: S608 - our names
        )
