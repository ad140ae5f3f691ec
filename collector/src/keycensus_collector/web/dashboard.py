"""The first page: what will bite, what expires when, and how much of the fleet was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

from keycensus_collector.inventory import figures, groups, results
from keycensus_collector.inventory.coverage import Coverage, coverage
from keycensus_collector.inventory.summary import summarise
from keycensus_collector.query.parse import parse
from keycensus_collector.views.shown import counted
from keycensus_collector.views.stored import list_views
from keycensus_collector.web.asking import Visiting

router = APIRouter()

_WEEKS = 53
_LARGEST = 8


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What the first page shows."""

    summary: results.Summary
    tiles: list[results.View]
    weeks: groups.Groups
    issuers: groups.Groups
    algorithms: groups.Groups
    coverage: Coverage


@router.get("/")
async def dashboard(visit: Visiting) -> Response:
    """Show the dashboard."""
    work = partial(_read, now_ms=visit.now_ms, asker=visit.principal.user)
    return visit.page("dashboard.html", board=await visit.store.run_read(work))


def _read(connection: Connection, now_ms: int, asker: str) -> Dashboard:
    year = parse("expires>=0d expires<371d")

    def by(name: str) -> groups.Groups:
        return figures.group(connection, parse(""), "certificates", name, now_ms, limit=_LARGEST)

    return Dashboard(
        summary=summarise(connection, now_ms),
        tiles=[
            view
            for view in counted(connection, list_views(connection), now_ms, asker)
            if not view.problem
        ],
        weeks=figures.group(connection, year, "certificates", "expires-week", now_ms, limit=_WEEKS),
        issuers=by("issuer"),
        algorithms=by("key"),
        coverage=coverage(connection, now_ms),
    )
