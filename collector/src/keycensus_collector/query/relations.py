"""The tables a query looks at: as they are now, or as they were at a past moment.

A past moment has the same columns under the same names, so that conditions need not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    Text,
    and_,
    cast,
    func,
    literal,
    null,
    or_,
    select,
    text,
    union_all,
)

from keycensus_collector.store.schema import (
    HOLDS,
    SEALED_HOLDING,
    certificate,
    gap,
    holding,
    host,
    manifest_entry,
    manifest_part,
    place,
    place_past,
    public_key,
)

PRIVATE_KINDS = ("private-key", "sealed-key", "sealed-container")
SEALED_KINDS = ("sealed-key", "sealed-container")


@dataclass(frozen=True, slots=True)
class Tables:
    """What conditions take their columns from. `kinds`: of the entries that a place is asked for.

    `places_first`: entries are looked for at places, never places of entries. `host_labels`: of which
    labels the host's own word counts; None: of all.
    """

    certificate: FromClause
    key: FromClause
    entry: FromClause
    place: FromClause
    host: FromClause
    gap: FromClause
    part: FromClause
    kinds: tuple[str, ...]
    as_of_ms: int | None
    places_first: bool = False
    host_labels: frozenset[str] | None = None


def tables_for(
    target: str,
    as_of_ms: int | None,
    *,
    sealed: bool = False,
    host_labels: frozenset[str] | None = None,
) -> Tables:
    """Return the tables of a list; keys are asked in two halves, paired and sealed ones."""
    kinds: tuple[str, ...] = ()
    if target == "certificates":
        kinds = ("certificate",)
    elif target == "keys":
        kinds = SEALED_KINDS if sealed else ("private-key",)
    key: FromClause = public_key
    if target == "keys":
        key = _sealed_keys(as_of_ms) if sealed else public_key
    return Tables(
        certificate,
        key,
        manifest_entry,
        place if as_of_ms is None else _places_at(as_of_ms),
        host,
        gap,
        manifest_part,
        kinds,
        as_of_ms,
        host_labels=host_labels,
    )


def is_there(tables: Tables) -> list[ColumnElement[bool]]:
    """Return the condition that a place is there at the moment asked for."""
    return [place.c.gone_ms.is_(None)] if tables.as_of_ms is None else []


def holds_kinds(tables: Tables) -> list[ColumnElement[bool]]:
    """Return the condition that a place's file lists one of `tables.kinds`, which an index has behind the mode."""
    if tables.as_of_ms is not None or not tables.kinds:
        return []
    bits = 0
    for kind in tables.kinds:
        bits |= HOLDS[kind]
    masks = range(1 + sum(set(HOLDS.values())))
    return [place.c.holds.in_([mask for mask in masks if mask & bits])]


def entries_of(
    tables: Tables,
    column: ColumnElement[Any],
    conditions: list[ColumnElement[bool]],
    outside: FromClause,
    *,
    but_names: bool = False,
) -> list[Select[Any]]:
    """Return a column of entries with their places: of the manifest itself, and as a part of it.

    `but_names`: without what stands under a name in a tree (`query.trees`). `outside` is what conditions may take from the statement around; the rest has the same names as
    other looks for places there, and must not be taken for theirs.
    """
    entry, spot, part = tables.entry, tables.place, tables.part
    few_parts: list[ColumnElement[bool]] = [part.c.name.is_(None)] if but_names else []
    if tables.places_first:
        few_parts.append(spot.c.manifest.in_(select(part.c.manifest).correlate(None)))
    if tables.kinds:
        conditions = [entry.c.kind.in_(tables.kinds), *conditions]
    conditions = [*is_there(tables), *conditions]
    # No index is on what coalesce returns.
    manifest = func.coalesce(spot.c.manifest, b"") if tables.places_first else spot.c.manifest
    whole = entry.join(spot, manifest == entry.c.manifest)
    in_parts = entry.join(part, part.c.part == entry.c.manifest).join(
        spot, manifest == part.c.manifest
    )
    return [
        select(column).select_from(joined).where(*conditions, *further).correlate(outside)
        for joined, further in ((whole, []), (in_parts, few_parts))
    ]


def _sealed_keys(as_of_ms: int | None) -> Subquery:
    """Return sealed keys with the columns of `public_key`; what can't be known of them is null."""
    unknown: list[ColumnElement[Any]] = [
        cast(null(), Text).label("algorithm"),
        cast(null(), Integer).label("bits"),
        cast(null(), Text).label("curve"),
        cast(null(), Text).label("problem"),
        cast(null(), BigInteger).label("first_seen_ms"),
    ]
    if as_of_ms is None:
        return (
            select(
                holding.c.artifact.label("key_id"),
                holding.c.kind,
                *unknown,
                func.sum(holding.c.live).label("live_places"),
                func.sum(holding.c.retained).label("retained_places"),
                func.count().label("hosts"),
            )
            .where(text(SEALED_HOLDING))
            .group_by(holding.c.artifact, holding.c.kind)
            .subquery("sealed")
        )
    zero = literal(0)
    return (
        select(
            manifest_entry.c.artifact.label("key_id"),
            manifest_entry.c.kind,
            *unknown,
            zero.label("live_places"),
            zero.label("retained_places"),
            zero.label("hosts"),
        )
        .where(manifest_entry.c.kind.in_(SEALED_KINDS), manifest_entry.c.artifact != b"")
        .distinct()
        .subquery("sealed")
    )


def _places_at(as_of_ms: int) -> Subquery:
    """Return places as they stood: those that are as then, and what the others were then."""
    of_place = (place.c.path, place.c.path_hash, place.c.scope_kind, place.c.scope_name)
    names = [column.name for column in place_past.columns if column.name not in _OF_AN_INTERVAL]
    unchanged = select(
        *(place.c[name] for name in names), *of_place, place.c.first_seen_ms, place.c.changed_ms
    ).where(place.c.gone_ms.is_(None), place.c.changed_ms <= as_of_ms)
    changed = (
        select(
            *(place_past.c[name] for name in names),
            *of_place,
            place.c.first_seen_ms,
            place_past.c.from_ms,
        )
        .join(place, place.c.place_no == place_past.c.place_no)
        .where(place_past.c.from_ms <= as_of_ms, place_past.c.to_ms > as_of_ms)
    )
    return union_all(unchanged, changed).subquery("place_then")


_OF_AN_INTERVAL = ("past_no", "from_ms", "to_ms")


def live(tables: Tables) -> ColumnElement[bool]:
    """Places that are in use."""
    return tables.place.c.use != "retained"


def world_readable(tables: Tables) -> ColumnElement[bool]:
    """Places whose file everybody can read; by their mode where the agent does not judge it."""
    columns = tables.place.c
    return or_(
        columns.readable_by == "world",
        and_(columns.readable_by == "", columns.mode.op("&")(0o004) != 0),
    )


def owner_only(tables: Tables) -> ColumnElement[bool]:
    """Places whose file its owner alone can read."""
    columns = tables.place.c
    return or_(
        columns.readable_by == "owner",
        and_(columns.readable_by == "", columns.mode.op("&")(0o044) == 0),
    )
