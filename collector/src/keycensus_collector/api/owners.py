"""Owners: why something is somebody's, giving and taking back by ID or query, and the fallback team."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from keycensus_collector.api.conditional import IfMatch
from keycensus_collector.api.days import TODAY, DayOf
from keycensus_collector.api.identities import one_match
from keycensus_collector.api.parameters import IdParameters
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.api.selection import Edited, Selection, edit, meant, thing_of
from keycensus_collector.inventory import results
from keycensus_collector.inventory.owners import ownership_of
from keycensus_collector.ownership import bulk
from keycensus_collector.ownership.assignments import assign, check_reason, release, scopes_of
from keycensus_collector.ownership.bulk import Plan
from keycensus_collector.ownership.settings import FALLBACK, change_setting, fallback_name
from keycensus_collector.ownership.teams import check_owner, team_no
from keycensus_collector.ownership.why import why_artifact, why_host
from keycensus_collector.store.tables.ownership import CERTIFICATE, KEY

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)


@dataclass(frozen=True, slots=True)
class OwnersOf:
    """What an ID names, and whose it is."""

    kind: str
    id: str
    name: str
    owners: list[results.Ownership]


@dataclass(frozen=True, slots=True)
class Fallback:
    """The team that answers for what nobody owns; empty: none."""

    team: str


class FallbackBody(BaseModel):
    """The fallback team; empty: none."""

    model_config = ConfigDict(extra="forbid")

    team: Annotated[str, Field(max_length=64)]


class AssignBody(Selection):
    """What is given to whom and why. `owner` null takes it back: rules and places say again whose it is."""

    owner: Annotated[str, Field(max_length=64)] | None
    reason: Annotated[str, Field(max_length=1_000)] = ""


@router.get("/owners", tags=["ownership"], summary="Whose something is, and why")
async def owners(parameters: Annotated[IdParameters, Query()], store: StoreOf) -> OwnersOf:
    """Owners of a certificate or key (who renews) or of a host (who installs), with the reasons."""

    def work(connection: Connection) -> OwnersOf:
        match = one_match(connection, parameters.id, parameters.kind)
        found = thing_of(connection, match)
        if found.kind == "host":
            reasons = why_host(connection, found.number)
        else:
            number = CERTIFICATE if found.kind == "certificate" else KEY
            reasons = why_artifact(connection, number, found.artifact)
        return OwnersOf(match.kind, match.id, match.name, ownership_of(reasons))

    return await store.run_read(work)


@router.post("/owners", tags=["ownership"], summary="Give things to a team, or take them back")
async def give(  # noqa: PLR0917 - each is a part of the request
    body: AssignBody,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    response: Response,
    if_match: IfMatch = "",
) -> Edited:
    """At most 10,000 at once; what is given by hand goes before every rule."""
    now_ms = clock.now_ms()

    def planned(connection: Connection) -> Plan:
        if body.owner is not None:
            if not body.preview:
                check_reason(body.reason)
            check_owner(connection, body.owner)
        things, refused = meant(connection, body, principal, now_ms)
        given = bulk.owners_given(connection, things)
        scopes = scopes_of(connection, things)
        return bulk.plan(scopes, given, body.owner, wanted=f"owner {body.owner}", refused=refused)

    def apply(connection: Connection, made: Plan) -> None:
        actor, query = principal.actor, body.asked()
        if body.owner is None:
            release(connection, made.changed, actor=actor, now_ms=now_ms, query=query)
        else:
            assign(
                connection,
                made.changed,
                body.owner,
                reason=body.reason,
                actor=actor,
                now_ms=now_ms,
                query=query,
            )

    return await edit(store, body, response, if_match=if_match, planned=planned, apply=apply)


@router.get("/fallback", tags=["ownership"], summary="Who answers for what nobody owns")
async def fallback(store: StoreOf, day: DayOf = TODAY) -> Fallback:
    """Return the fallback team, or which it was on a past day."""
    return Fallback(await store.run_read(partial(fallback_name, as_of_ms=day.as_of_ms)))


@router.put("/fallback", tags=["ownership"], summary="Set the fallback team")
async def set_fallback(
    body: FallbackBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Fallback:
    """Set the team that answers for what nobody owns, or none."""

    def work(connection: Connection) -> Fallback:
        number = str(team_no(connection, body.team)) if body.team else ""
        change_setting(connection, FALLBACK, number, actor=principal.actor, now_ms=clock.now_ms())
        return Fallback(body.team)

    return await store.run_write(work)
