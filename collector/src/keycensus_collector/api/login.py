"""Signing in with a password, and signing out. Browsers get a session's cookie."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from keycensus_collector.access import logins, sessions
from keycensus_collector.access.logins import Attempt
from keycensus_collector.access.principals import Principal
from keycensus_collector.access.users import password_matches
from keycensus_collector.api.forgery import check_same_site
from keycensus_collector.api.problems import ProblemError
from keycensus_collector.api.security import (
    AUTHENTICATED,
    COOKIE,
    ClockOf,
    CurrentPrincipal,
    Database,
    OpenStoreOf,
    StoreOf,
    visitor_of,
)
from keycensus_collector.clock import Clock
from keycensus_collector.errors import Refusal
from keycensus_collector.inventory.values import time_text

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)
open_router = APIRouter(prefix="/api/v1")

# Each comparison takes 64 MiB and a core's time by purpose: more at once would serve who floods us.
_COMPARISONS = ThreadPoolExecutor(2, thread_name_prefix="password")
_PASSWORD_CHARACTERS = 1_024


class LoginBody(BaseModel):
    """Who signs in."""

    model_config = ConfigDict(extra="forbid")

    user: Annotated[str, Field(max_length=64)]
    password: Annotated[SecretStr, Field(max_length=_PASSWORD_CHARACTERS)]


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in. A write sends `csrf` along in `X-CSRF-Token`."""

    user: str
    role: str
    permissions: list[str]
    expires: str | None
    csrf: str = field(repr=False)


@open_router.post("/login", tags=["access"], summary="Sign in with a password")
async def login(
    body: LoginBody, request: Request, response: Response, store: OpenStoreOf, clock: ClockOf
) -> Session:
    """Begin a session and set its cookie. 401 does not say what was wrong; 429 says how long to wait."""
    check_same_site(request.headers, required=False)
    attempt = await check_password(
        store, clock, request, name=body.user, password=body.password.get_secret_value()
    )
    now_ms = clock.now_ms()
    made = await begin_session(store, request, attempt, now_ms)
    set_cookie(response, made.text)
    principal = await store.run_read(partial(sessions.find, text=made.text, now_ms=now_ms))
    if principal is None:
        raise _wrong()
    return _session(principal, made.text)


@router.post("/logout", tags=["access"], summary="Sign out", status_code=204)
async def logout(
    request: Request, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Response:
    """End this session and take its cookie back. A token does not end by this: DELETE /tokens/{id}."""
    response = Response(status_code=HTTPStatus.NO_CONTENT)
    if not principal.session_id:
        raise ProblemError(
            HTTPStatus.CONFLICT, "conflict", "an API token was sent, which no signing out ends"
        )
    text = request.cookies[COOKIE]
    actor, now_ms = principal.actor, clock.now_ms()
    await store.run_write(partial(sessions.end, text=text, actor=actor, now_ms=now_ms))
    take_cookie_back(response)
    return response


@router.get("/session", tags=["access"], summary="Whose session this is")
async def session(request: Request, principal: CurrentPrincipal) -> Session:
    """Who is signed in, with the token that writes send along. Empty for an API token."""
    return _session(principal, request.cookies[COOKIE] if principal.session_id else "")


async def check_password(
    store: Database, clock: Clock, request: Request, *, name: str, password: str
) -> Attempt:
    """Compare a password, slowly for who guesses.

    Raises Refusal "unauthenticated" for a wrong one and an unknown user alike, and a problem
    "too-many-attempts" for who has to wait.
    """
    address, now_ms = visitor_of(request).address, clock.now_ms()
    attempt = await store.run_write(
        partial(logins.begin, name=name, address=address, now_ms=now_ms), urgent=True
    )
    wait_before_next(attempt)
    matches = await asyncio.get_running_loop().run_in_executor(
        _COMPARISONS, password_matches, attempt.password_hash, password
    )
    if not matches:
        await store.run_write(
            partial(logins.failed, attempt=attempt, address=address, now_ms=now_ms), urgent=True
        )
        raise _wrong()
    await store.run_write(partial(logins.succeeded, attempt=attempt, now_ms=now_ms), urgent=True)
    return attempt


def wait_before_next(attempt: Attempt) -> None:
    """Refuse who has to wait before the next attempt: a problem "too-many-attempts"."""
    if attempt.wait_ms:
        seconds = -(-attempt.wait_ms // 1000)
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "too-many-attempts",
            f"too many attempts: try again in {seconds} s",
            retry_after=seconds,
        )


async def begin_session(
    store: Database, request: Request, attempt: Attempt, now_ms: int
) -> sessions.NewSession:
    """Begin the session of somebody whose password was right; the one of the cookie that came ends."""
    begin = partial(
        sessions.begin,
        user_no=-1 if attempt.user_no is None else attempt.user_no,
        how="password",
        visitor=visitor_of(request),
        now_ms=now_ms,
        former=request.cookies.get(COOKIE, ""),
    )
    return await store.run_write(begin)


def take_cookie_back(response: Response) -> None:
    """End what a browser keeps of a session."""
    response.delete_cookie(COOKIE, secure=True, httponly=True, samesite="lax")
    response.headers["Clear-Site-Data"] = '"cache", "storage"'


def set_cookie(response: Response, text: str) -> None:
    """Give a session to the browser: not to scripts, not to other sites' forms, only over TLS."""
    response.set_cookie(COOKIE, text, path="/", secure=True, httponly=True, samesite="lax")


def _wrong() -> Refusal:
    return Refusal("unauthenticated", "the user name or the password is wrong")


def _session(principal: Principal, text: str) -> Session:
    return Session(
        user=principal.user,
        role=principal.role,
        permissions=sorted(principal.permissions),
        expires=time_text(principal.expires_ms),
        csrf=sessions.csrf_of(text) if text else "",
    )
