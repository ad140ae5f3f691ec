"""The pages of lists: a query, what it lists, a page at a time; and the same in groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy import Connection

from keycensus_collector.access.permissions import Permission
from keycensus_collector.access.preferences import Holder, prefer, preferred
from keycensus_collector.api.parameters import (
    CertificateParameters,
    GapParameters,
    HostParameters,
    KeyParameters,
    ListParameters,
    PlaceParameters,
    QueryParameters,
)
from keycensus_collector.api.queries import READERS, Listing
from keycensus_collector.errors import QueryError
from keycensus_collector.inventory import figures, groups, results
from keycensus_collector.inventory.paging import EXACT_TOTAL
from keycensus_collector.inventory.sorting import SORTS, USUAL
from keycensus_collector.query.fields import OF_TODAY
from keycensus_collector.query.model import Query as Asked
from keycensus_collector.query.model import terms
from keycensus_collector.views.model import View
from keycensus_collector.views.stored import list_views
from keycensus_collector.web.asking import Visit, Visiting, form_of
from keycensus_collector.web.forms import Sent
from keycensus_collector.web.listed import LISTS, LOCKED, Column, members_of
from keycensus_collector.web.wording import address

router = APIRouter()


# Rows that can be chosen on one page: their IDs stand in an address. More are meant by a query.
MOST_CHOSEN = 200
# With these beside a query, it lists what it says.
_NO_FILTERS = frozenset({"q", "limit", "sort", "total"})
# Of the address of a page of a list, what is not of the list.
_OF_THIS_PAGE = frozenset({"cursor", "done"})
_PAGE_ROWS = 50
_GROUPS = 60
_FACET_ROWS = 6
_DAY_CHARACTERS = 100


class _OfPage(BaseModel):
    """What the address of a list has besides what is asked of it: a word for what was just done."""

    done: Annotated[str, Field(max_length=64)] = ""


class _Certificates(CertificateParameters, _OfPage):
    pass


class _Keys(KeyParameters, _OfPage):
    pass


class _Places(PlaceParameters, _OfPage):
    pass


class _Gaps(GapParameters, _OfPage):
    pass


class _Hosts(HostParameters, _OfPage):
    pass


@router.get("/certificates")
async def certificates(
    parameters: Annotated[_Certificates, Query()],
    visit: Visiting,
) -> Response:
    """Show certificates, those that expire first at the start."""
    return await _list(visit, "certificates", parameters)


@router.get("/keys")
async def keys(
    parameters: Annotated[_Keys, Query()],
    visit: Visiting,
) -> Response:
    """Show private keys."""
    return await _list(visit, "keys", parameters)


@router.get("/places")
async def places(
    parameters: Annotated[_Places, Query()],
    visit: Visiting,
) -> Response:
    """Show places, by host and path."""
    return await _list(visit, "places", parameters)


@router.get("/locked")
async def locked(
    parameters: Annotated[_Places, Query()],
    visit: Visiting,
) -> Response:
    """Show the places that only a password opens: key stores and other containers."""
    asked = parameters if parameters.q else parameters.model_copy(update={"q": LOCKED.query})
    return await _list(visit, "places", asked)


@router.get("/hosts")
async def hosts(
    parameters: Annotated[_Hosts, Query()],
    visit: Visiting,
) -> Response:
    """Show hosts, by name."""
    return await _list(visit, "hosts", parameters)


@router.get("/gaps")
async def gaps(
    parameters: Annotated[_Gaps, Query()],
    visit: Visiting,
) -> Response:
    """Show where agents could not look, by host and path."""
    return await _list(visit, "gaps", parameters)


@router.get("/{list_}/by/{by}")
async def grouped(
    list_: Listing,
    by: str,
    visit: Visiting,
    q: str = "",
    as_of: Annotated[str, Query(max_length=_DAY_CHARACTERS)] = "",
) -> Response:
    """Show a list in groups, as bars, each of which leads to its rows; now, or as they were on a day."""
    groups.dimension(list_, by)
    query = _asked(visit, q, as_of)
    found = await visit.store.run_read(
        partial(_groups, query=query, target=list_, by=by, now_ms=visit.now_ms, limit=_GROUPS)
    )
    return visit.page(
        "groups.html",
        listed=LISTS[list_],
        query=q,
        as_of=as_of,
        day=query.as_of,
        by=by,
        found=found,
        choices=groups.choices(list_),
    )


@router.get("/{list_}/facets")
async def facets(
    list_: Listing,
    visit: Visiting,
    q: str = "",
    as_of: Annotated[str, Query(max_length=_DAY_CHARACTERS)] = "",
) -> Response:
    """Show by what a list can be narrowed down, with how many rows each leaves; now, or on a day."""
    listed, now_ms, query = LISTS[list_], visit.now_ms, _asked(visit, q, as_of)

    def work(connection: Connection) -> list[groups.Groups | None]:
        return [
            _groups(connection, query, list_, by, now_ms, limit=_FACET_ROWS) for by in listed.facets
        ]

    found = await visit.store.run_read(work)
    return visit.page(
        "facets.html",
        listed=listed,
        query=q,
        as_of=as_of,
        day=query.as_of,
        facets=zip(listed.facets, found, strict=True),
    )


def _asked(visit: Visit, q: str, as_of: str) -> Asked:
    return QueryParameters(q=q, as_of=as_of).asked_by(visit.principal).as_query()


def _groups(
    connection: Connection, query: Asked, target: str, by: str, now_ms: int, *, limit: int
) -> groups.Groups | None:
    """Return a list in groups; None where that is not known of the day that is asked for."""
    if query.as_of and groups.is_of_today(target, by):
        return None
    return figures.group(connection, query, target, by, now_ms, limit=limit)


@router.post("/{list_}/columns")
async def choose_columns(list_: Listing, visit: Visiting) -> Response:
    """Keep which columns somebody wants to see of a list; none: the usual ones."""
    sent = Sent(await form_of(visit.request))
    wanted = sent.texts("column")
    chosen = [column.name for column in LISTS[list_].columns if column.name in wanted]
    holder = Holder("user", visit.principal.user_no)
    await visit.store.run_write(
        partial(prefer, holder=holder, name=f"columns.{list_}", words=chosen or None)
    )
    kept = {name: sent.text(name) for name in ("q", "as_of", "sort")}
    return RedirectResponse(address(f"/{list_}", **kept), HTTPStatus.SEE_OTHER)


async def _list(
    visit: Visit,
    name: str,
    parameters: ListParameters,
) -> Response:
    listed = LISTS[name]
    limit = parameters.limit if "limit" in parameters.model_fields_set else _PAGE_ROWS
    holder = Holder("user", visit.principal.user_no)

    def prepare(connection: Connection) -> tuple[list[View], list[str] | None]:
        views = [view for view in list_views(connection) if view.what == name and not view.problem]
        return views, preferred(connection, holder, f"columns.{name}")

    def work(connection: Connection) -> results.Page:
        return READERS[name](
            connection,
            parameters.asked_by(visit.principal).as_query(),
            visit.now_ms,
            limit=limit,
            cursor=parameters.cursor,
            exactly=parameters.exactly,
            sort=parameters.sort,
        )

    found, problem, day = None, None, ""
    of_today: frozenset[str] = frozenset()
    try:
        query = parameters.as_query()
        day = query.as_of
        of_today = OF_TODAY & {term.field for term in terms(query)} if day else frozenset()
        found = await visit.store.run_read(work)
    except QueryError as error:
        problem = error
    views, chosen = await visit.store.run_read(prepare)
    columns = listed.shown(chosen)
    return visit.page(
        "list.html",
        status=HTTPStatus.OK if problem is None else HTTPStatus.BAD_REQUEST,
        listed=listed,
        title=listed.title_of(parameters.q),
        columns=columns,
        headings=_headings(name, columns, parameters, found, day),
        members=members_of(columns),
        found=found,
        problem=problem,
        query=parameters.q,
        day=day,
        of_today=sorted(of_today),
        parameters=_given(parameters),
        views=views,
        choices=groups.choices(name),
        **_changing(visit, name, parameters, limit if not day else 0),
    )


def _changing(visit: Visit, name: str, parameters: ListParameters, limit: int) -> dict[str, Any]:
    """Return whether things of a list can be changed from its page, its rows, and all that the query lists.

    `limit`: of rows on the page; 0 where it shows a past day.
    """
    may = visit.principal.may(Permission.OWNERS_WRITE) and limit > 0 and name != "gaps"
    plain = parameters.model_fields_set <= _NO_FILTERS | _OF_THIS_PAGE
    return {
        "changes": may,
        "choosable": may and name != "places" and limit <= MOST_CHOSEN,
        "whole": may and plain and bool(parameters.q.strip()),
    }


def _headings(
    name: str,
    columns: Sequence[Column],
    parameters: ListParameters,
    found: results.Page | None,
    day: str,
) -> list[tuple[Column, str, str]]:
    """Return columns with the address that sorts by each, if any does, and how it is sorted by it now."""
    now = parameters.sort or USUAL[name]
    given = _given(parameters)
    # What is not soon sorted is not offered: a list that was not counted whole is too long for it.
    few = found is not None and found.total_is_exact and found.total <= EXACT_TOTAL
    headings = []
    for column in columns:
        sort = SORTS[name].get(column.sort)
        way, to = "", ""
        if sort is not None and column.sort == now.removeprefix("-"):
            way = "descending" if now.startswith("-") else "ascending"
        if sort is not None and (few or sort.has_index) and not (day and sort.of_today):
            word = f"-{column.sort}" if way == "ascending" else column.sort
            to = address(f"/{name}", **(given | {"sort": word}))
        headings.append((column, to, way))
    return headings


def _given(parameters: ListParameters) -> dict[str, object]:
    """Return what the address of this page said, without where in the list it is."""
    given = parameters.model_dump(include=parameters.model_fields_set, exclude_none=True)
    for name in _OF_THIS_PAGE:
        given.pop(name, None)
    return {
        name: str(value).lower() if value in {True, False} else value
        for name, value in given.items()
    }
