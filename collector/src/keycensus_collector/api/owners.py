"""Owners: why something is somebody's, giving and taking back by ID or query, and the fallback team."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from sqlalchemy import Connection, select

from keycensus_collector.access.principals import Principal
from keycensus_collector.api.identities import one_match
from keycensus_collector.api.parameters import IdParameters
from keycensus_collector.api.problems import ProblemError
from keycensus_collector.api.queries import List
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory import results
from keycensus_collector.inventory.owners import ownership_of
from keycensus_collector.ownership import bulk
from keycensus_collector.ownership.assignments import Thing, assign, release
from keycensus_collector.ownership.settings import FALLBACK, change_setting, fallback_name
from keycensus_collector.ownership.teams import team_no
from keycensus_collector.ownership.why import why_artifact, why_host
from keycensus_collector.store.schema import host
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
class Assigned:
    """What giving or taking back changed, or would change. `things`: lines count once."""

    done: bool
    things: int
    changed: int
    taken_from: dict[str, int]
    samples: list[str]


@dataclass(frozen=True, slots=True)
class Fallback:
    """The team that answers for what nobody owns; empty: none."""

    team: str


class FallbackBody(BaseModel):
    """The fallback team; empty: none."""

    model_config = ConfigDict(extra="forbid")

    team: Annotated[str, Field(max_length=64)]


class AssignBody(BaseModel):
    """What is given, by `id` or by list and query (`what`, `q`), to whom and why.

    `owner` null takes it back: rules and places say again whose it is. `preview` changes nothing.
    """

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(max_length=1_000)] = ""
    kind: Literal["", "certificate", "key", "host"] = ""
    what: List | None = None
    q: Annotated[str, Field(max_length=8_000)] = ""
    owner: Annotated[str, Field(max_length=64)] | None
    reason: Annotated[str, Field(max_length=1_000)] = ""
    preview: StrictBool = False


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
async def give(
    body: AssignBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Assigned:
    """At most 10,000 at once; what is given by hand goes before every rule."""
    now_ms = clock.now_ms()

    def work(connection: Connection) -> Assigned:
        things = _things(connection, body, now_ms)
        check_own(connection, principal, things)
        seen = bulk.preview(connection, things, body.owner)
        if not body.preview and body.owner is None:
            release(connection, things, actor=principal.actor, now_ms=now_ms)
        elif not body.preview and body.owner is not None:
            assign(
                connection,
                things,
                body.owner,
                reason=body.reason,
                actor=principal.actor,
                now_ms=now_ms,
            )
        return Assigned(
            done=not body.preview,
            things=seen.things,
            changed=seen.changed,
            taken_from=seen.taken_from,
            samples=list(seen.samples),
        )

    return await (store.run_read(work) if body.preview else store.run_write(work))


@router.get("/fallback", tags=["ownership"], summary="Who answers for what nobody owns")
async def fallback(store: StoreOf) -> Fallback:
    """Return the fallback team."""
    return Fallback(await store.run_read(fallback_name))


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


def _things(connection: Connection, body: AssignBody, now_ms: int) -> list[Thing]:
    if bool(body.id) == (body.what is not None):
        raise UsageError("say what is given: either id, or what and q")
    if body.what is not None:
        if not body.q.strip():
            raise UsageError(f"say which {body.what} in q: not all of them are given at once")
        return bulk.things_of(connection, body.what, body.q, now_ms)
    return [thing_of(connection, one_match(connection, body.id, body.kind))]


def thing_of(connection: Connection, match: results.Match) -> Thing:
    """Return what can be given of what an ID names; UsageError if that can have no owner."""
    if match.kind == "host":
        number = connection.execute(select(host.c.host_no).where(host.c.host_id == match.id))
        return Thing("host", number=number.scalar_one())
    if match.kind in {"certificate", "key"}:
        return Thing(match.kind, artifact=bytes.fromhex(match.id))
    raise UsageError(f"a {match.kind} has no owner; certificates, keys, places and hosts have")


def check_own(connection: Connection, principal: Principal, things: list[Thing]) -> None:
    """Refuse to decide about what is not of one's own teams, unless one sees everything."""
    if principal.teams is None or bulk.are_of(connection, things, principal.teams):
        return
    raise ProblemError(
        HTTPStatus.FORBIDDEN,
        "forbidden",
        "some of this belongs to none of your teams: ask its owner, or an operator",
    )
