"""Lists of hosts, and everything about one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, case, func, select

from keycensus_collector.imports.stored import imported_hosts
from keycensus_collector.intake.convert import decode_description
from keycensus_collector.inventory import results
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.labels import kept_labels, labels_of
from keycensus_collector.inventory.owners import owner_of_host, ownership_of
from keycensus_collector.inventory.paging import DEFAULT_LIMIT
from keycensus_collector.inventory.places import PRIVATE_KINDS, is_now, places_on
from keycensus_collector.inventory.sorting import order_of, sorted_page
from keycensus_collector.inventory.untaken import long_on, refused_counts, refused_on
from keycensus_collector.inventory.usages import usages_on
from keycensus_collector.inventory.values import time_text
from keycensus_collector.ownership.assignments import Thing
from keycensus_collector.ownership.why import why_host
from keycensus_collector.query.ask import ask
from keycensus_collector.query.model import Query, Term
from keycensus_collector.store.schema import gap, holding, host, place
from keycensus_collector.text import safe_text

_ADDRESSES = 64
_GAPS = 1_000
_UNREAD = 200
_EXPIRING = 20


def list_hosts(
    connection: Connection,
    query: Query,
    now_ms: int,
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str = "",
    exactly: bool = False,
    sort: str = "",
) -> results.HostPage:
    """Return hosts by name, or by `sort`. `exactly`: count all, however many there are.

    For a past day: the hosts of that day; what is told of each is of today.
    """
    asked = ask(connection, query, "hosts", now_ms)
    order = order_of(asked, sort, host, (host.c.host_no,))
    total, exact, found = sorted_page(
        connection, asked, order, [host.c.host_no], limit=limit, cursor=cursor, exactly=exactly
    )
    numbers = [row.host_no for row in found[:limit]]
    rows = connection.execute(
        select(host, owner_of_host(host).label("place_owner")).where(host.c.host_no.in_(numbers))
    )
    by_number = {row.host_no: row for row in rows}
    page = [by_number[number] for number in numbers]
    return results.HostPage(order.next_of(found, limit), total, exact, _hosts(connection, page))


def host_detail(connection: Connection, host_id: str, now_ms: int) -> results.HostDetail | None:
    """Return everything about the host with this UUID; None if there is none."""
    row = connection.execute(
        select(host, owner_of_host(host).label("place_owner")).where(host.c.host_id == host_id)
    ).one_or_none()
    if row is None:
        return None
    gaps = connection.execute(
        select(gap)
        .where(gap.c.host_no == row.host_no, gap.c.to_ms.is_(None))
        .order_by(gap.c.prefix, gap.c.reason)
        .limit(_GAPS)
    )
    here = Query(Term("host", "=", host_id))
    expiring = list_certificates(connection, here, now_ms, limit=_EXPIRING)
    said = decode_description(row.facts)
    return results.HostDetail(
        host=_hosts(connection, [row])[0],
        gaps=[
            results.Gap(found.prefix, found.reason, found.detail, time_text(found.from_ms))
            for found in gaps
        ],
        counters=_counters(row.counters),
        unread=places_on(connection, row.host_no, place.c.status != "read", limit=_UNREAD),
        expiring=expiring.items,
        refused=refused_on(connection, row.host_no),
        long=long_on(connection, row.host_no),
        usages=usages_on(connection, row.host_no),
        kind=safe_text(said.kind),
        architecture=safe_text(said.architecture),
        addresses=[safe_text(address) for address in said.addresses[:_ADDRESSES]],
        ownership=ownership_of(why_host(connection, row.host_no)),
        labels=labels_of(connection, Thing("host", number=row.host_no)),
    )


def _hosts(connection: Connection, rows: Sequence[Row[Any]]) -> list[results.Host]:
    numbers = [row.host_no for row in rows]
    places = _place_counts(connection, numbers)
    held = _held_counts(connection, numbers)
    gaps = _gap_counts(connection, numbers)
    refused = refused_counts(connection, numbers)
    kept = kept_labels(connection, numbers)
    imports = imported_hosts(connection, numbers)
    return [
        results.Host(
            id=row.host_id,
            name=row.name,
            state=row.state,
            operating_system=row.operating_system,
            kernel=row.kernel,
            agent_version=row.agent_version,
            complete=row.complete,
            created=time_text(row.created_ms),
            last_seen=time_text(row.last_seen_ms) if row.state != "known" else None,
            live_places=places.get(row.host_no, (0, 0))[0],
            retained_places=places.get(row.host_no, (0, 0))[1],
            certificates=held.get(row.host_no, (0, 0))[0],
            keys=held.get(row.host_no, (0, 0))[1],
            gaps=gaps.get(row.host_no, 0),
            labels=_labels(row.labels) | kept.get(row.host_no, {}),
            refused=refused.get(row.host_no, 0),
            imported=imports.get(row.host_no, (None, ""))[0],
            imported_by=imports.get(row.host_no, (None, ""))[1],
            place_owner=row.place_owner,
        )
        for row in rows
    ]


def _place_counts(connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
    retained = func.sum(case((place.c.use == "retained", 1), else_=0))
    rows = connection.execute(
        select(place.c.host_no, func.count() - retained, retained)
        .where(place.c.host_no.in_(numbers), is_now())
        .group_by(place.c.host_no)
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def _held_counts(connection: Connection, numbers: Sequence[int]) -> dict[int, tuple[int, int]]:
    rows = connection.execute(
        select(
            holding.c.host_no,
            func.sum(case((holding.c.kind == "certificate", 1), else_=0)),
            func.sum(case((holding.c.kind.in_(PRIVATE_KINDS), 1), else_=0)),
        )
        .where(holding.c.host_no.in_(numbers))
        .group_by(holding.c.host_no)
    )
    return {row[0]: (row[1], row[2]) for row in rows}


def _gap_counts(connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
    rows = connection.execute(
        select(gap.c.host_no, func.count())
        .where(gap.c.host_no.in_(numbers), gap.c.to_ms.is_(None))
        .group_by(gap.c.host_no)
    )
    return {row[0]: row[1] for row in rows}


def _labels(text: str) -> dict[str, dict[str, str]]:
    labels = json.loads(text or "{}")
    return {
        source: {str(key): str(value) for key, value in values.items()}
        for source, values in labels.items()
    }


def _counters(text: str) -> dict[str, int]:
    counters = json.loads(text or "{}")
    return {str(name): value for name, value in counters.items() if isinstance(value, int)}
