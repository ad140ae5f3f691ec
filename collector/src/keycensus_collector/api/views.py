"""Views: listed with their counts, saved and removed by those who may."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from keycensus_collector.api.conditional import (
    IfMatch,
    IfNoneMatch,
    check_preconditions,
    tag_of,
)
from keycensus_collector.api.problems import no_view
from keycensus_collector.api.queries import Listing
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.inventory import export, results
from keycensus_collector.inventory.paging import PAGE_LIMIT
from keycensus_collector.views.model import View
from keycensus_collector.views.shown import counted, shown
from keycensus_collector.views.stored import (
    check_view,
    delete_view,
    find_view,
    list_views,
    save_view,
)

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)


class ViewBody(BaseModel):
    """A view to save."""

    model_config = ConfigDict(extra="forbid")

    what: Listing
    query: str
    description: Annotated[str, Field(max_length=500)] = ""
    columns: Annotated[list[str], Field(max_length=50)] = []


@router.get("/views", tags=["views"], summary="Views: queries with a name")
async def views(
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    response: Response,
    *,
    counts: Annotated[
        bool, Query(description="With how many each lists, as far as its list counts.")
    ] = False,
    after: Annotated[
        str, Query(max_length=63, description="Only those behind the view of this name.")
    ] = "",
    limit: Annotated[
        int | None, Query(ge=1, le=PAGE_LIMIT, description="How many; without it, all.")
    ] = None,
) -> list[results.View]:
    """List the program's own views, then the saved ones by name.

    Where there are more than `limit`, the header `Link` leads to the next page.
    """

    def work(connection: Connection) -> list[results.View]:
        found = list_views(connection, after=after, limit=limit)
        if counts:
            return counted(connection, found, clock.now_ms(), principal.user)
        return [shown(view) for view in found]

    page = await store.run_read(work)
    if limit is not None and len(page) == limit:
        more = {"after": page[-1].name, "limit": limit} | ({"counts": "true"} if counts else {})
        response.headers["Link"] = f'</api/v1/views?{urlencode(more)}>; rel="next"'
    return page


@router.get("/views/{name}", tags=["views"], summary="One view")
async def view(name: str, store: StoreOf, response: Response) -> results.View:
    """Ask the list that it names with its query for what it shows."""
    found = await store.run_read(partial(find_view, name=name))
    if found is None:
        raise no_view(name)
    answer = shown(found)
    response.headers["ETag"] = tag_of(answer)
    return answer


@router.put("/views/{name}", tags=["views"], summary="Save a view")
async def save(  # noqa: PLR0917 - each is a part of the request
    name: str,
    body: ViewBody,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    response: Response,
    if_match: IfMatch = "",
    if_none_match: IfNoneMatch = "",
    *,
    check: Annotated[
        bool, Query(description="Only answer what it would be: nothing is saved.")
    ] = False,
) -> results.View:
    """Save a query under a name, over the view that has it. For operators and admins."""
    export.columns_of(body.what, ",".join(body.columns), "csv")
    wanted = View(name, body.description, body.what, body.query, tuple(body.columns))
    actor, now_ms = principal.actor, clock.now_ms()
    if check:
        return shown(check_view(wanted, now_ms))

    def work(connection: Connection) -> View:
        _check_unchanged(connection, name, if_match, if_none_match)
        return save_view(connection, view=wanted, actor=actor, now_ms=now_ms)

    answer = shown(await store.run_write(work))
    response.headers["ETag"] = tag_of(answer)
    return answer


@router.delete("/views/{name}", tags=["views"], summary="Delete a view", status_code=204)
async def remove(
    name: str,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    if_match: IfMatch = "",
) -> Response:
    """Delete a saved view. For operators and admins."""
    actor, now_ms = principal.actor, clock.now_ms()

    def work(connection: Connection) -> bool:
        _check_unchanged(connection, name, if_match, "")
        return delete_view(connection, name, actor=actor, now_ms=now_ms)

    if not await store.run_write(work):
        raise no_view(name)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _check_unchanged(connection: Connection, name: str, if_match: str, if_none_match: str) -> None:
    """Hold what a request says of the view that it writes over against what is there."""
    if if_match or if_none_match:
        found = find_view(connection, name)
        current = None if found is None else tag_of(shown(found))
        check_preconditions(current, if_match=if_match, if_none_match=if_none_match)
