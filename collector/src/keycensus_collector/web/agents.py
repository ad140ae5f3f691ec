"""The pages of agents: which identities there are and what ails them, and what operators do to them."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from typing import Annotated, get_args

from fastapi import APIRouter, Query
from fastapi.responses import Response

from keycensus_collector.access.permissions import Permission
from keycensus_collector.api import agents as api
from keycensus_collector.inventory.paging import DEFAULT_LIMIT
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Sent, refused, submit
from keycensus_collector.web.wording import segment

router = APIRouter()

_SUCCESSIONS = 20


@router.get("/agents")
async def agents(
    visit: Visiting,
    state: Annotated[api.State | None, Query()] = None,
    host: Annotated[str, Query(max_length=255)] = "",
    cursor: Annotated[str, Query(max_length=2_000)] = "",
) -> Response:
    """List identities, and hosts that may be earlier ones installed anew."""
    found = await api.agents(
        visit.store,
        visit.clock,
        state=[state] if state else [],
        host=host,
        cursor=cursor,
        limit=DEFAULT_LIMIT,
    )
    return visit.page(
        "agents.html",
        found=found,
        states=get_args(api.State),
        given={"state": state or "", "host": host},
        successions=(await api.successions(visit.store))[:_SUCCESSIONS],
        may_write=visit.principal.may(Permission.HOSTS_WRITE),
    )


@router.get("/agents/{agent}")
async def agent(agent: str, visit: Visiting) -> Response:
    """Show one identity, and what can be done about it."""
    return await _show(visit, agent, {})


@router.post("/agents/{agent}/ban")
async def ban(agent: str, visit: Visiting) -> Response:
    """Shut its host out."""

    async def act(sent: Sent) -> str:
        body = api.ReasonBody.model_validate({"reason": sent.text("reason")})
        await api.ban(agent, body, visit.store, visit.clock, visit.principal)
        return _address(agent)

    return await submit(visit, act, partial(_again, visit, agent, "ban"), "agent-banned")


@router.post("/agents/{agent}/unban")
async def unban(agent: str, visit: Visiting) -> Response:
    """Let its host in again."""

    async def act(_: Sent) -> str:
        await api.unban(agent, visit.store, visit.clock, visit.principal)
        return _address(agent)

    return await submit(visit, act, partial(_again, visit, agent, "unban"), "agent-unbanned")


@router.post("/agents/{agent}/evict")
async def evict(agent: str, visit: Visiting) -> Response:
    """End it."""

    async def act(sent: Sent) -> str:
        body = api.ReasonBody.model_validate({"reason": sent.text("reason")})
        await api.evict(agent, body, visit.store, visit.clock, visit.principal)
        return _address(agent)

    return await submit(visit, act, partial(_again, visit, agent, "evict"), "agent-evicted")


@router.post("/agents/{agent}/rekey")
async def rekey(agent: str, visit: Visiting) -> Response:
    """Give each machine that shares it one of its own."""

    async def act(sent: Sent) -> str:
        body = api.RekeyBody.model_validate(
            {
                "keep": sent.text("keep"),
                "within_hours": sent.text("within_hours"),
                "copies": sent.text("copies"),
            }
        )
        await api.rekeyed(agent, body, visit.store, visit.clock, visit.principal)
        return _address(agent)

    return await submit(visit, act, partial(_again, visit, agent, "rekey"), "agent-rekeyed")


@router.post("/hosts/{host}/retire")
async def retire(host: str, visit: Visiting) -> Response:
    """Retire a host."""

    async def act(_: Sent) -> str:
        told = await api.retire(host, visit.store, visit.clock, visit.principal)
        return f"/hosts/{segment(told.id)}"

    async def again(_: Sent, mistake: Mistake) -> Response:
        return await refused(visit, mistake)

    return await submit(visit, act, again, "host-retired")


@router.post("/hosts/{host}/succeeds")
async def succeeds(host: str, visit: Visiting) -> Response:
    """Say that a host is an earlier one, installed anew."""

    async def act(sent: Sent) -> str:
        body = api.SucceedsBody.model_validate({"old": sent.text("old")})
        told = await api.succeeds(host, body, visit.store, visit.clock, visit.principal)
        return f"/hosts/{segment(told.id)}"

    async def again(_: Sent, mistake: Mistake) -> Response:
        return await refused(visit, mistake)

    return await submit(visit, act, again, "host-succeeds")


async def _again(visit: Visit, agent: str, form: str, sent: Sent, mistake: Mistake) -> Response:
    if mistake.status is HTTPStatus.NOT_FOUND:
        return await refused(visit, mistake)
    names = ("reason", "keep", "within_hours", "copies")
    given = {"form": form, **{name: sent.text(name) for name in names}}
    return await _show(visit, agent, given, mistake)


async def _show(
    visit: Visit, agent: str, given: dict[str, str], mistake: Mistake | None = None
) -> Response:
    found = await api.one_agent(agent, visit.store, visit.clock, visit.principal)
    defaults = api.RekeyBody()
    usual = {
        "form": "",
        "reason": "",
        "keep": "",
        "within_hours": str(defaults.within_hours),
        "copies": str(defaults.copies),
    }
    return visit.page(
        "agent.html",
        mistake=mistake,
        one=found,
        given=usual | given,
        may_write=visit.principal.may(Permission.AGENTS_BAN),
        may_retire=visit.principal.may(Permission.HOSTS_WRITE) and found.host_state != "retired",
    )


def _address(agent: str) -> str:
    return f"/agents/{segment(agent)}"
