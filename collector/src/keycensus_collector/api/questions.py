"""`show`, `where`, `summary`, `whoami`, `health`, and the description of it all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection, select

from keycensus_collector import __version__
from keycensus_collector.api.description import describe
from keycensus_collector.api.identities import one_match
from keycensus_collector.api.parameters import IdParameters
from keycensus_collector.api.problems import not_found
from keycensus_collector.api.security import (
    AUTHENTICATED,
    ClockOf,
    CurrentPrincipal,
    OpenStoreOf,
    StoreOf,
)
from keycensus_collector.inventory import detail, results
from keycensus_collector.inventory.summary import summarise

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)
open_router = APIRouter(prefix="/api/v1")


@dataclass(frozen=True, slots=True)
class WhoAmI:
    """Whose token was sent."""

    user: str
    role: str
    token_id: str


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the collector works: "degraded" if it answers but could not store what came last."""

    status: Literal["ok", "degraded"]
    version: str


@router.get("/show", tags=["questions"], summary="Everything about what an ID names")
async def show(
    parameters: Annotated[IdParameters, Query()], store: StoreOf, clock: ClockOf
) -> results.Shown:
    """`kind` says which of the other members is there. 409 lists the candidates of an unclear ID."""

    def work(connection: Connection) -> results.Shown:
        shown = detail.show(
            connection, one_match(connection, parameters.id, parameters.kind), clock.now_ms()
        )
        if shown is None:
            raise not_found(repr(parameters.id))
        return shown

    return await store.run_read(work)


@router.get("/where", tags=["questions"], summary="Every place of what an ID names")
async def where(
    parameters: Annotated[IdParameters, Query()], store: StoreOf, clock: ClockOf
) -> results.Where:
    """Live places first; at most 1,000 of them, with the exact total. True at once after a report."""

    def work(connection: Connection) -> results.Where:
        match = one_match(connection, parameters.id, parameters.kind)
        return detail.where(connection, match, clock.now_ms())

    return await store.run_read(work)


@router.get("/summary", tags=["questions"], summary="The counts to look at first")
async def summary(store: StoreOf, clock: ClockOf) -> results.Summary:
    """Each count equals the total of the list with the same filter."""
    return await store.run_read(partial(summarise, now_ms=clock.now_ms()))


@router.get("/whoami", tags=["access"], summary="Whose token this is")
async def whoami(principal: CurrentPrincipal) -> WhoAmI:
    """User and role behind the token that was sent."""
    return WhoAmI(principal.user, principal.role, principal.token_id)


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of this interface."""
    state = request.app.state
    if not hasattr(state, "description"):
        state.description = describe(request.app)
    description: dict[str, Any] = state.description
    return description


@open_router.get("/health", tags=["access"], summary="Whether the collector works")
async def health(store: OpenStoreOf) -> Health:
    """Answered without a token: 200 if the database can be read, 503 if not.

    `status` is "degraded" while the last write failed (a full disk): agents are told to come back,
    and nothing of theirs is lost.
    """
    await store.run_read(lambda connection: connection.execute(select(1)).scalar_one())
    return Health("ok" if store.can_write else "degraded", __version__)
