"""What people do for themselves: password, sessions, API tokens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from sqlalchemy import Connection

from keycensus_collector.access import sessions, tokens, users
from keycensus_collector.access.permissions import Permission
from keycensus_collector.access.principals import Principal
from keycensus_collector.api.login import check_password
from keycensus_collector.api.problems import ProblemError, forbidden
from keycensus_collector.api.security import (
    AUTHENTICATED,
    COOKIE,
    ClockOf,
    CurrentPrincipal,
    StoreOf,
)
from keycensus_collector.inventory.values import time_text

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)

_PASSWORD_CHARACTERS = 1_024
NewPassword = Annotated[SecretStr, Field(min_length=12, max_length=_PASSWORD_CHARACTERS)]


class PasswordBody(BaseModel):
    """A change of one's own password."""

    model_config = ConfigDict(extra="forbid")

    old: Annotated[SecretStr, Field(max_length=_PASSWORD_CHARACTERS)]
    new: NewPassword


class TokenBody(BaseModel):
    """A token to make. Without `permissions`: all that one may."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(max_length=200, description="What it is for.")]
    days: Annotated[int, Field(ge=1, le=3_660)] = tokens.DEFAULT_DAYS
    permissions: Annotated[list[Permission], Field(max_length=100)] | None = None


@dataclass(frozen=True, slots=True)
class ApiToken:
    """An API token, without its secret. `state`: "good", "expired", "revoked", "disabled"."""

    id: str
    user: str
    name: str
    state: str
    permissions: list[str] | None
    teams: list[str] | None
    created: str | None
    expires: str | None
    last_used: str | None


@dataclass(frozen=True, slots=True)
class NewToken:
    """A fresh token; `token` is shown this once."""

    id: str
    expires: str | None
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that has not ended. `current`: the one that asks."""

    id: str
    how: str
    address: str
    browser: str
    current: bool
    created: str | None
    last_used: str | None
    expires: str | None


@router.put("/password", tags=["access"], summary="Change one's own password", status_code=204)
async def change_password(
    body: PasswordBody,
    request: Request,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
) -> Response:
    """Needs the old one. All other sessions of the user end."""
    old, new = body.old.get_secret_value(), body.new.get_secret_value()
    await check_password(store, clock, request, name=principal.user, password=old)
    hashed = await asyncio.to_thread(users.hash_of, new)
    await store.run_write(
        partial(
            users.set_password,
            name=principal.user,
            password_hash=hashed,
            now_ms=clock.now_ms(),
            actor=principal.actor,
            keep_session=request.cookies.get(COOKIE, "") if principal.session_id else "",
        )
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get("/sessions", tags=["access"], summary="One's own sessions")
async def own_sessions(
    store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> list[OpenSession]:
    """Where one is signed in, the newest first."""
    listed = partial(sessions.list_sessions, user_no=principal.user_no, now_ms=clock.now_ms())
    return [
        OpenSession(current=each["id"] == principal.session_id, **_readable(each))
        for each in await store.run_read(listed)
    ]


@router.delete("/sessions", tags=["access"], summary="Sign out everywhere", status_code=204)
async def sign_out_everywhere(
    store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Response:
    """End all of one's sessions, this one too. Tokens stay."""
    await store.run_write(
        partial(
            sessions.end_all,
            user_no=principal.user_no,
            name=principal.user,
            actor=principal.actor,
            now_ms=clock.now_ms(),
        )
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.delete(
    "/sessions/{session_id}", tags=["access"], summary="End one of one's sessions", status_code=204
)
async def sign_out_there(
    session_id: str, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Response:
    """Sign out at one browser, by the id that GET /sessions tells."""
    work = partial(
        sessions.end_one,
        user_no=principal.user_no,
        shown=session_id,
        actor=principal.actor,
        now_ms=clock.now_ms(),
    )
    if not await store.run_write(work):
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "not-found",
            f"there is no session {session_id!r} to end: GET /sessions lists them",
        )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get("/tokens", tags=["access"], summary="One's own API tokens")
async def own_tokens(store: StoreOf, clock: ClockOf, principal: CurrentPrincipal) -> list[ApiToken]:
    """List them, the newest first, with when each was used last, to the hour."""
    listed = partial(tokens.list_api_tokens, user_no=principal.user_no, now_ms=clock.now_ms())
    return [shown_token(each) for each in await store.run_read(listed)]


@router.post("/tokens", tags=["access"], summary="Make an API token for oneself", status_code=201)
async def make_token(
    body: TokenBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> NewToken:
    """Answer with it, this once. One made with a token may no more, and lives no longer."""
    wanted = None if body.permissions is None else list(body.permissions)
    beyond = sorted(set(wanted or ()) - principal.permissions)
    if beyond:
        raise forbidden(f"a token can't have what you have not: {', '.join(beyond)}")

    def work(connection: Connection) -> tokens.NewApiToken:
        return tokens.create_api_token(
            connection,
            user_name=principal.user,
            name=body.name,
            now_ms=clock.now_ms(),
            actor=principal.actor,
            days=body.days,
            permissions=_limits(principal, wanted),
            teams=principal.teams if principal.token_id else None,
            most_ms=principal.expires_ms if principal.token_id else None,
        )

    made = await store.run_write(work)
    return NewToken(made.token_id, time_text(made.expires_ms), made.text)


@router.delete(
    "/tokens/{token_id}", tags=["access"], summary="Revoke one of one's tokens", status_code=204
)
async def revoke_token(
    token_id: str, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Response:
    """End it now, for good."""
    await revoke(store, token_id, principal, clock.now_ms(), principal.user_no)
    return Response(status_code=HTTPStatus.NO_CONTENT)


async def revoke(
    store: StoreOf, token_id: str, principal: Principal, now_ms: int, user_no: int
) -> None:
    """Revoke a token of a user; a problem "not-found" if there is none of this id."""
    work = partial(
        tokens.revoke_api_token,
        token_id=token_id,
        actor=principal.actor,
        now_ms=now_ms,
        user_no=user_no,
    )
    if not await store.run_write(work):
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            "not-found",
            f"there is no token {token_id!r} to revoke: GET /tokens lists them",
        )


def shown_token(each: dict[str, Any]) -> ApiToken:
    """Return a listed token as people see it."""
    return ApiToken(**_readable(each))


def _limits(principal: Principal, wanted: list[Permission] | None) -> list[str] | None:
    """Return what a new token is limited to: one that a limited token makes is limited, too."""
    if wanted is None and principal.token_id:
        return list(principal.permissions)
    return None if wanted is None else list(wanted)


def _readable(each: dict[str, Any]) -> dict[str, Any]:
    """Turn `*_ms` into times without that ending."""
    return {
        key.removesuffix("_ms"): time_text(value) if key.endswith("_ms") else value
        for key, value in each.items()
    }
