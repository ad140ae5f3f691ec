"""Views as they are shown: with how many each lists, if that was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from keycensus_collector.inventory import results
from keycensus_collector.inventory.counts import count
from keycensus_collector.inventory.paging import EXACT_TOTAL
from keycensus_collector.inventory.values import time_text
from keycensus_collector.query.parse import parse
from keycensus_collector.views.model import View


def counted(
    connection: Connection, views: Iterable[View], now_ms: int, asker: str
) -> list[results.View]:
    """Return views, each with how many it lists for the person `asker`, to 10,000."""
    return [
        shown(view, None if view.problem else _count(connection, view, now_ms, asker))
        for view in views
    ]


def shown(view: View, total: int | None = None) -> results.View:
    """Return a view as it is shown; `total`: how many it lists, or 10,001 for more than 10,000."""
    return results.View(
        name=view.name,
        description=view.description,
        what=view.what,
        query=view.query,
        columns=list(view.columns),
        built_in=view.built_in,
        saved_by=view.saved_by,
        saved=time_text(view.saved_ms),
        problem=view.problem,
        total=None if total is None else min(total, EXACT_TOTAL),
        total_is_exact=total is None or total <= EXACT_TOTAL,
    )


def _count(connection: Connection, view: View, now_ms: int, asker: str) -> int:
    query = replace(parse(view.query), asker=asker)
    return count(connection, query, view.what, now_ms, most=EXACT_TOTAL + 1)
