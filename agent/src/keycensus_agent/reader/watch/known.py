"""Gather from the state what the choice of watches is made from. Runs in the reader."""

from __future__ import annotations

from collections.abc import Iterable

from keycensus_agent.reader.convert import place_of
from keycensus_agent.reader.discovery.mounts import parent_of
from keycensus_agent.reader.memory import order_key
from keycensus_agent.reader.state import State
from keycensus_agent.reader.watch.choice import (
    DEEPEST_BELOW,
    KNOWN_PLACES,
    MOST_BELOW,
    MOST_WATCHES,
    Known,
)


def gather(state: State, recent: Iterable[bytes]) -> Known:
    """Return what is known now; `recent` are directories that appeared, the newest last."""
    connection = state.connection
    findings = connection.execute(
        "SELECT DISTINCT directory FROM place ORDER BY directory LIMIT ?", (MOST_WATCHES,)
    ).fetchall()
    links = connection.execute(
        "SELECT row FROM place WHERE is_link = 1 LIMIT ?", (MOST_WATCHES,)
    ).fetchall()
    targets = dict.fromkeys(parent_of(place_of(row).target) for (row,) in links)
    return Known(
        findings=tuple(path for (path,) in findings),
        targets=tuple(targets),
        places=KNOWN_PLACES,
        below=tuple(path for place in KNOWN_PLACES for path in _below(state, place)),
        recent=tuple(recent),
    )


def _below(state: State, place: bytes) -> Iterable[bytes]:
    """Yield directories that were listed below a known place, down to a depth."""
    key = order_key(place)
    deepest = key.count(b"\0") + DEEPEST_BELOW
    rows = state.connection.execute(
        "SELECT path FROM directory WHERE path > ? AND path < ? LIMIT ?",
        (key + b"\0", key + b"\x01", MOST_BELOW),
    ).fetchall()
    for (below,) in rows:
        if below.count(b"\0") <= deepest:
            yield b"/" + below.replace(b"\0", b"/")
