"""The pages of recertification: campaigns, who owes what, and answers of owners to what they are asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from keycensus_collector.access.permissions import Permission
from keycensus_collector.api import campaign_answers as answers
from keycensus_collector.api import campaigns as api
from keycensus_collector.api.campaign_answers import own_teams
from keycensus_collector.api.campaign_results import Campaign, CampaignOwner
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.paging import BIGGEST_INTEGER
from keycensus_collector.recertification.states import STATES
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Again, Sent, attempt, led, submit
from keycensus_collector.web.listed import LISTS
from keycensus_collector.web.teams import team_names
from keycensus_collector.web.wording import address, segment

router = APIRouter()

_CAMPAIGNS, _LINES = 100, 100
# Of so many that still take answers it is told how much of one's own is open.
_MOST_RUNNING = 10
_TAKING = ("running", "due")
_NEW = {"by": "30d", "name": "", "q": "", "team": ""}
_SAID = {"remark": "", "proposed": ""}
_FILTERS = ("team", "state", "mine")

State = Literal["", "confirmed", "disputed", "open", "lapsed", "moved", "gone"]


@router.get("/recertification")
async def campaigns(
    visit: Visiting, before: Annotated[int | None, Query(ge=1, le=BIGGEST_INTEGER)] = None
) -> Response:
    """Show campaigns, the newest first, and what is open of one's own in those that run."""
    return await _show_all(visit, _NEW, (), before=before)


@router.post("/recertification")
async def start(visit: Visiting) -> Response:
    """Tell whom a campaign would ask, or start it."""

    async def act(sent: Sent) -> Response:
        said: dict[str, Any] = {name: sent.text(name) for name in _NEW}
        body = api.StartBody.model_validate(said | {"lists": sent.texts("lists")})
        if sent.text("do") != "start":
            asked = await api.preview_campaign(body, visit.store, visit.clock, visit.principal)
            given = {name: sent.text(name) for name in _NEW}
            return await _show_all(visit, given, sent.texts("lists"), asked=asked)
        started = await api.start_campaign(body, visit.store, visit.clock, visit.principal)
        return led(_address(started.name), "campaign-started")

    async def again(sent: Sent, mistake: Mistake) -> Response:
        given = {name: sent.text(name) for name in _NEW}
        return await _show_all(visit, given, sent.texts("lists"), mistake=mistake)

    return await attempt(visit, act, again)


@router.get("/recertification/{name}")
async def campaign(
    name: str,
    visit: Visiting,
    team: Annotated[str, Query(max_length=64)] = "",
    state: State = "",
    cursor: Annotated[str, Query(max_length=1_000)] = "",
    *,
    mine: bool = False,
) -> Response:
    """Show one campaign: each owner with what stands how, and the lines, of one owner or in one state."""
    filters = {"team": team, "state": state, "mine": "true" if mine else ""}
    return await _show(visit, name, filters, cursor=cursor)


@router.post("/recertification/{name}")
async def answer(name: str, visit: Visiting) -> Response:
    """Say what is yours, and what is not: of the line whose button it was, of those chosen, of all."""

    async def act(sent: Sent) -> str:
        body = answers.AnswerBody.model_validate(_answer_of(sent))
        await answers.answer_campaign(name, body, visit.store, visit.clock, visit.principal)
        return _address(name, **_filters(sent))

    return await submit(visit, act, _again(visit, name), "answered")


@router.post("/recertification/{name}/accept")
async def accept(name: str, visit: Visiting) -> Response:
    """Give disputed things to whose they are said to be: the chosen ones, or all."""

    async def act(sent: Sent) -> str:
        said = {"all": True} if sent.text("do") == "all" else {"items": _items(sent)}
        body = answers.AcceptBody.model_validate(said)
        await answers.accept_disputes(name, body, visit.store, visit.clock, visit.principal)
        return _address(name, **_filters(sent))

    return await submit(visit, act, _again(visit, name), "disputes-accepted")


@router.post("/recertification/{name}/close")
async def close(name: str, visit: Visiting) -> Response:
    """Take no answers any more."""

    async def act(_: Sent) -> str:
        await api.close_campaign(name, visit.store, visit.clock, visit.principal)
        return _address(name)

    return await submit(visit, act, _again(visit, name), "campaign-closed")


@router.post("/recertification/{name}/cancel")
async def cancel(name: str, visit: Visiting) -> Response:
    """Let a campaign count for nothing."""

    async def act(_: Sent) -> str:
        await api.cancel_campaign(name, visit.store, visit.clock, visit.principal)
        return _address(name)

    return await submit(visit, act, _again(visit, name), "campaign-cancelled")


def _answer_of(sent: Sent) -> dict[str, Any]:
    """Return an answer as REST takes it. A line's own button says that this one is confirmed."""
    one = sent.text("confirm")
    if one:
        return {"answer": "confirmed", "items": [one]}
    said: dict[str, Any] = {
        "answer": sent.text("answer") or None,
        "remark": sent.text("remark"),
        "proposed": sent.text("proposed"),
    }
    if sent.text("do") == "all":
        return said | {"all": True, "team": sent.text("team")}
    return said | {"items": _items(sent)}


def _items(sent: Sent) -> list[str]:
    items = sent.texts("item")
    if not items:
        raise UsageError("No line was chosen: choose some, or say that all are meant.")
    return items


def _filters(sent: Sent) -> dict[str, str]:
    return {name: sent.text(name) for name in _FILTERS}


def _address(name: str, **filters: str) -> str:
    return address(f"/recertification/{segment(name)}", **filters)


def _again(visit: Visit, name: str) -> Again:
    async def again(sent: Sent, mistake: Mistake) -> Response:
        filters = _filters(sent)
        if filters["state"] not in {"", *STATES}:
            filters["state"] = ""
        given = {"answer": sent.text("answer")} | {field: sent.text(field) for field in _SAID}
        return await _show(visit, name, filters, given=given, mistake=mistake)

    return again


async def _show_all(
    visit: Visit,
    given: Mapping[str, str],
    lists: Sequence[str],
    *,
    before: int | None = None,
    asked: list[CampaignOwner] | None = None,
    mistake: Mistake | None = None,
) -> Response:
    found = await api.list_campaigns(visit.store, visit.clock, before=before, limit=_CAMPAIGNS)
    own = await visit.store.run_read(lambda connection: own_teams(connection, visit.principal))
    running = [each for each in found if each.state in _TAKING][:_MOST_RUNNING] if own else []
    return visit.page(
        "campaigns.html",
        mistake=mistake,
        given=given,
        lists=[(each.name, each.title, each.name in lists) for each in LISTS.values()],
        campaigns=found,
        next=found[-1].number if len(found) == _CAMPAIGNS else None,
        mine=[(each, await _open_of_mine(visit, each)) for each in running],
        asked=asked,
        names=await team_names(visit),
        may_write=visit.principal.may(Permission.CAMPAIGNS_WRITE),
    )


async def _open_of_mine(visit: Visit, found: Campaign) -> int:
    """Return how many lines of one's own teams nobody has answered yet."""
    state: State = "open" if found.state == "running" else "lapsed"
    page = await api.campaign_lines(
        found.name, visit.store, visit.clock, visit.principal, state=state, limit=1, mine=True
    )
    return page.total


async def _show(
    visit: Visit,
    name: str,
    filters: Mapping[str, str],
    *,
    cursor: str = "",
    given: Mapping[str, str] | None = None,
    mistake: Mistake | None = None,
) -> Response:
    found = await api.campaign(name, visit.store, visit.clock)
    owners = await api.campaign_owners(name, visit.store, visit.clock)
    state: Any = filters["state"]
    lines = await api.campaign_lines(
        name,
        visit.store,
        visit.clock,
        visit.principal,
        team=filters["team"],
        state=state,
        cursor=cursor,
        limit=_LINES,
        mine=filters["mine"] == "true",
    )
    taking = found.state in _TAKING
    principal = visit.principal
    own = await visit.store.run_read(lambda connection: own_teams(connection, principal))
    return visit.page(
        "campaign.html",
        mistake=mistake,
        campaign=found,
        owners=owners,
        lines=lines,
        states=STATES,
        filters=filters,
        given={"answer": "confirmed"} | _SAID | dict(given or {}),
        names=await team_names(visit),
        has_own=bool(own),
        may_answer=taking
        and (
            principal.may(Permission.CAMPAIGNS_WRITE)
            or (bool(own) and principal.may(Permission.CONFIRM_WRITE))
        ),
        may_write=taking and principal.may(Permission.CAMPAIGNS_WRITE),
    )
