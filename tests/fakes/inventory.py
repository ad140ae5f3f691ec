"""What a collector's database says, read beside it: the oracle of fault tests.

Opened read-only, so that it works while the collector runs.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from keycensus_agent.reader.state import State
from keycensus_proto.v1 import inventory_pb2


@dataclass(frozen=True, slots=True)
class InventoryPlace:
    """One live row: where, what."""

    path: str
    target: str
    mode: int
    use: str
    status: str
    artifacts: frozenset[str]


def connect(database: Path) -> sqlite3.Connection:
    """Open a collector's database for reading."""
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)


def places(database: Path, host_name: str | None = None) -> dict[str, InventoryPlace]:
    """Return the rows that are not gone, by path, of one host or of the only one."""
    query = (
        "SELECT p.path, p.target, p.mode, p.use, p.status, p.manifest FROM place AS p"
        " JOIN host AS h USING (host_no) WHERE p.gone_ms IS NULL"
    )
    with closing(connect(database)) as connection:
        rows = connection.execute(
            query + (" AND h.name = ?" if host_name else ""), (host_name,) if host_name else ()
        ).fetchall()
        return {
            path: InventoryPlace(path, target, mode, use, status, _artifacts(connection, manifest))
            for path, target, mode, use, status, manifest in rows
        }


def _artifacts(connection: sqlite3.Connection, manifest: bytes) -> frozenset[str]:
    rows = connection.execute(
        "SELECT artifact FROM manifest_entry WHERE manifest = ?"
        " OR manifest IN (SELECT part FROM manifest_part WHERE manifest = ?)",
        (manifest, manifest),
    )
    return frozenset(row[0].hex() for row in rows)


def one(database: Path, query: str, *values: object) -> int:
    """Return the single number that a query gives."""
    with closing(connect(database)) as connection:
        (number,) = connection.execute(query, values).fetchone()
        return int(number or 0)


def version_rows(database: Path) -> list[tuple[str, int, bytes]]:
    """Return (path, batch_no, row) of every version ever written, in order."""
    with closing(connect(database)) as connection:
        return connection.execute(
            "SELECT p.path, v.batch_no, v.row FROM place_version AS v JOIN place AS p"
            " USING (place_no) ORDER BY v.version_no"
        ).fetchall()


def row_contents(state_database: Path) -> dict[str, inventory_pb2.Place]:
    """Return the agent's own rows by path; the agent must not be running."""
    state = State.open(state_database)
    try:
        return {
            path.decode(): inventory_pb2.Place.FromString(row)
            for path, row in state.connection.execute("SELECT path, row FROM place")
        }
    finally:
        state.close()
