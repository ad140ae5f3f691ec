"""What was seen once and is not there to be looked at: mounts, and roots that are not swept any more.

Each is a gap: the places below it stay as they were last known. Runs in the reader.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from keycensus_agent.model import Gap
from keycensus_agent.reader.discovery.mounts import MountTable
from keycensus_agent.reader.findings import FORMER_ROOT, Findings
from keycensus_agent.reader.state import State


def former_roots(state: State, findings: Findings, roots: list[bytes]) -> Iterator[Gap]:
    """Yield a gap for each root that was swept once, has places, and is asked for no more."""
    former = json.loads(state.get("roots", b"[]"))
    current = [root.rstrip(b"/") for root in roots]
    kept = {base64.b64encode(root).decode() for root in roots}
    for encoded in former:
        root = base64.b64decode(encoded).rstrip(b"/")
        inside = any((root + b"/").startswith(now + b"/") for now in current)
        if not inside and findings.any_below(root):
            kept.add(encoded)
            yield Gap(root or b"/", "excluded", FORMER_ROOT)
    state.put("roots", json.dumps(sorted(kept)).encode())


def absent_mounts(state: State, mounts: MountTable) -> Iterator[Gap]:
    """Yield a gap for each mount that places were seen on and that is not there, or covered."""
    for key, fs_type, source, point in state.connection.execute(
        "SELECT key, type, source, mount_point FROM mount"
        " WHERE key IN (SELECT DISTINCT mount FROM place)"
    ).fetchall():
        here = mounts.at(point)
        if here.key != key:
            yield Gap(point, "unmounted", f"{fs_type} {_text(source)}")
    for point in mounts.points:
        here = mounts.at(point)
        if _covers_places(state, point, here.key):
            yield Gap(point, "unmounted", f"covered by {here.type} {_text(here.source)}")


def _covers_places(state: State, point: bytes, key: bytes) -> bool:
    row = state.connection.execute(
        "SELECT 1 FROM place JOIN mount ON mount.key = place.mount"
        " WHERE place.path > ? AND place.path < ? AND place.mount != ?"
        " AND length(mount.mount_point) < ? LIMIT 1",
        (point + b"/", point + b"0", key, len(point)),
    ).fetchone()
    return row is not None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
