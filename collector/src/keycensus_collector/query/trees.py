"""Names inside trees: a directory of trust anchors that is told as one place has names that paths mean.

A tree is one place in lists, counts and totals of places and hosts. What stands in it, a certificate,
stands at the path of its name there, as if the directory had been told name by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
)

from keycensus_collector.query.bound import Bound
from keycensus_collector.query.fields import OWN
from keycensus_collector.query.relations import Tables, is_there
from keycensus_collector.query.shapes import Sorted, is_about_the_file
from keycensus_collector.query.sources import Sources
from keycensus_collector.store.schema import TREE_FORMAT, place

# Fleets have some kinds of trust store, each in one directory or two; beyond, they are not named one by one.
_MOST_NAMED = 200

# A condition as SQL, on the place's own path or on that of a name.
Plain = Callable[[Bound, ColumnElement[str] | None], ColumnElement[bool]]
Paths = Callable[[ColumnElement[str]], ColumnElement[bool]]


def trees(tables: Tables, conditions: Sequence[ColumnElement[bool]] = ()) -> Select[str, bytes]:
    """Return path and manifest of the trees at places that satisfy conditions, each pair once."""
    spot = tables.place
    is_tree = [spot.c.format == literal_column(f"'{TREE_FORMAT}'"), *is_there(tables)]
    if spot is not place:
        return select(spot.c.path, spot.c.manifest).where(*is_tree, *conditions).distinct()
    # Places are found in the index of trees alone, and then looked at: one of each pair, where any does.
    found = select(place.c.place_no if conditions else func.min(place.c.place_no)).where(*is_tree)
    if not conditions:
        found = found.group_by(place.c.manifest, place.c.path_hash)
    named = select(place.c.path, place.c.manifest)
    named = named.where(place.c.place_no.in_(found.correlate(None)), *conditions)
    return named.distinct() if conditions else named


def path_in(directory: ColumnElement[str], name: ColumnElement[str]) -> ColumnElement[str]:
    """Return the path of a name in a tree."""
    return func.rtrim(directory, "/").concat("/").concat(name)


def holds_a_name(sources: Sources, is_meant: Paths) -> ColumnElement[bool]:
    """Return that a place is a tree with a name whose path is meant.

    The trees are looked for now, for which there is mostly none: so an index on paths serves the rest.
    """
    tables, part = sources.tables, sources.tables.part
    tree = trees(tables).subquery("tree")
    named = (
        select(tree.c.path, tree.c.manifest)
        .join(part, part.c.manifest == tree.c.manifest)
        .where(part.c.name.is_not(None), is_meant(path_in(tree.c.path, part.c.name)))
        .distinct()
    )
    found = sources.connection.execute(named.limit(_MOST_NAMED + 1)).all()
    spot = tables.place
    if len(found) > _MOST_NAMED:
        pairs = named.subquery("named").alias("held")
        return (
            select(pairs.c.path)
            .where(pairs.c.path == spot.c.path, pairs.c.manifest == spot.c.manifest)
            .correlate(spot)
            .exists()
        )
    by_path: dict[str, list[bytes]] = defaultdict(list)
    for path, manifest in found:
        by_path[path].append(manifest)
    held = (
        and_(spot.c.manifest.in_(manifests), spot.c.path == path)
        for path, manifests in by_path.items()
    )
    return or_(false(), *held)


def entries_in_trees(
    tables: Tables,
    column: ColumnElement[Any],
    parts: Sequence[Bound],
    joined: Sequence[ColumnElement[bool]],
    plain: Plain,
    *,
    target: str,
    outside: FromClause,
    beside: ColumnElement[Any] | None = None,
) -> Select[Any]:
    """Return a column of entries whose name in a tree is so; as `relations.entries_of` of what has no name.

    Conditions on places go over the trees once, those on paths over their names once, and not over every
    name at every place. `joined`: what holds of an entry besides. `beside`: a column of the place that is to
    be told, for which there is a row for each place.
    """
    entry, part, spot = tables.entry, tables.part, tables.place
    by = Sorted.of(parts, OWN[target])
    at = [plain(each, None) for each in by.places]
    tree = trees(tables, at).subquery("tree")
    path = path_in(tree.c.path, part.c.name)
    conditions: list[ColumnElement[bool]] = [part.c.name.is_not(None), *joined]
    conditions += [plain(each, path) for each in (*by.paths, *by.files)]
    if tables.kinds:
        conditions.append(entry.c.kind.in_(tables.kinds))
    same = (spot.c.manifest == tree.c.manifest, spot.c.path == tree.c.path)
    at_it = [*is_there(tables), *at, *(plain(each, path) for each in by.rest)]
    named = tree.join(part, part.c.manifest == tree.c.manifest).join(
        entry, entry.c.manifest == part.c.part
    )
    if beside is not None:
        found = select(column, beside).select_from(named.join(spot, and_(*same)))
        return found.where(*conditions, *at_it).correlate(outside)
    if by.rest:
        conditions.append(exists().where(*same, *at_it).correlate_except(spot))
    return select(column).select_from(named).where(*conditions).correlate(outside)


def hosts_with_names(
    tables: Tables,
    parts: Sequence[Bound],
    plain: Plain,
    with_artifacts: Callable[[FromClause], FromClause],
) -> Select[Any]:
    """Return the numbers of hosts that have a tree with a name which is so."""
    entry, part, spot = tables.entry, tables.part, tables.place
    by = Sorted.of(parts, OWN["hosts"])
    tree = trees(tables).subquery("tree")
    path = path_in(tree.c.path, part.c.name)
    names: FromClause = tree.join(part, part.c.manifest == tree.c.manifest)
    if any(map(is_about_the_file, parts)):
        names = with_artifacts(names.join(entry, entry.c.manifest == part.c.part))
    about_names: list[ColumnElement[bool]] = [part.c.name.is_not(None)]
    about_names += [plain(each, path) for each in (*by.paths, *by.files)]
    if by.rest:
        same = and_(spot.c.manifest == tree.c.manifest, spot.c.path == tree.c.path)
        about_names += [plain(each, path) for each in by.rest]
        found = select(spot.c.host_no).select_from(names.join(spot, same)).where(*about_names)
    else:
        # Which trees have such a name is known before it is asked who has such a tree.
        few = select(tree.c.path, tree.c.manifest).select_from(names).where(*about_names)
        meant = few.distinct().subquery("meant")
        same = and_(spot.c.manifest == meant.c.manifest, spot.c.path == meant.c.path)
        found = select(spot.c.host_no).select_from(spot.join(meant, same))
    at = [plain(each, None) for each in by.places]
    return found.where(*is_there(tables), *at).correlate(tables.host)
