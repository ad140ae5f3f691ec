"""The pages of lists: a query, what it lists, a page at a time; and the same in groups."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy import Connection

from keycensus_collector.api.parameters import (
    CertificateParameters,
    HostParameters,
    KeyParameters,
    ListParameters,
    PlaceParameters,
)
from keycensus_collector.api.queries import READERS, GroupParameters, List
from keycensus_collector.errors import QueryError
from keycensus_collector.inventory import figures, groups, results
from keycensus_collector.views.stored import list_views
from keycensus_collector.web.asking import Visit, Visiting

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Listed:
    """One list as its page shows it: columns are (name in the template, heading)."""

    name: str
    title: str
    placeholder: str
    columns: tuple[tuple[str, str], ...]


LISTS = {
    listed.name: listed
    for listed in (
        Listed(
            "certificates",
            "Certificates",
            'expires<30d host:web*   ·   issuer:"Let\'s Encrypt"   ·   owner:none',
            (
                ("name", "Certificate"),
                ("ends", "Expires"),
                ("issuer", "Issuer"),
                ("places", "Places"),
                ("hosts", "Hosts"),
                ("service", "Service"),
                ("owners", "Owner"),
            ),
        ),
        Listed(
            "keys",
            "Private keys",
            "readable-by:world   ·   certificate:none   ·   key:rsa bits<2048",
            (
                ("key", "Key"),
                ("certificates", "Certificates"),
                ("places", "Places"),
                ("hosts", "Hosts"),
                ("readers", "Readable by"),
                ("owners", "Owner"),
            ),
        ),
        Listed(
            "places",
            "Places",
            "status:locked   ·   path:/etc/nginx/**   ·   readable-by:world",
            (
                ("path", "Path"),
                ("host", "Host"),
                ("format", "Format"),
                ("status", "Status"),
                ("role", "Role"),
                ("mode", "Mode"),
                ("changed", "Changed"),
            ),
        ),
        Listed(
            "hosts",
            "Hosts",
            "state:silent   ·   gap:any   ·   label.environment:production",
            (
                ("name", "Host"),
                ("state", "State"),
                ("seen", "Heard of"),
                ("certificates", "Certificates"),
                ("keys", "Keys"),
                ("gaps", "Gaps"),
                ("os", "System"),
            ),
        ),
    )
}
_PAGE_ROWS = 50
_GROUPS = 60


@router.get("/certificates")
async def certificates(
    parameters: Annotated[CertificateParameters, Query()],
    visit: Visiting,
) -> Response:
    """Show certificates, those that expire first at the start."""
    by_importance = parameters.sort == "importance"
    return await _list(visit, "certificates", parameters, by_importance=by_importance)


@router.get("/keys")
async def keys(
    parameters: Annotated[KeyParameters, Query()],
    visit: Visiting,
) -> Response:
    """Show private keys."""
    return await _list(visit, "keys", parameters)


@router.get("/places")
async def places(
    parameters: Annotated[PlaceParameters, Query()],
    visit: Visiting,
) -> Response:
    """Show places, by host and path."""
    return await _list(visit, "places", parameters)


@router.get("/hosts")
async def hosts(
    parameters: Annotated[HostParameters, Query()],
    visit: Visiting,
) -> Response:
    """Show hosts, by name."""
    return await _list(visit, "hosts", parameters)


@router.get("/{list_}/by/{by}")
async def grouped(
    list_: List,
    by: str,
    visit: Visiting,
    q: str = "",
) -> Response:
    """Show a list in groups, as bars, each of which leads to its rows."""
    listed = LISTS[list_]
    asked = GroupParameters(by=by, q=q, limit=_GROUPS).asked_by(visit.principal)
    work = partial(
        figures.group,
        query=asked.as_query(),
        target=list_,
        by=by,
        now_ms=visit.now_ms,
        limit=_GROUPS,
    )
    found = await visit.store.run_read(work)
    return visit.page(
        "groups.html",
        listed=listed,
        query=q,
        found=found,
        choices=groups.choices(list_),
    )


async def _list(
    visit: Visit,
    name: str,
    parameters: ListParameters,
    **options: Any,  # noqa: ANN401 - of one list
) -> Response:
    listed = LISTS[name]
    limit = parameters.limit if "limit" in parameters.model_fields_set else _PAGE_ROWS

    def work(connection: Connection) -> results.Page:
        return READERS[name](
            connection,
            parameters.asked_by(visit.principal).as_query(),
            visit.now_ms,
            limit=limit,
            cursor=parameters.cursor,
            exactly=parameters.exactly,
            **options,
        )

    found, problem = None, None
    try:
        found = await visit.store.run_read(work)
    except QueryError as error:
        problem = error
    views = [view for view in await visit.store.run_read(list_views) if view.what == name]
    return visit.page(
        "list.html",
        status=HTTPStatus.OK if problem is None else HTTPStatus.BAD_REQUEST,
        listed=listed,
        found=found,
        problem=problem,
        query=parameters.q,
        parameters=_given(parameters),
        views=[view for view in views if not view.problem],
        choices=groups.choices(name),
    )


def _given(parameters: ListParameters) -> dict[str, object]:
    """Return what the address of this page said, without where in the list it is."""
    given = parameters.model_dump(include=parameters.model_fields_set, exclude_none=True)
    given.pop("cursor", None)
    return {
        name: str(value).lower() if value in {True, False} else value
        for name, value in given.items()
    }
