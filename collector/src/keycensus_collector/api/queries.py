"""What is made of a query besides lists: groups for charts, exports, and completion while typing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import Field
from sqlalchemy import Connection

from keycensus_collector.api.parameters import QueryParameters
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.inventory import export, figures, groups, results
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.gap_list import list_gaps
from keycensus_collector.inventory.hosts import list_hosts
from keycensus_collector.inventory.keys import list_keys
from keycensus_collector.inventory.paging import PAGE_LIMIT
from keycensus_collector.inventory.place_list import list_places
from keycensus_collector.query.complete import Completion, complete
from keycensus_collector.query.parse import MOST_CHARACTERS

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)

List = Literal["certificates", "keys", "places", "hosts"]
# What can be asked besides: no things, so nobody owns or marks them.
Listing = Literal["certificates", "keys", "places", "hosts", "gaps"]
_MEDIA_TYPES = {
    "ndjson": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}


class GroupParameters(QueryParameters):
    """A list in groups."""

    by: Annotated[
        str,
        Field(
            max_length=70,
            description="What to group by: `issuer`, `owner`, `expires-week`, `label.env`, …; a wrong one names all.",
            examples=["issuer"],
        ),
    ]
    limit: Annotated[
        int, Field(ge=1, le=groups.MOST_GROUPS, description="How many groups, the largest first.")
    ] = 100


class ExportParameters(QueryParameters):
    """A whole list as a file."""

    format: Annotated[
        Literal["ndjson", "csv", "json"],
        Field(description="One JSON object a line, a table, or one JSON document."),
    ] = "ndjson"
    columns: Annotated[
        str,
        Field(max_length=1_000, description="Names of members, by commas; empty: all."),
    ] = ""
    sort: Annotated[
        str,
        Field(max_length=100, description="In which order, as `sort` of the list."),
    ] = ""


@router.get("/groups/{list_}", tags=["queries"], summary="A list in groups, for charts")
async def grouped(
    list_: Listing,
    parameters: Annotated[GroupParameters, Query()],
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
) -> groups.Groups:
    """How many of what a query lists have which value; each group says the query that lists it."""
    return await store.run_read(
        partial(
            figures.group,
            query=parameters.asked_by(principal).as_query(),
            target=list_,
            by=parameters.by,
            now_ms=clock.now_ms(),
            limit=parameters.limit,
        )
    )


@router.get(
    "/export/{list_}",
    tags=["queries"],
    summary="A whole list as NDJSON, CSV or JSON",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "The list, and a last line that says how many items it has.",
            "content": {
                "application/x-ndjson": {
                    "schema": {"type": "string"},
                    "example": '{"name":"web1","state":"active"}\n{"end":true,"items":1}\n',
                },
                "application/json": {
                    "schema": {"type": "object"},
                    "example": {"items": [{"name": "web1", "state": "active"}], "total": 1},
                },
                "text/csv": {
                    "schema": {"type": "string"},
                    "example": '"name","state"\n"web1","active"\n"# end","1"\n',
                },
            },
        }
    },
)
async def exported(
    list_: Listing,
    parameters: Annotated[ExportParameters, Query()],
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
) -> StreamingResponse:
    """All that the list of this name shows for the query, in its order, as it is read.

    The last line says that this is all, and how many items there are: NDJSON `{"end":true,"items":N}`,
    CSV `"# end","N"`; JSON is one document, `{"items": […], "total": N}`. A file without its end was cut short.
    """
    columns = export.columns_of(list_, parameters.columns, parameters.format)
    query, now_ms = parameters.asked_by(principal).as_query(), clock.now_ms()

    async def page(cursor: str) -> results.Page:
        def work(connection: Connection) -> results.Page:
            return READERS[list_](
                connection, query, now_ms, limit=PAGE_LIMIT, cursor=cursor, sort=parameters.sort
            )

        return await store.run_read(work)

    # Before anything is sent, so that a mistake is an answer and not half a file.
    first = await page("")

    async def content() -> AsyncIterator[str]:
        yield export.head(columns, parameters.format)
        current, items = first, 0
        while True:
            page_items = getattr(current, "items", ())
            yield export.lines(page_items, columns, parameters.format, items)
            items += len(page_items)
            if current.next is None:
                yield export.end(items, parameters.format)
                return
            current = await page(current.next)

    return StreamingResponse(
        content(),
        media_type=_MEDIA_TYPES[parameters.format],
        headers={"Content-Disposition": f'attachment; filename="{list_}.{parameters.format}"'},
    )


READERS: dict[str, Callable[..., results.Page]] = {
    "certificates": list_certificates,
    "keys": list_keys,
    "places": list_places,
    "hosts": list_hosts,
    "gaps": list_gaps,
}


@router.get("/completion/{list_}", tags=["queries"], summary="What can stand in a query")
async def completed(
    list_: Listing,
    q: Annotated[
        str, Query(max_length=MOST_CHARACTERS, description="The query, as far as it is typed.")
    ] = "",
    position: Annotated[
        int | None, Query(ge=0, le=MOST_CHARACTERS, description="Where; without it, at the end.")
    ] = None,
) -> Completion:
    """Fields, operators and values that can replace the part from `start`, `length` characters long."""
    return complete(list_, q, len(q) if position is None else position)
