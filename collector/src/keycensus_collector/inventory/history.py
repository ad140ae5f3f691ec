"""When a thing stood where: the versions of places that held it, as times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, select

from keycensus_collector.inventory import results
from keycensus_collector.inventory.places import entries, named
from keycensus_collector.inventory.values import time_text
from keycensus_collector.store.schema import host, manifest_entry, place, place_version

_HISTORY_LIMIT = 200


def history_of(
    connection: Connection, artifact: bytes, kinds: Sequence[str]
) -> list[results.Interval]:
    """Return when which place held an artifact, newest first.

    A tree changes with any of its names: where one of them stayed, that is one time, not two.
    """
    found = entries(manifest_entry.c.artifact == artifact, manifest_entry.c.kind.in_(kinds))
    holding = select(found.c.manifest, found.c.name).distinct().subquery()
    rows = connection.execute(
        select(
            host.c.name.label("host"),
            place.c.path,
            holding.c.name,
            place_version.c.place_no,
            place_version.c.from_ms,
            place_version.c.to_ms,
            place_version.c.cause,
        )
        .join(place, place.c.place_no == place_version.c.place_no)
        .join(host, host.c.host_no == place.c.host_no)
        .join(holding, holding.c.manifest == place_version.c.manifest)
        .order_by(place_version.c.from_ms.desc(), place_version.c.version_no.desc())
        .limit(_HISTORY_LIMIT)
    )
    intervals: list[results.Interval] = []
    # The earliest time of each name so far: where it is in the list, and when it began.
    begun: dict[tuple[int, str], tuple[int, int]] = {}
    for row in rows:
        key = row.place_no, row.name
        position, began = begun.get(key, (len(intervals), -1))
        if row.name and began == row.to_ms:
            later = intervals[position]
            intervals[position] = replace(later, since=time_text(row.from_ms), cause=row.cause)
        else:
            position = len(intervals)
            path = named(row.path, row.name)
            since, ended = time_text(row.from_ms), time_text(row.to_ms)
            intervals.append(results.Interval(row.host, path, since, ended, row.cause))
        begun[key] = position, row.from_ms
    return intervals
