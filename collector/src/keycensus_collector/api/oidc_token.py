"""What the `keycensus` command exchanges for an API token, after a browser has signed in for it."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy import Connection

from keycensus_collector.access import logins, tokens
from keycensus_collector.api.account import NewToken
from keycensus_collector.api.forgery import check_same_site
from keycensus_collector.api.login import wait_before_next
from keycensus_collector.api.security import ClockOf, OpenStoreOf, visitor_of
from keycensus_collector.errors import Refusal
from keycensus_collector.inventory.values import time_text
from keycensus_collector.oidc import codes

open_router = APIRouter(prefix="/api/v1", tags=["access"])


class CodeBody(BaseModel):
    """The code that came to the command, and the verifier of its challenge (RFC 7636)."""

    model_config = ConfigDict(extra="forbid")

    code: Annotated[SecretStr, Field(max_length=200)]
    verifier: Annotated[SecretStr, Field(max_length=200)]
    name: Annotated[str, Field(max_length=200, description="What the token is for.")]
    days: Annotated[int, Field(ge=1, le=3_660)] = tokens.DEFAULT_DAYS


@open_router.post("/oidc/token", summary="Exchange a code for an API token", status_code=201)
async def redeem(body: CodeBody, request: Request, store: OpenStoreOf, clock: ClockOf) -> NewToken:
    """Answer with a token for who signed in with a browser, this once. 401: sign in again."""
    check_same_site(request.headers, required=False)
    address = visitor_of(request).address
    attempt = await store.run_write(
        partial(logins.begin_elsewhere, address=address, now_ms=clock.now_ms()), urgent=True
    )
    wait_before_next(attempt)
    wanted = codes.Redeeming(
        body.code.get_secret_value(), body.verifier.get_secret_value(), body.name, body.days
    )

    def work(connection: Connection) -> tokens.NewApiToken | None:
        made = codes.redeem(connection, wanted, clock.now_ms())
        if made is None:
            logins.failed(connection, attempt, address=address, now_ms=clock.now_ms())
        else:
            logins.succeeded_elsewhere(connection, attempt)
        return made

    made = await store.run_write(work, urgent=True)
    if made is None:
        raise Refusal("unauthenticated", "this code is not known, or not any more: sign in again")
    return NewToken(made.token_id, time_text(made.expires_ms), made.text)
