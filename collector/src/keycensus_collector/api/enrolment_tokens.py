"""Enrolment tokens: secrets that let hosts in. Each is told once, when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from keycensus_collector.api.operating import operate, readable
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.authority.tokens import (
    DEFAULT_TTL_MS,
    LABEL_CHARACTERS,
    LABEL_KEY,
    LABELS_MOST,
    TTL_MOST_MS,
    USES_MOST,
    list_tokens,
)
from keycensus_collector.inventory.paging import PAGE_LIMIT

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["enrolment tokens"])

_MINUTE_MS = 60_000


class EnrolmentTokenBody(BaseModel):
    """A token to make. `for_host`: lets in only this host, installed anew; it has one use then."""

    model_config = ConfigDict(extra="forbid")

    minutes: Annotated[int, Field(ge=1, le=TTL_MOST_MS // _MINUTE_MS)] = (
        DEFAULT_TTL_MS // _MINUTE_MS
    )
    uses: Annotated[int, Field(ge=1, le=USES_MOST)] = 1
    labels: Annotated[
        dict[
            Annotated[str, Field(pattern=f"^{LABEL_KEY}$")],
            Annotated[str, Field(max_length=LABEL_CHARACTERS)],
        ],
        Field(max_length=LABELS_MOST, examples=[{"env": "prod"}]),
    ] = {}
    for_host: Annotated[str, Field(max_length=255, description="Id or name.")] = ""


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """A token, without its secret. `state`: "open", "used", "expired", "revoked". `host`: the only one for it."""

    id: str
    state: str
    uses_left: int
    created: str | None
    expires: str | None
    labels: dict[str, str]
    host: str
    host_id: str
    created_by: str


@dataclass(frozen=True, slots=True)
class NewEnrolmentToken:
    """A fresh token; `token` is shown this once."""

    id: str
    expires: str | None
    token: str = field(repr=False)


@router.get("/enrolment-tokens", summary="Enrolment tokens, the newest first")
async def enrolment_tokens(
    store: StoreOf,
    clock: ClockOf,
    *,
    only_open: Annotated[
        bool, Query(alias="open", description="Only those that let somebody in.")
    ] = False,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="How many at most.")] = PAGE_LIMIT,
) -> list[EnrolmentToken]:
    """List them with what is left of them, without their secrets."""
    listed = partial(list_tokens, now_ms=clock.now_ms(), limit=limit, only_open=only_open)
    return [EnrolmentToken(**readable(each)) for each in await store.run_read(listed)]


@router.post("/enrolment-tokens", summary="Make an enrolment token", status_code=201)
async def make_enrolment_token(
    body: EnrolmentTokenBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> NewEnrolmentToken:
    """Answer with it, this once: `keycensus-agent enrol --token-file` takes it."""
    told = await operate(
        store,
        clock,
        principal,
        "token.create",
        ttl_ms=body.minutes * _MINUTE_MS,
        uses=body.uses,
        labels=body.labels,
        host=body.for_host,
    )
    return NewEnrolmentToken(**readable(told))


@router.delete("/enrolment-tokens/{token_id}", summary="Revoke an enrolment token", status_code=204)
async def revoke_enrolment_token(
    token_id: str, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Response:
    """End it now. Who enrolled with it stays."""
    await operate(store, clock, principal, "token.revoke", id=token_id)
    return Response(status_code=HTTPStatus.NO_CONTENT)
