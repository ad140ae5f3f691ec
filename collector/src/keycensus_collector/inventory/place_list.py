"""Lists of places: one row a name under which a file is reached, whatever it holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, or_, select, union_all

from keycensus_collector.inventory import results
from keycensus_collector.inventory.paging import (
    DEFAULT_LIMIT,
    count_up_to,
    decode_cursor,
    encode_cursor,
    first_page,
)
from keycensus_collector.inventory.places import place_columns, place_of
from keycensus_collector.query.ask import ask
from keycensus_collector.query.model import Query
from keycensus_collector.store.schema import host, manifest_entry, manifest_part

# Kinds told of each place; a bundle has one kind and many certificates.
_KINDS_EACH = 9
_ORDER = ("host_no", "path", "place_no")


def list_places(
    connection: Connection,
    query: Query,
    now_ms: int,
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str = "",
    exactly: bool = False,
) -> results.PlacePage:
    """Return places host by host, in the order in which hosts came, and by path."""
    asked = ask(connection, query, "places", now_ms)
    spot = asked.tables.place
    order = (spot.c.host_no, spot.c.path, spot.c.place_no)
    statement: Select[Any] = select(*order).where(asked.condition)
    first: Sequence[Row[Any]] | None = None
    if cursor or exactly:
        total, exact = count_up_to(connection, statement, asked.most, exactly=exactly)
    else:
        total, exact, first = first_page(connection, statement, _ORDER, limit + 1, asked.most)
    if cursor:
        host_no, path, number = decode_cursor(cursor, 3)
        further = or_(spot.c.path > path, and_(spot.c.path == path, spot.c.place_no > number))
        statement = statement.where(
            spot.c.host_no >= host_no, or_(spot.c.host_no > host_no, further)
        )
    if first is None:
        first = connection.execute(statement.order_by(*order).limit(limit + 1)).all()
    page = (
        select(*place_columns(spot, asked.as_of_ms), spot.c.host_no, spot.c.manifest)
        .join_from(spot, host, host.c.host_no == spot.c.host_no)
        .where(spot.c.place_no.in_([row.place_no for row in first]))
    )
    rows: list[Row[Any]] = list(connection.execute(page.order_by(*order)))
    shown = rows[:limit]
    next_ = None
    if len(rows) > limit:
        next_ = encode_cursor([shown[-1].host_no, shown[-1].path, shown[-1].place_no])
    return results.PlacePage(next_, total, exact, _places(connection, shown))


def _places(connection: Connection, rows: Sequence[Row[Any]]) -> list[results.Place]:
    kinds: dict[bytes, list[str]] = defaultdict(list)
    manifests = {row.manifest for row in rows}
    entry, part = manifest_entry.c, manifest_part.c
    whole = select(entry.manifest, entry.kind).where(entry.manifest.in_(manifests))
    in_parts = (
        select(part.manifest, entry.kind)
        .join(manifest_part, part.part == entry.manifest)
        .where(part.manifest.in_(manifests))
    )
    found = union_all(whole, in_parts).subquery()
    for manifest, kind in connection.execute(
        select(found.c.manifest, found.c.kind).distinct().order_by(found.c.kind)
    ):
        kinds[manifest] = [*kinds[manifest], kind][:_KINDS_EACH]
    return [replace(place_of([row]), kinds=kinds.get(row.manifest, [])) for row in rows]
