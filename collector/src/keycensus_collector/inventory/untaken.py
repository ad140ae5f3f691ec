"""What a host has and this collector has not: rows that were refused, artifacts over their cap."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Select, func, or_, select, text, union

from keycensus_collector.intake.model import ARTIFACT_BLOBS, BLOB_CAPS
from keycensus_collector.inventory import results
from keycensus_collector.inventory.places import is_now
from keycensus_collector.inventory.values import time_text
from keycensus_collector.store.schema import (
    LONG_ENTRY,
    manifest_entry,
    manifest_part,
    place,
    refusal,
)

_LISTED = 200
_CLASSES = {1: "place", 2: "usage", 3: "gap", 4: "host"}


def refused_on(connection: Connection, host_no: int) -> list[results.Refused]:
    """Return the rows of a host that were not taken, by path."""
    rows = connection.execute(
        select(refusal)
        .where(refusal.c.host_no == host_no)
        .order_by(refusal.c.path, refusal.c.row_class, refusal.c.key)
        .limit(_LISTED)
    )
    return [
        results.Refused(
            row.path,
            _CLASSES.get(row.row_class, str(row.row_class)),
            row.reason,
            time_text(row.since_ms),
            row.times,
        )
        for row in rows
    ]


def refused_counts(connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
    """Return how many rows were not taken, by host."""
    rows = connection.execute(
        select(refusal.c.host_no, func.count())
        .where(refusal.c.host_no.in_(numbers))
        .group_by(refusal.c.host_no)
    )
    return {row[0]: row[1] for row in rows}


def is_over_cap() -> ColumnElement[bool]:
    """Entries that name an artifact which is never sent, for being too long."""
    return or_(
        *(
            (manifest_entry.c.kind == name) & (manifest_entry.c.size > BLOB_CAPS[kind])
            for name, kind in ARTIFACT_BLOBS.items()
        )
    )


def long_on(connection: Connection, host_no: int) -> list[results.LongArtifact]:
    """Return the artifacts over their cap that stand on a host, by path."""
    # Named as the index has it, so that the few long entries are found without reading all.
    entries = (
        select(manifest_entry).where(text(f"manifest_entry.{LONG_ENTRY}"), is_over_cap()).subquery()
    )
    whole = _at_places(host_no).join(entries, entries.c.manifest == place.c.manifest)
    in_parts = (
        _at_places(host_no)
        .join(manifest_part, manifest_part.c.manifest == place.c.manifest)
        .join(entries, entries.c.manifest == manifest_part.c.part)
    )
    columns = entries.c.kind, entries.c.artifact, entries.c.size
    found = union(whole.add_columns(*columns), in_parts.add_columns(*columns))
    rows = connection.execute(found.order_by("path").limit(_LISTED))
    return [results.LongArtifact(row[0], row[1], row[2].hex(), row[3]) for row in rows]


def _at_places(host_no: int) -> Select[str]:
    return select(place.c.path).where(place.c.host_no == host_no, is_now())
