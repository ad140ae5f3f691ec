"""What happened, what differs between two dates, and how much of the fleet was looked at."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from keycensus_collector.api.identities import one_match
from keycensus_collector.api.parameters import IdParameters, QueryParameters
from keycensus_collector.api.queries import Listing
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, StoreOf
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.coverage import Coverage, coverage_then
from keycensus_collector.inventory.coverage import coverage as covered
from keycensus_collector.inventory.paging import BIGGEST_INTEGER, DEFAULT_LIMIT, PAGE_LIMIT
from keycensus_collector.query.bind import is_moment
from keycensus_collector.query.parse import parse
from keycensus_collector.timeline.difference import Difference, difference
from keycensus_collector.timeline.model import TimeLine
from keycensus_collector.timeline.read import time_line

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["history"])

_DAY_CHARACTERS = 100


class HistoryParameters(IdParameters):
    """Whose time line, and which page of it."""

    before: Annotated[
        int | None,
        Query(ge=0, le=BIGGEST_INTEGER, description="`next` of the page before; milliseconds."),
    ] = None
    limit: Annotated[
        int,
        Query(
            ge=1, le=PAGE_LIMIT, description="Events of a page; those of one moment stay together."
        ),
    ] = DEFAULT_LIMIT


@router.get("/history", summary="What happened to a certificate, key or host")
async def history(parameters: Annotated[HistoryParameters, Query()], store: StoreOf) -> TimeLine:
    """Appeared, moved, changed, gone, permissions, owners, renewals and marks, the newest first."""

    def work(connection: Connection) -> TimeLine:
        match = one_match(connection, parameters.id, parameters.kind)
        return time_line(connection, match, before_ms=parameters.before, limit=parameters.limit)

    return await store.run_read(work)


@router.get("/diff/{list_}", summary="What differs between two dates")
async def diff(
    list_: Listing,
    store: StoreOf,
    clock: ClockOf,
    *,
    since: Annotated[
        str, Query(max_length=_DAY_CHARACTERS, description="The earlier date, or an age as `30d`.")
    ],
    until: Annotated[
        str, Query(max_length=_DAY_CHARACTERS, description="The later one; `0h` is now.")
    ] = "0h",
    q: Annotated[str, Query(description="A query: only what it lists on either date.")] = "",
) -> Difference:
    """Ask the query as of both dates: what only one of them lists, and what changed of the rest."""
    for day in (since, until):
        if not is_moment(day):
            raise UsageError(f"{day!r} is no date or age: write 2026-09-30, or 30d")
    wanted = parse(q)
    return await store.run_read(
        partial(difference, query=wanted, target=list_, days=(since, until), now_ms=clock.now_ms())
    )


@router.get("/coverage", summary="How much of the fleet was looked at")
async def coverage(
    store: StoreOf,
    clock: ClockOf,
    *,
    as_of: Annotated[
        str,
        Query(max_length=_DAY_CHARACTERS, description="As it was then; what is not known is null."),
    ] = "",
) -> Coverage:
    """Hosts by how far their agents came, gaps by reason, places by status, the oldest report."""
    day = QueryParameters(as_of=as_of).as_query()
    work = partial(coverage_then, day=day) if day.as_of else covered
    return await store.run_read(partial(work, now_ms=clock.now_ms()))
