"""The first page: what will bite, what expires when, and how much of the fleet was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

from keycensus_collector.access.principals import Principal
from keycensus_collector.inventory import figures, groups, results
from keycensus_collector.inventory.coverage import Coverage, coverage
from keycensus_collector.inventory.figures import OVERVIEW, WEEKS
from keycensus_collector.inventory.summary import count_waiting
from keycensus_collector.query.parse import parse
from keycensus_collector.views.shown import counted
from keycensus_collector.views.stored import list_views
from keycensus_collector.web.asking import Visiting
from keycensus_collector.web.tiles import arranged, in_order

router = APIRouter()

_WEEKS = 52
_MOST_GROUPS = 200
_LARGEST = 8
_BAD = frozenset(
    {"expired", "open-keys", "overdue-renewals", "revoked-but-live", "marked-and-back"}
)
_WARN = frozenset({"expiring", "renewed-not-reloaded", "ownerless", "weak-keys", "silent-hosts"})


@dataclass(frozen=True, slots=True)
class Tile:
    """A view with its count; `weight` says how it looks if there is anything: "bad", "warn", "plain"."""

    view: results.View
    weight: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the first page shows."""

    tiles: list[Tile]
    whose: str  # the tiles are: "own", the name of a team, "" for the usual ones
    weeks: list[groups.Group]
    issuers: groups.Groups
    algorithms: groups.Groups
    owners: groups.Groups
    environments: groups.Groups
    coverage: Coverage
    waiting: int  # rows of work that are not counted yet
    as_of: str | None  # the oldest of all figures on it


@router.get("/")
async def dashboard(visit: Visiting) -> Response:
    """Show the dashboard."""
    work = partial(_read, now_ms=visit.now_ms, principal=visit.principal)
    return visit.page("dashboard.html", board=await visit.store.run_read(work))


def _read(connection: Connection, now_ms: int, principal: Principal) -> Dashboard:
    def by(name: str, most: int = _LARGEST) -> groups.Groups:
        return figures.group(connection, parse(""), "certificates", name, now_ms, limit=most)

    tiles = arranged(connection, principal)
    views = counted(
        connection, in_order(list_views(connection), tiles.names), now_ms, principal.user
    )
    shown = {name: by(name, _MOST_GROUPS if name == WEEKS else _LARGEST) for name in OVERVIEW}
    covered = coverage(connection, now_ms)
    times = [covered.as_of, *(view.total_as_of for view in views)]
    times += [each.as_of for each in shown.values()]
    return Dashboard(
        tiles=[Tile(view, _weight(view.name)) for view in views],
        whose=tiles.whose,
        weeks=filled(shown[WEEKS].groups, now_ms),
        issuers=shown["issuer"],
        algorithms=shown["key-size"],
        owners=shown["owner"],
        environments=shown["label.environment"],
        coverage=covered,
        waiting=count_waiting(connection),
        as_of=min((time for time in times if time is not None), default=None),
    )


def filled(weeks: Sequence[groups.Group], now_ms: int) -> list[groups.Group]:
    """Return a year of weeks by their Mondays, those too in which nothing expires."""
    known = {week.value: week for week in weeks}
    today = datetime.fromtimestamp(now_ms / 1000, UTC).date()
    monday = today - timedelta(days=today.weekday())
    names = [(monday + timedelta(weeks=number)).isoformat() for number in range(_WEEKS + 1)]
    return [known.get(name, groups.Group(name, 0, "")) for name in names]


def _weight(name: str) -> str:
    return "bad" if name in _BAD else "warn" if name in _WARN else "plain"
