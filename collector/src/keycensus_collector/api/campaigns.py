"""Campaigns of recertification: started, read, closed and cancelled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from keycensus_collector.api.campaign_answers import own_teams
from keycensus_collector.api.campaign_results import (
    Campaign,
    CampaignLinePage,
    CampaignOwner,
    campaign_of,
    owner_of,
    page_of,
)
from keycensus_collector.api.queries import List
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.inventory.paging import BIGGEST_INTEGER, DEFAULT_LIMIT, PAGE_LIMIT
from keycensus_collector.ownership.teams import team_no
from keycensus_collector.recertification import campaigns
from keycensus_collector.recertification.lines import owing, page

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["recertification"])

_Name = Annotated[str, Field(max_length=64)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StartBody(_Body):
    """A campaign to start. `by`: a date, its end is meant, or a length of time from now.

    Without `lists`: all that owners hold, or with a query `q` its certificates. `team`: of this one only.
    """

    by: Annotated[str, Field(max_length=64, examples=["2026-12-31"])]
    name: Annotated[str, Field(max_length=64, examples=["q4-2026"])] = ""
    q: Annotated[str, Field(max_length=8_000, examples=["label.environment:prod"])] = ""
    lists: Annotated[list[List], Field(max_length=4)] = []
    team: _Name = ""


@router.get("/campaigns", summary="Campaigns, the newest first")
async def list_campaigns(
    store: StoreOf,
    clock: ClockOf,
    *,
    before: Annotated[
        int | None, Query(ge=1, le=BIGGEST_INTEGER, description="From behind this number on.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="How many at most.")] = PAGE_LIMIT,
) -> list[Campaign]:
    """Without counts; one campaign has them."""
    found = await store.run_read(partial(campaigns.list_campaigns, before=before, limit=limit))
    return [campaign_of(each, clock.now_ms()) for each in found]


@router.post("/campaigns", summary="Start a campaign", status_code=201)
async def start_campaign(
    body: StartBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Campaign:
    """Ask each owner for what they hold now. For operators and admins."""
    now_ms = clock.now_ms()

    def work(connection: Connection) -> campaigns.Campaign:
        return campaigns.start(
            connection, _wanted(body), asker=principal.user, actor=principal.actor, now_ms=now_ms
        )

    return await _whole(store, (await store.run_write(work)).name, now_ms)


class _UndoError(Exception):
    """What was started is only looked at."""

    def __init__(self, owners: list[CampaignOwner]) -> None:
        super().__init__()
        self.owners = owners


@router.post("/campaigns/preview", summary="Say whom a campaign would ask")
async def preview_campaign(
    body: StartBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> list[CampaignOwner]:
    """Each owner who would be asked now, with how many things are `open` to them; nothing is started."""
    now_ms = clock.now_ms()

    def work(connection: Connection) -> None:
        found = campaigns.start(
            connection, _wanted(body), asker=principal.user, actor=principal.actor, now_ms=now_ms
        )
        raise _UndoError([owner_of(each) for each in owing(connection, found, now_ms)])

    try:
        await store.run_write(work)
    except _UndoError as undone:
        return undone.owners
    raise AssertionError("a campaign that was only looked at was started")


@router.get("/campaigns/{name}", summary="One campaign")
async def campaign(name: str, store: StoreOf, clock: ClockOf) -> Campaign:
    """With how many lines stand how."""
    return await _whole(store, name, clock.now_ms())


@router.get("/campaigns/{name}/owners", summary="Who owes what")
async def campaign_owners(name: str, store: StoreOf, clock: ClockOf) -> list[CampaignOwner]:
    """Each owner in the campaign by name, with how many lines stand how, and who can be asked."""

    def work(connection: Connection) -> list[CampaignOwner]:
        found = campaigns.find_campaign(connection, name)
        return [owner_of(each) for each in owing(connection, found, clock.now_ms())]

    return await store.run_read(work)


@router.get("/campaigns/{name}/lines", summary="What owners are asked about")
async def campaign_lines(  # noqa: PLR0917 - each is a part of the request
    name: str,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    team: Annotated[str, Query(max_length=64, description="Of this owner.")] = "",
    state: Annotated[
        Literal["", "confirmed", "disputed", "open", "lapsed", "moved", "gone"],
        Query(description="That stand so."),
    ] = "",
    cursor: Annotated[
        str, Query(max_length=1_000, description="`next` of the page before; empty: the start.")
    ] = "",
    limit: Annotated[
        int, Query(ge=1, le=PAGE_LIMIT, description="How many items a page has at most.")
    ] = DEFAULT_LIMIT,
    *,
    mine: Annotated[bool, Query(description="Of your own teams.")] = False,
) -> CampaignLinePage:
    """By owner and name."""

    def work(connection: Connection) -> CampaignLinePage:
        found = campaigns.find_campaign(connection, name)
        owners: frozenset[int] | None = None
        if team:
            owners = frozenset({team_no(connection, team)})
        if mine:
            own = own_teams(connection, principal)
            owners = own if owners is None else owners & own
        return page_of(
            page(
                connection,
                found,
                clock.now_ms(),
                owners=owners,
                state=state,
                cursor=cursor,
                limit=limit,
            )
        )

    return await store.run_read(work)


@router.post("/campaigns/{name}/close", summary="Close a campaign")
async def close_campaign(
    name: str, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Campaign:
    """Take no answers any more: what is open is lapsed."""
    return await _ended(campaigns.close, name, store, principal.actor, clock.now_ms())


@router.post("/campaigns/{name}/cancel", summary="Cancel a campaign")
async def cancel_campaign(
    name: str, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Campaign:
    """As if it had not been: what was answered counts for nothing. Not once its date has passed."""
    return await _ended(campaigns.cancel, name, store, principal.actor, clock.now_ms())


def _wanted(body: StartBody) -> campaigns.Wanted:
    return campaigns.Wanted(
        by=body.by, name=body.name, query=body.q, lists=tuple(body.lists), team=body.team
    )


async def _ended(
    end: Callable[..., None], name: str, store: StoreOf, actor: str, now_ms: int
) -> Campaign:
    def work(connection: Connection) -> None:
        end(connection, campaigns.find_campaign(connection, name), actor=actor, now_ms=now_ms)

    await store.run_write(work)
    return await _whole(store, name, now_ms)


async def _whole(store: StoreOf, name: str, now_ms: int) -> Campaign:
    def work(connection: Connection) -> Campaign:
        found = campaigns.find_campaign(connection, name)
        return campaign_of(found, now_ms, owing(connection, found, now_ms))

    return await store.run_read(work)
