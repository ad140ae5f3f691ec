"""Divide the disk between the reader and its scout, by what the last sweep saw.

The weight of a tree is the size of its remembered listings, which grows with its files, and something
for each directory, which costs as much to enter and leave as a few files.
"""

from __future__ import annotations

import base64
import json
import sqlite3

from keycensus_agent.reader.state import State

# Trees of less than this part of the whole are not divided further.
_FINENESS = 16
# What a directory weighs beside its names: opening, listing, closing it (measured, against files).
_DIRECTORY_BYTES = 256
# The scout gets so much more of the whole than the reader, which also compares what both of them saw.
_SCOUTS_MORE = 8
# When one listing of so many is another one, the disk is divided again.
_DRIFT = 64
# A tree so small is listed before a second process has started.
_WORTH_BYTES = 512 * 1024


def remember_division(state: State, changed: int) -> None:
    """Work out which trees the scout takes next time and store them; in a transaction.

    `changed` listings are other ones since last time; a few of them do not matter, until they add up.
    """
    changed += state.get_number("division_drift")
    (known,) = state.connection.execute("SELECT count(*) FROM directory").fetchone()
    if changed * _DRIFT > known:
        paths = [base64.b64encode(path).decode() for path in _divide(state.connection)]
        state.put("scout_roots", json.dumps(paths).encode())
        changed = 0
    state.put_number("division_drift", changed)


def recall_division(state: State) -> tuple[bytes, ...]:
    """Return the scout's trees as canonical paths; none if there is nothing to divide."""
    return tuple(base64.b64decode(path) for path in json.loads(state.get("scout_roots", b"[]")))


def _divide(connection: sqlite3.Connection) -> list[bytes]:
    whole = _weight(connection, b"")
    if whole < _WORTH_BYTES:
        return []
    pieces = [(whole, b"")]
    settled: list[tuple[int, bytes]] = []
    while pieces:
        pieces.sort()
        weight, key = pieces.pop()
        children = _children(connection, key) if weight > whole // _FINENESS else []
        if children:
            pieces += [(_weight(connection, child), child) for child in children]
        else:
            settled.append((weight, key))
    ours, scouts = 0, 0
    taken: list[bytes] = []
    for weight, key in sorted(settled, reverse=True):
        if key and scouts <= ours + whole // _SCOUTS_MORE:
            scouts += weight
            taken.append(b"/" + key.replace(b"\0", b"/"))
        else:
            ours += weight
    return taken


def _weight(connection: sqlite3.Connection, key: bytes) -> int:
    if key:
        row = connection.execute(
            "SELECT sum(weight + ?) FROM directory WHERE path = ? OR (path > ? AND path < ?)",
            (_DIRECTORY_BYTES, key, key + b"\0", key + b"\x01"),
        ).fetchone()
    else:
        row = connection.execute(
            "SELECT sum(weight + ?) FROM directory", (_DIRECTORY_BYTES,)
        ).fetchone()
    return int(row[0] or 0)


def _children(connection: sqlite3.Connection, key: bytes) -> list[bytes]:
    """Return the keys of the directories directly in one."""
    prefix = key + b"\0" if key else b""
    found: list[bytes] = []
    after = prefix
    while True:
        row = connection.execute(
            "SELECT path FROM directory WHERE path > ? AND path < ? ORDER BY path LIMIT 1",
            (after, key + b"\x01" if key else b"\xff" * 8),
        ).fetchone()
        if row is None:
            return found
        name = bytes(row[0])[len(prefix) :].split(b"\0", 1)[0]
        found.append(prefix + name)
        after = prefix + name + b"\x01"
