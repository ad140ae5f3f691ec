"""The public blobs that are kept to be supplied: one when it is wanted, and which are not needed.

Runs in the reader; a blob is public by what the parser put there, and checked once more before it
leaves.
"""

from __future__ import annotations

import hashlib
import sqlite3

from keycensus_agent.model import Blob, BlobKind, RowClass
from keycensus_agent.reader.convert import blobs_named, manifest_of_row
from keycensus_agent.reader.report.convert import Wanted


def find_blob(connection: sqlite3.Connection, wanted: Wanted) -> Blob | None:
    """Return a blob that the collector wants, None if it is not here whole.

    One that was damaged here is removed: it is as good as lost, and its file is read again.
    """
    if wanted.kind is None:
        return None
    found = connection.execute(
        "SELECT kind, data FROM blob WHERE hash = ?", (wanted.hash,)
    ).fetchone()
    if found is None or found[0] != wanted.kind.value:
        return None
    if hashlib.sha256(found[1]).digest() != wanted.hash:
        connection.execute("DELETE FROM blob WHERE hash = ?", (wanted.hash,))
        return None
    return Blob(wanted.kind, wanted.hash, found[1])


def collect_blobs(connection: sqlite3.Connection) -> int:
    """Remove blobs that no row and no waiting state names any more; how many. In a transaction."""
    roots = {
        bytes(manifest)
        for (manifest,) in connection.execute(
            "SELECT manifest FROM place UNION SELECT manifest FROM tree"
            " UNION SELECT manifest FROM usage"
        )
    }
    for row_class, row in connection.execute("SELECT class, row FROM outbox WHERE row IS NOT NULL"):
        roots.add(manifest_of_row(RowClass(row_class), row))
    named: set[bytes] = set()
    waiting = list(roots)
    while waiting:
        digest = waiting.pop()
        if digest in named:
            continue
        named.add(digest)
        found = connection.execute(
            "SELECT data FROM blob WHERE hash = ? AND kind = ?", (digest, BlobKind.MANIFEST.value)
        ).fetchone()
        if found is not None:
            parts, artifacts = blobs_named(found[0])
            waiting.extend(parts)
            named.update(artifacts)
    stale = [
        (digest,)
        for (digest,) in connection.execute("SELECT hash FROM blob").fetchall()
        if digest not in named
    ]
    connection.executemany("DELETE FROM blob WHERE hash = ?", stale)
    return len(stale)
