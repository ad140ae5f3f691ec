"""Lists of gaps: where agents could not look, and why."""

from __future__ import annotations

from sqlalchemy import Connection, select

from keycensus_collector.inventory import results
from keycensus_collector.inventory.paging import DEFAULT_LIMIT
from keycensus_collector.inventory.sorting import order_of, sorted_page
from keycensus_collector.inventory.values import time_text
from keycensus_collector.query.ask import ask
from keycensus_collector.query.model import Query
from keycensus_collector.store.schema import gap, host


def list_gaps(
    connection: Connection,
    query: Query,
    now_ms: int,
    *,
    limit: int = DEFAULT_LIMIT,
    cursor: str = "",
    exactly: bool = False,
    sort: str = "",
) -> results.GapPage:
    """Return gaps host by host, in the order in which hosts came, and by path; or by `sort`."""
    asked = ask(connection, query, "gaps", now_ms)
    order = order_of(asked, sort, gap, (gap.c.gap_no,))
    total, exact, found = sorted_page(
        connection, asked, order, [gap.c.gap_no], limit=limit, cursor=cursor, exactly=exactly
    )
    numbers = [row.gap_no for row in found[:limit]]
    rows = connection.execute(
        select(gap, host.c.host_id, host.c.name)
        .join(host, host.c.host_no == gap.c.host_no)
        .where(gap.c.gap_no.in_(numbers))
    )
    by_number = {
        row.gap_no: results.HostGap(
            row.host_id, row.name, row.prefix, row.reason, row.detail, time_text(row.from_ms)
        )
        for row in rows
    }
    items = [by_number[number] for number in numbers]
    return results.GapPage(order.next_of(found, limit), total, exact, items)
