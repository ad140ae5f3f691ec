"""Where artifacts stand: the join of entries, manifests, places and hosts, in one definition."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Row,
    Subquery,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from keycensus_collector.inventory import results
from keycensus_collector.inventory.owners import owner_of_place
from keycensus_collector.inventory.values import mode_text, time_text
from keycensus_collector.store.schema import (
    host,
    manifest_entry,
    manifest_part,
    place,
    refusal,
)

PRIVATE_KINDS = ("private-key", "sealed-key", "sealed-container")
# Places of one thing in one answer; a root certificate may have ten thousands.
PLACES_LIMIT = 1_000
# Of what stands at more, some are put in order: so many live ones and so many retained ones.
MOST_ORDERED = 2_000

_ENTRY = (
    manifest_entry.c.artifact,
    manifest_entry.c.kind,
    manifest_entry.c.member,
    manifest_entry.c.encrypted,
)


def entries(*conditions: ColumnElement[bool]) -> Subquery:
    """Return entries with the manifest that a place has: parts stand for their whole.

    `name` is that of a file in a tree; empty where the place is the file.
    """
    whole = select(manifest_entry.c.manifest, *_ENTRY, literal("").label("name")).where(*conditions)
    in_parts = (
        select(manifest_part.c.manifest, *_ENTRY, func.coalesce(manifest_part.c.name, ""))
        .join(manifest_part, manifest_part.c.part == manifest_entry.c.manifest)
        .where(*conditions)
    )
    return union_all(whole, in_parts).subquery("entries")


def is_now() -> ColumnElement[bool]:
    """Places that there are now."""
    return place.c.gone_ms.is_(None)


# Why a newer state of a place was not taken (keycensus.v1.RowClass: 1 is a place).
_REFUSED = (
    select(refusal.c.reason)
    .where(
        refusal.c.host_no == place.c.host_no,
        refusal.c.row_class == literal_column("1"),
        refusal.c.key == place.c.path_hash,
    )
    .correlate(place)
    .scalar_subquery()
)


def place_columns(spot: FromClause, as_of_ms: int | None = None) -> list[ColumnElement[Any]]:
    """Return the columns that `place_of` takes, of places now or as they were."""
    names = (
        *("place_no", "path", "scope_kind", "scope_name", "use", "role", "readable_by"),
        *("package", "package_version", "status", "reason", "format", "mode", "owner", "group"),
        *("target", "first_seen_ms", "changed_ms"),
    )
    refused = _REFUSED if spot is place else literal("")
    return [
        host.c.host_id,
        host.c.name.label("host_name"),
        *(spot.c[name] for name in names),
        refused.label("refused"),
        owner_of_place(spot, as_of_ms).label("place_owner"),
    ]


def places_of(
    connection: Connection,
    artifacts: Iterable[bytes],
    kinds: Sequence[str],
    *,
    each: int = PLACES_LIMIT,
    spot: FromClause = place,
    as_of_ms: int | None = None,
    are_many: bool = False,
) -> dict[bytes, list[results.Place]]:
    """Return the places of each artifact: live ones first, then by host and path, at most `each`.

    `spot`: places as they were at a past moment, `as_of_ms`, instead of as they are. `are_many`: it is
    one artifact, at more than `MOST_ORDERED` places now; so many of them are put in order.
    """
    found = entries(
        manifest_entry.c.artifact.in_(list(artifacts)), manifest_entry.c.kind.in_(kinds)
    )
    if are_many:
        found = _some_of(found)
    ranked = _ranked(found, spot, are_many=are_many)
    said = (*("artifact", "kind", "member", "encrypted"), "tree_name")
    rows = connection.execute(
        # What is shown is looked up of those that are shown alone.
        select(*(ranked.c[name] for name in said), *place_columns(spot, as_of_ms))
        .join_from(ranked, spot, spot.c.place_no == ranked.c.place_no)
        .join(host, host.c.host_no == spot.c.host_no)
        .where(ranked.c.rank <= each)
        .order_by(ranked.c.artifact, ranked.c.rank)
    )
    grouped: dict[bytes, dict[tuple[int, str], list[Row[Any]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        grouped[row.artifact][row.place_no, row.tree_name].append(row)
    return {
        artifact: [place_of(same) for same in by_place.values()]
        for artifact, by_place in grouped.items()
    }


def _ranked(found: Subquery, spot: FromClause, *, are_many: bool) -> Subquery:
    """Return entries with the numbers of their places, and by `rank` in which order they are shown."""
    order = (
        *(spot.c.use == "retained", host.c.name, host.c.host_no, spot.c.path),
        *(found.c.name, spot.c.place_no),
    )
    rank = func.dense_rank().over(partition_by=found.c.artifact, order_by=order)
    is_there = (
        spot.c.place_no == found.c.place_no if are_many else spot.c.manifest == found.c.manifest
    )
    return (
        select(
            *(found.c.artifact, found.c.kind, found.c.member, found.c.encrypted),
            found.c.name.label("tree_name"),
            spot.c.place_no,
        )
        .add_columns(rank.label("rank"))
        .join(spot, is_there)
        .join(host, host.c.host_no == spot.c.host_no)
        .where(*([is_now()] if spot is place else []))
        .subquery("ranked")
    )


def _some_of(found: Subquery) -> Subquery:
    """Return some entries with numbers of places, live ones and retained ones."""
    rows = select(found, place.c.place_no).join(place, place.c.manifest == found.c.manifest)
    some = [
        rows.where(is_now(), use).limit(MOST_ORDERED).subquery()
        for use in (place.c.use != "retained", place.c.use == "retained")
    ]
    return union_all(*(select(each) for each in some)).subquery("some")


def count_places_of(connection: Connection, artifact: bytes, kinds: Sequence[str]) -> int:
    """Return at how many places an artifact stands now, each name in a tree counted."""
    found = entries(manifest_entry.c.artifact == artifact, manifest_entry.c.kind.in_(kinds))
    names = (
        select(place.c.place_no, found.c.name)
        .join(found, found.c.manifest == place.c.manifest)
        .where(is_now())
        .distinct()
        .subquery()
    )
    return connection.execute(select(func.count()).select_from(names)).scalar_one()


def places_on(
    connection: Connection, host_no: int, *conditions: ColumnElement[bool], limit: int
) -> list[results.Place]:
    """Return places of one host by path, whatever they hold."""
    rows = connection.execute(
        select(*place_columns(place))
        .join(host, host.c.host_no == place.c.host_no)
        .where(place.c.host_no == host_no, is_now(), *conditions)
        .order_by(place.c.path, place.c.place_no)
        .limit(limit)
    )
    return [place_of([row]) for row in rows]


def place_of(rows: Sequence[Any]) -> results.Place:
    """Return one place from its rows: one for each entry that was asked for, or just its own."""
    row = rows[0]
    entry_rows = [other for other in rows if hasattr(other, "member")]
    scope = row.scope_kind if not row.scope_name else f"{row.scope_kind} {row.scope_name}"
    name = row.tree_name if entry_rows else ""
    return results.Place(
        host_id=row.host_id,
        host=row.host_name,
        path=named(row.path, name),
        scope=scope,
        use=row.use,
        role=row.role,
        status=row.status,
        reason=row.reason,
        format=row.format,
        mode=mode_text(row.mode),
        owner=row.owner,
        group=row.group,
        target=row.target,
        kinds=list(dict.fromkeys(other.kind for other in entry_rows)),
        members=[other.member for other in entry_rows if other.member],
        encrypted=any(other.encrypted for other in entry_rows),
        # Since when a name is in a tree, its history says.
        first_seen=None if name else time_text(row.first_seen_ms),
        changed=time_text(row.changed_ms),
        refused=row.refused or "",
        readable_by=row.readable_by,
        package=row.package,
        package_version=row.package_version,
        place_owner=row.place_owner,
    )


def named(path: str, name: str) -> str:
    """Return the path of a place, or of a name in a tree."""
    return f"{path.rstrip('/')}/{name}" if name else path
