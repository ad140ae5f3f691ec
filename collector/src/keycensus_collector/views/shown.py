"""Views as they are shown: with how many each lists, if that was asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sqlalchemy import Connection

from keycensus_collector.inventory import results
from keycensus_collector.inventory.counts import count_bounded
from keycensus_collector.inventory.values import time_text
from keycensus_collector.query.parse import parse
from keycensus_collector.views.model import View


def counted(
    connection: Connection, views: Iterable[View], now_ms: int, asker: str
) -> list[results.View]:
    """Return views, each with how many it lists for the person `asker`, as far as its list counts."""
    return [
        shown(view) if view.problem else shown(view, *_count(connection, view, now_ms, asker))
        for view in views
    ]


def shown(view: View, total: int | None = None, exact: bool = True) -> results.View:  # noqa: FBT001, FBT002 - as counted
    """Return a view as it is shown; `total`: how many it lists, if that was counted; `exact`: and no more."""
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
        total=total,
        total_is_exact=exact,
    )


def _count(connection: Connection, view: View, now_ms: int, asker: str) -> tuple[int, bool]:
    query = replace(parse(view.query), asker=asker)
    return count_bounded(connection, query, view.what, now_ms)
