"""The first page: what will bite, what expires when, and how much of the fleet was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy import Connection

from keycensus_collector.access.principals import Principal
from keycensus_collector.api.parameters import QueryParameters
from keycensus_collector.inventory import figures, groups, results
from keycensus_collector.inventory.counts import count
from keycensus_collector.inventory.coverage import Coverage, coverage, kept_coverage
from keycensus_collector.inventory.figures import OVERVIEW, WEEKS
from keycensus_collector.inventory.summary import count_waiting
from keycensus_collector.query.bind import bind
from keycensus_collector.query.fields import OF_TODAY
from keycensus_collector.query.model import Query as Asked
from keycensus_collector.query.model import terms
from keycensus_collector.query.parse import parse
from keycensus_collector.views.shown import as_kept, counted, counted_then
from keycensus_collector.views.stored import list_views
from keycensus_collector.views.week import WEEK
from keycensus_collector.web.asking import Visiting
from keycensus_collector.web.tiles import arranged, in_order

router = APIRouter()

_WEEKS = 52
_MOST_GROUPS = 200
_LARGEST = 8
_BAD = frozenset(
    {"expired", "open-keys", "overdue-renewals", "revoked-but-live", "marked-and-back"}
)
_WARN = frozenset(
    {
        *("expiring", "expiring-unrenewed", "renewed-not-reloaded", "ownerless", "weak-keys"),
        "silent-hosts",
    }
)


_DAY_CHARACTERS = 100
# How hosts were looked at, in the order of `_looked`.
_LOOKED = (
    ("hosts", "not state:known not state:retired", "plain"),
    ("looked at whole", "complete:yes gap:none not state:retired not state:known", "plain"),
    ("with gaps", "gap:any not state:retired not state:known", "warn"),
    ("silent", "state:silent", "warn"),
    ("known, without an agent", "state:known", "warn"),
)


@dataclass(frozen=True, slots=True)
class Tile:
    """A view with its count; `weight` says how it looks if there is anything: "bad", "warn", "plain"."""

    view: results.View
    weight: str


@dataclass(frozen=True, slots=True)
class Looked:
    """How many hosts were looked at so; `total` None: it is not known of a past day. `query` lists them."""

    title: str
    query: str
    weight: str
    total: int | None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the first page shows."""

    tiles: list[Tile]
    week: list[results.View]  # what happened in the last seven days
    whose: str  # the tiles are: "own", the name of a team, "" for the usual ones
    weeks: list[groups.Group]
    issuers: groups.Groups
    algorithms: groups.Groups
    owners: groups.Groups
    environments: groups.Groups
    looked: list[Looked]
    waiting: int  # rows of work that are not counted yet
    as_of: str | None  # the oldest of all figures on it
    awaited: bool  # the collector counts for the first time: what was not counted yet is left out


@router.get("/")
async def dashboard(
    visit: Visiting, as_of: Annotated[str, Query(max_length=_DAY_CHARACTERS)] = ""
) -> Response:
    """Show the dashboard, or what it would have shown on a day."""
    day = QueryParameters(as_of=as_of).asked_by(visit.principal).as_query()
    work = partial(_read, now_ms=visit.now_ms, principal=visit.principal, day=day)
    return visit.page("dashboard.html", board=await visit.store.run_read(work), day=day.as_of)


def _read(connection: Connection, now_ms: int, principal: Principal, day: Asked) -> Dashboard:
    is_whole = principal.teams is None and not day.as_of
    awaited = is_whole and figures.are_awaited(connection)

    def by(name: str) -> groups.Groups:
        most = _MOST_GROUPS if name == WEEKS else _LARGEST
        if awaited:
            known = figures.kept_groups(connection, "certificates", name, now_ms, limit=most)
            return known or groups.Groups(name, 0, [], 0, overlapping=False, as_of=None)
        return figures.group(connection, day, "certificates", name, now_ms, limit=most)

    tiles = arranged(connection, principal)
    chosen = [*in_order(list_views(connection), tiles.names), *WEEK]
    shown = {name: by(name) for name in OVERVIEW}
    times = [each.as_of for each in shown.values()]
    if day.as_of:
        views = counted_then(connection, chosen, day, now_ms)
        looked = _looked_then(connection, day, now_ms)
    else:
        views = (
            as_kept(connection, chosen, now_ms)
            if awaited
            else counted(connection, chosen, now_ms, principal.user)
        )
        covered = (kept_coverage if awaited else coverage)(connection, now_ms)
        looked = [Looked(*each, None) for each in _LOOKED] if covered is None else _looked(covered)
        times += [None if covered is None else covered.as_of, *(view.total_as_of for view in views)]
    views, week = views[: -len(WEEK)], views[-len(WEEK) :]
    return Dashboard(
        tiles=[Tile(view, _weight(view.name)) for view in views],
        week=week,
        whose=tiles.whose,
        weeks=filled(shown[WEEKS].groups, bind(day, "certificates", now_ms).now_ms),
        issuers=shown["issuer"],
        algorithms=shown["key-size"],
        owners=shown["owner"],
        environments=shown["label.environment"],
        looked=looked,
        waiting=0 if day.as_of else count_waiting(connection),
        as_of=min((time for time in times if time is not None), default=None),
        awaited=awaited,
    )


def _looked(covered: Coverage) -> list[Looked]:
    totals = (
        *(covered.hosts, covered.complete, covered.with_gaps),
        *(covered.hosts_by_state.get("silent", 0), covered.without_agent),
    )
    return [Looked(*each, total) for each, total in zip(_LOOKED, totals, strict=True)]


def _looked_then(connection: Connection, day: Asked, now_ms: int) -> list[Looked]:
    found = []
    for title, query, weight in _LOOKED:
        asked = replace(parse(query), as_of=day.as_of)
        is_known = OF_TODAY.isdisjoint(term.field for term in terms(asked))
        total = count(connection, asked, "hosts", now_ms) if is_known else None
        found.append(Looked(title, query, weight, total))
    return found


def filled(weeks: Sequence[groups.Group], now_ms: int) -> list[groups.Group]:
    """Return a year of weeks by their Mondays, those too in which nothing expires."""
    known = {week.value: week for week in weeks}
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    monday = today - timedelta(days=today.weekday())
    names = [(monday + timedelta(weeks=number)).isoformat() for number in range(_WEEKS + 1)]
    return [known.get(name, groups.Group(name, 0, "")) for name in names]


def _weight(name: str) -> str:
    return "bad" if name in _BAD else "warn" if name in _WARN else "plain"
