"""Counts of a page as they were at a past moment: the fold's are of today."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, case, func, literal, select, union, union_all

from keycensus_collector.query.relations import Tables
from keycensus_collector.store.schema import manifest_entry, manifest_part, place, place_past


class Counted(NamedTuple):
    """Places that held something then, by use, and the hosts that they were on."""

    live: int = 0
    retained: int = 0
    hosts: int = 0


def counted(
    connection: Connection, tables: Tables, artifacts: Sequence[bytes], kinds: Sequence[str]
) -> dict[bytes, Counted]:
    """Return the counts of artifacts at the moment of `tables`, or now; those that stood nowhere are left out."""
    entry, part, now, then = manifest_entry.c, manifest_part.c, place.c, place_past.c
    wanted = (entry.artifact.in_(artifacts), entry.kind.in_(kinds))
    # Once for a place, and for each name in a tree, as the fold counts them.
    whole = select(entry.artifact, entry.manifest, literal("").label("name")).where(*wanted)
    in_parts = select(entry.artifact, part.manifest, func.coalesce(part.name, "")).join(
        manifest_part, part.part == entry.manifest
    )
    found = union(whole, in_parts.where(*wanted)).subquery("found")
    at_places = (
        select(found.c.artifact, now.use, now.host_no)
        .join(place, now.manifest == found.c.manifest)
        .where(now.gone_ms.is_(None))
    )
    spot = at_places.subquery("spot").c
    if tables.as_of_ms is not None:
        # Joined one by one: of both together SQLite would make a table, of all places there are.
        was = select(found.c.artifact, then.use, then.host_no).join(
            place_past, then.manifest == found.c.manifest
        )
        either = union_all(
            at_places.where(now.changed_ms <= tables.as_of_ms),
            was.where(then.from_ms <= tables.as_of_ms, then.to_ms > tables.as_of_ms),
        )
        spot = either.subquery("spot").c
    kept = func.sum(case((spot.use == "retained", 1), else_=0))
    rows = connection.execute(
        select(
            spot.artifact, func.count() - kept, kept, func.count(spot.host_no.distinct())
        ).group_by(spot.artifact)
    )
    return {row[0]: Counted(row[1], row[2], row[3]) for row in rows}
