"""Lists of places: one row a name under which a file is reached, whatever it holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Result, Row, select, union_all

from keycensus_collector.inventory import results
from keycensus_collector.inventory.paging import DEFAULT_LIMIT
from keycensus_collector.inventory.places import place_columns, place_of
from keycensus_collector.inventory.sorting import order_of, sorted_page
from keycensus_collector.query.ask import ask
from keycensus_collector.query.model import Query
from keycensus_collector.store.schema import host, manifest_entry, manifest_part

# Kinds told of each place; a bundle has one kind and many certificates.
_KINDS_EACH = 9


def list_places(
    connection: Connection,
    query: Query,
    now_ms: int,
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str = "",
    exactly: bool = False,
    sort: str = "",
) -> results.PlacePage:
    """Return places host by host, in the order in which hosts came, and by path; or by `sort`."""
    asked = ask(connection, query, "places", now_ms)
    spot = asked.tables.place
    order = order_of(asked, sort, spot, (spot.c.place_no,))
    total, exact, found = sorted_page(
        connection, asked, order, [spot.c.place_no], limit=limit, cursor=cursor, exactly=exactly
    )
    numbers = [row.place_no for row in found[:limit]]
    rows: Result[Any] = connection.execute(
        select(*place_columns(spot, asked.as_of_ms), spot.c.host_no, spot.c.manifest)
        .join_from(spot, host, host.c.host_no == spot.c.host_no)
        .where(spot.c.place_no.in_(numbers))
    )
    by_number = {row.place_no: row for row in rows}
    page = _places(connection, [by_number[number] for number in numbers])
    return results.PlacePage(order.next_of(found, limit), total, exact, page)


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
