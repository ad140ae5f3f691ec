"""The page of views: queries with a name, with how many each lists; saved and deleted by those who may."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from keycensus_collector.access.permissions import Permission
from keycensus_collector.api import views as api
from keycensus_collector.api.problems import no_view
from keycensus_collector.views.shown import shown
from keycensus_collector.views.stored import find_view, list_views
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Sent, submit
from keycensus_collector.web.listed import CHOICES

router = APIRouter()

_FIELDS = ("name", "what", "query", "description")
_EMPTY = dict.fromkeys(_FIELDS, "")


@router.get("/views")
async def views(visit: Visiting, what: str = "", q: str = "") -> Response:
    """Show all views. `what` and `q`: of which list, and the query with which to begin a new one."""
    return await _show(visit, {**_EMPTY, "what": what, "query": q})


@router.get("/views/{name}")
async def view(name: str, visit: Visiting) -> Response:
    """Show one view, to be changed or deleted."""
    found = await visit.store.run_read(partial(find_view, name=name))
    if found is None:
        raise no_view(name)
    answer = shown(found)
    given = {
        "name": name,
        "what": found.what,
        "query": found.query,
        "description": found.description,
    }
    return _page(visit, "view.html", given, one=answer)


@router.post("/views")
async def save(visit: Visiting) -> Response:
    """Save a view, over the one of its name."""

    async def act(sent: Sent) -> str:
        body = api.ViewBody.model_validate(
            {name: sent.text(name) for name in _FIELDS if name != "name"}
        )
        await api.save(
            sent.text("name"), body, visit.store, visit.clock, visit.principal, Response()
        )
        return "/views"

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _show(visit, {name: sent.text(name) for name in _FIELDS}, mistake)

    return await submit(visit, act, again, "view-saved")


@router.post("/views/{name}/delete")
async def delete(name: str, visit: Visiting) -> Response:
    """Delete a saved view."""

    async def act(_: Sent) -> str:
        await api.remove(name, visit.store, visit.clock, visit.principal)
        return "/views"

    async def again(_: Sent, mistake: Mistake) -> Response:
        return await _show(visit, _EMPTY, mistake)

    return await submit(visit, act, again, "view-deleted")


async def _show(visit: Visit, given: Mapping[str, str], mistake: Mistake | None = None) -> Response:
    found = [shown(view) for view in await visit.store.run_read(list_views)]
    return _page(visit, "views.html", given, mistake, views=found)


def _page(
    visit: Visit,
    template: str,
    given: Mapping[str, str],
    mistake: Mistake | None = None,
    **data: Any,  # noqa: ANN401 - what the template names
) -> Response:
    return visit.page(
        template,
        mistake=mistake,
        given=given,
        lists=CHOICES,
        may_write=visit.principal.may(Permission.VIEWS_WRITE),
        **data,
    )
