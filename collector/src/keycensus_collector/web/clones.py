"""The page of identities that several machines share: told what giving each its own would do, then done."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from keycensus_collector.access.permissions import Permission
from keycensus_collector.api import clones as api
from keycensus_collector.query.parse import MOST_CHARACTERS
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import MISTAKES, Sent, attempt, led, mistake_of

router = APIRouter()

_FIELDS = ("q", "within_hours", "copies")
_NUMBER_CHARACTERS = 20


@router.get("/clones")
async def clones(
    visit: Visiting,
    q: Annotated[str, Query(max_length=MOST_CHARACTERS)] = "",
    within_hours: Annotated[str, Query(max_length=_NUMBER_CHARACTERS)] = "",
    copies: Annotated[str, Query(max_length=_NUMBER_CHARACTERS)] = "",
) -> Response:
    """Show shared identities, all or those of hosts that a query lists, and what ending them would do."""
    return await _show(visit, {"q": q, "within_hours": within_hours, "copies": copies})


@router.post("/clones")
async def rekey(visit: Visiting) -> Response:
    """Give the machines one identity each, if they are still those that were told."""

    async def act(sent: Sent) -> Response:
        body = _body({name: sent.text(name) for name in _FIELDS}, preview=False)
        await api.rekey_clones(
            body,
            visit.store,
            visit.clock,
            visit.principal,
            Response(),
            if_match=f'"{sent.text("digest")}"',
        )
        return led("/agents?state=rekeyed", "clones-rekeyed")

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _show(visit, {name: sent.text(name) for name in _FIELDS}, mistake)

    return await attempt(visit, act, again)


def _body(given: dict[str, str], *, preview: bool) -> api.ClonesBody:
    said = {name: value for name, value in given.items() if value}
    return api.ClonesBody.model_validate(said | {"preview": preview})


async def _show(visit: Visit, given: dict[str, str], mistake: Mistake | None = None) -> Response:
    told = None
    try:
        told = await api.rekey_clones(
            _body(given, preview=True), visit.store, visit.clock, visit.principal, Response()
        )
    except MISTAKES as error:
        mistake = mistake or mistake_of(error, visit.request.url.path)
    usual = api.ClonesBody()
    return visit.page(
        "clones.html",
        mistake=mistake,
        told=told,
        given={
            "q": given["q"],
            "within_hours": given["within_hours"] or str(usual.within_hours),
            "copies": given["copies"] or str(usual.copies),
        },
        may_write=visit.principal.may(Permission.AGENTS_BAN),
    )
