"""Pages of what happened: the time line of one thing, what differs between two dates, what was looked at."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from keycensus_collector.api import timeline as api
from keycensus_collector.api.parameters import QueryParameters
from keycensus_collector.api.queries import Listing
from keycensus_collector.errors import KeycensusError
from keycensus_collector.inventory.coverage import coverage, coverage_then
from keycensus_collector.web.asking import Visiting
from keycensus_collector.web.forms import mistake_of
from keycensus_collector.web.listed import CHOICES
from keycensus_collector.web.wording import PAGE_OF

router = APIRouter()

_CHARACTERS = 100
# Where what differs is shown; places have no page of their own, and a gap is told by its host.
_PAGE_OF = {name: f"/{name}/" for name in ("certificates", "keys", "hosts")} | {"gaps": "/hosts/"}


@router.get("/history")
async def history(
    visit: Visiting, parameters: Annotated[api.HistoryParameters, Query()]
) -> Response:
    """Show what happened to a certificate, a key or a host, the newest first."""
    found = await api.history(parameters, visit.store)
    return visit.page("history.html", line=found, back=f"{PAGE_OF[found.kind]}/{found.id}")


@router.get("/changes")
async def changes(
    visit: Visiting,
    what: Listing = "certificates",
    since: Annotated[str, Query(max_length=_CHARACTERS)] = "7d",
    until: Annotated[str, Query(max_length=_CHARACTERS)] = "0h",
    q: str = "",
) -> Response:
    """Show what came, went and changed between two dates: this week, if none are given."""
    found, mistake = None, None
    try:
        found = await api.diff(what, visit.store, visit.clock, since=since, until=until, q=q)
    except KeycensusError as error:
        mistake = mistake_of(error, "/changes")
    return visit.page(
        "changes.html",
        mistake=mistake,
        found=found,
        what=what,
        since=since,
        until=until,
        query=q,
        lists=CHOICES,
        page_of=_PAGE_OF.get(what, ""),
    )


@router.get("/coverage")
async def covered(
    visit: Visiting, as_of: Annotated[str, Query(max_length=_CHARACTERS)] = ""
) -> Response:
    """Show how much of the fleet was looked at, and what could have been missed; now, or on a day."""
    day = QueryParameters(as_of=as_of).asked_by(visit.principal).as_query()
    work = partial(coverage_then, day=day) if day.as_of else coverage
    found = await visit.store.run_read(partial(work, now_ms=visit.now_ms))
    return visit.page("coverage.html", coverage=found, day=day.as_of)
