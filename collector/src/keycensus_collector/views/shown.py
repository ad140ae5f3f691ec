"""Views as they are shown: with how many each lists, if that was asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from keycensus_collector.inventory import results
from keycensus_collector.inventory.counts import count_bounded
from keycensus_collector.inventory.figures import kept
from keycensus_collector.inventory.values import time_text
from keycensus_collector.query.fields import OF_TODAY
from keycensus_collector.query.model import Query, is_about_the_asker, terms
from keycensus_collector.query.parse import parse
from keycensus_collector.views.model import View
from keycensus_collector.views.stored import list_views

# Among the figures that are kept.
VIEWS = "views"


@dataclass(frozen=True, slots=True)
class Total:
    """How many a view lists, as far as its list counts; `as_of`: when, None: now."""

    total: int
    exact: bool
    as_of: str | None = None


def counted(
    connection: Connection, views: Iterable[View], now_ms: int, asker: str
) -> list[results.View]:
    """Return views, each with how many it lists for the person `asker`; as it is kept where that takes long."""
    return [
        shown(view) if view.problem else shown(view, _total(connection, view, now_ms, asker))
        for view in views
    ]


def as_kept(connection: Connection, views: Iterable[View], now_ms: int) -> list[results.View]:
    """Return views with how many each lists where that is kept, and without elsewhere: nothing is counted."""
    found = []
    for view in views:
        plain = None if view.problem else kept(connection, VIEWS, name_of(view), now_ms)
        found.append(shown(view, None if plain is None else Total(**plain)))
    return found


def counted_then(
    connection: Connection, views: Iterable[View], day: Query, now_ms: int
) -> list[results.View]:
    """Return views, each with how many it listed on the day of a query; without, where that is not known."""
    found = []
    for view in views:
        query = Query() if view.problem else parse(view.query)
        is_known = not view.problem and not query.as_of
        if is_known and OF_TODAY.isdisjoint(term.field for term in terms(query)):
            asked = replace(query, as_of=day.as_of, asker=day.asker)
            found.append(shown(view, Total(*count_bounded(connection, asked, view.what, now_ms))))
        else:
            found.append(shown(view))
    return found


def shown(view: View, total: Total | None = None) -> results.View:
    """Return a view as it is shown; `total`: how many it lists, if that was counted."""
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
        total=None if total is None else total.total,
        total_is_exact=total is None or total.exact,
        total_as_of=None if total is None else total.as_of,
    )


def count_view(connection: Connection, view: View, now_ms: int) -> Total:
    """Return how many a view lists for everybody, to be kept."""
    return replace(_count(connection, view, now_ms, ""), as_of=time_text(now_ms))


def views_of_everybody(connection: Connection) -> list[View]:
    """Return the views that list the same for all who see everything: their totals can be kept."""
    return [
        view
        for view in list_views(connection)
        if not view.problem and not is_about_the_asker(parse(view.query))
    ]


def name_of(view: View) -> str:
    """Return under which name a view's total is kept: a view that is saved anew has another."""
    return hashlib.sha256(f"{view.what} {view.query}".encode()).hexdigest()


def _total(connection: Connection, view: View, now_ms: int, asker: str) -> Total:
    plain = None
    if not is_about_the_asker(parse(view.query)):
        plain = kept(connection, VIEWS, name_of(view), now_ms)
    return _count(connection, view, now_ms, asker) if plain is None else Total(**plain)


def _count(connection: Connection, view: View, now_ms: int, asker: str) -> Total:
    query = replace(parse(view.query), asker=asker)
    return Total(*count_bounded(connection, query, view.what, now_ms))
