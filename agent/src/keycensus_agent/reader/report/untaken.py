"""What of this host the collector has not: rows that it refused, artifacts too long to be sent.

For `status` and the counters; each with its place, since nothing is left out in silence. Runs in the
reader.
"""

from __future__ import annotations

import json
from typing import Any

from keycensus_agent.model import BlobKind
from keycensus_agent.reader.convert import blobs_named, gap_of, long_artifacts, usage_of
from keycensus_agent.reader.state import State

# Shown by name; all are counted.
LISTED = 100
_KEY = "over_cap"


def count_refused(state: State) -> int:
    """Return how many rows the collector will not take."""
    (count,) = state.connection.execute("SELECT count(*) FROM refused").fetchone()
    return int(count)


def refused_rows(state: State) -> list[dict[str, str]]:
    """Return rows that the collector will not take, with path and reason."""
    rows = state.connection.execute(
        "SELECT coalesce(p.path, t.path) AS path, g.row, u.row, r.reason FROM refused AS r"
        " LEFT JOIN place AS p ON r.class = 1 AND p.key = r.key"
        " LEFT JOIN tree AS t ON r.class = 1 AND t.key = r.key"
        " LEFT JOIN usage AS u ON r.class = 2 AND u.key = r.key"
        " LEFT JOIN gap AS g ON r.class = 3 AND g.key = r.key"
        " ORDER BY path, r.key LIMIT ?",
        (LISTED,),
    )
    return [
        {"path": _text(path or _path_of(gap, usage)), "reason": reason}
        for path, gap, usage, reason in rows
    ]


def _path_of(gap: bytes | None, usage: bytes | None) -> bytes:
    if gap is not None:
        return gap_of(gap).prefix
    return b"" if usage is None else usage_of(usage).configuration


def remember_long_artifacts(state: State) -> int:
    """Look for artifacts that are too long to be sent and store where they are; how many.

    In a transaction. Reads every manifest, so only when something changed.
    """
    connection = state.connection
    long: dict[bytes, list[tuple[str, bytes, int]]] = {}
    wholes: dict[bytes, list[bytes]] = {}
    for digest, data in connection.execute(
        "SELECT hash, data FROM blob WHERE kind = ?", (BlobKind.MANIFEST.value,)
    ):
        if found := long_artifacts(data):
            long[digest] = found
        for part in blobs_named(data)[0]:
            wholes.setdefault(part, []).append(digest)
    found_at = [
        {"path": _text(path), "kind": kind, "sha256": artifact.hex(), "size": size}
        for digest, artifacts in sorted(long.items())
        for manifest in (digest, *wholes.get(digest, ()))
        for (path,) in connection.execute(
            "SELECT path FROM place WHERE manifest = ? ORDER BY path", (manifest,)
        )
        for kind, artifact, size in artifacts
    ]
    document = {"count": len(found_at), "listed": found_at[:LISTED]}
    state.put(_KEY, json.dumps(document, sort_keys=True).encode())
    return len(found_at)


def recall_long_artifacts(state: State) -> dict[str, Any]:
    """Return what `remember_long_artifacts` stored: `count`, and `listed` with path and size."""
    stored: dict[str, Any] = json.loads(state.get(_KEY) or b'{"count": 0, "listed": []}')
    return stored


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
