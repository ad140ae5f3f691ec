"""Who asks, and what every answer says to browsers. On the border to people.

A request is let in by its bearer token, or else by the cookie of a session. With a cookie, a write must
show that it comes from a page of ours (`forgery`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Protocol, TypeVar

from fastapi import BackgroundTasks, Depends, Request
from fastapi.security import HTTPBearer
from sqlalchemy import Connection
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keycensus_collector.access import audit, sessions
from keycensus_collector.access.permissions import roles_with
from keycensus_collector.access.principals import Principal
from keycensus_collector.access.rights import SENSITIVE, needed
from keycensus_collector.access.scope import limit
from keycensus_collector.access.sessions import Visitor
from keycensus_collector.access.tokens import authenticate, note_use
from keycensus_collector.api.forgery import SAFE_METHODS, check_same_site, check_write
from keycensus_collector.api.problems import forbidden
from keycensus_collector.clock import Clock
from keycensus_collector.errors import Refusal
from keycensus_collector.store.engine import Store

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Strict-Transport-Security": "max-age=31536000",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

# The prefix makes browsers refuse it unless it is Secure, for this host alone and for all of it.
COOKIE = "__Host-keycensus"

# Only so that the token stands in the OpenAPI description; `current_principal` judges it.
_described = HTTPBearer(auto_error=False, description="API token: `kcu_…`")


_SUBJECT_CHARACTERS = 2_000
_Result = TypeVar("_Result")
_Work = Callable[[Connection], _Result]


class Database(Protocol):
    """What endpoints ask: the store, or as much of it as who asks sees."""

    @property
    def can_write(self) -> bool:
        """Whether the last write that was tried is on disk."""

    async def run_read(self, function: _Work[_Result]) -> _Result:
        """Run `function` with a reading connection."""

    async def run_write(self, function: _Work[_Result], *, urgent: bool = False) -> _Result:
        """Run `function` with the writing connection; when this returns, it is on disk."""


class _Limited:
    """The store for somebody who sees what some teams own; also what a write looks up is limited."""

    def __init__(self, store: Store, teams: frozenset[int]) -> None:
        self._store = store
        self._teams = teams

    @property
    def can_write(self) -> bool:
        return self._store.can_write

    async def run_read(self, function: _Work[_Result]) -> _Result:
        return await self._store.run_read(lambda each: function(limit(each, self._teams)))

    async def run_write(self, function: _Work[_Result], *, urgent: bool = False) -> _Result:
        return await self._store.run_write(
            lambda each: function(limit(each, self._teams)), urgent=urgent
        )


def open_store_of(request: Request) -> Store:
    """Return the store that the application was made with: for what is asked without a name."""
    store: Store = request.app.state.store
    return store


def clock_of(request: Request) -> Clock:
    """Return the clock that the application was made with."""
    clock: Clock = request.app.state.clock
    return clock


# Sent by a page that keeps itself fresh. That is no use of a session: one that nobody uses ends, whatever stands open.
REFRESH = "X-Keycensus-Refresh"

OpenStoreOf = Annotated[Store, Depends(open_store_of)]
ClockOf = Annotated[Clock, Depends(clock_of)]


async def current_principal(
    request: Request, store: OpenStoreOf, clock: ClockOf, later: BackgroundTasks
) -> Principal:
    """Return who sent the request, if that one may do it (`admit`)."""
    return await admit(request, store, clock, later)


async def admit(
    request: Request,
    store: Store,
    clock: Clock,
    later: BackgroundTasks,
    sent: Callable[[], Awaitable[str]] | None = None,
) -> Principal:
    """Return who sent a request, if that one may do it.

    `sent`: reads the session's token from a form, of nobody but who may send it; None: it stands in the
    header. Raises Refusal
    "unauthenticated" for nobody we know, and a problem "forbidden" for who has not the permission that
    `access/rights.py` names, or if nothing stands there.
    """
    now_ms = clock.now_ms()
    header, cookie = request.headers.get("Authorization"), request.cookies.get(COOKIE, "")
    if header is None and cookie:
        principal = await store.run_read(partial(_of_session, cookie=cookie, now_ms=now_ms))
        if request.method not in SAFE_METHODS:
            check_same_site(request.headers, required=True)
            # A page that tells of an error is shown to somebody, too.
            request.state.principal = principal
            _check_allowed(request, principal)
            check_write(request.headers, cookie, await sent() if sent else None)
        note = partial(sessions.note_use, text=cookie, now_ms=now_ms)
    else:
        principal = await store.run_read(partial(authenticate, header_value=header, now_ms=now_ms))
        note = partial(note_use, token_id=principal.token_id, now_ms=now_ms)
    request.state.principal = principal
    _check_allowed(request, principal)
    if principal.stale_use and REFRESH not in request.headers:
        later.add_task(store.run_write, note)
    action = SENSITIVE.get(f"{request.method} {request.scope['route'].path}")
    if action is not None:
        later.add_task(store.run_write, partial(_record_read, action, request, principal, now_ms))
    return principal


def _record_read(
    action: str, request: Request, principal: Principal, now_ms: int, connection: Connection
) -> None:
    detail = {"token": principal.token_id, "session": principal.session_id}
    query = f"?{request.url.query}" if request.url.query else ""
    subject = f"{request.url.path}{query}"[:_SUBJECT_CHARACTERS]
    audit.record(
        connection,
        at_ms=now_ms,
        actor=principal.actor,
        action=action,
        subject=subject,
        detail={key: value for key, value in detail.items() if value},
    )


def _of_session(connection: Connection, cookie: str, now_ms: int) -> Principal:
    principal = sessions.find(connection, cookie, now_ms)
    if principal is None:
        raise Refusal("unauthenticated", "this session has ended: sign in again")
    return principal


def visitor_of(request: Request) -> Visitor:
    """Return who is at the other end, as far as the connection shows."""
    address = "" if request.client is None else request.client.host
    return Visitor(address, request.headers.get("User-Agent", ""))


def _check_allowed(request: Request, principal: Principal) -> None:
    permission = needed(request.method, request.scope["route"].path)
    if permission is None:
        raise forbidden("this can't be asked by anybody: its permission is not declared")
    if not principal.may(permission):
        roles = " and ".join(f"{role}s" for role in roles_with(permission))
        raise forbidden(f"this needs the permission {permission}, which {roles} have")


CurrentPrincipal = Annotated[Principal, Depends(current_principal)]


def store_of(store: OpenStoreOf, principal: CurrentPrincipal) -> Database:
    """Return the store as who asks sees it."""
    return database_of(store, principal)


def database_of(store: Store, principal: Principal) -> Database:
    """Return the store as somebody sees it."""
    return store if principal.teams is None else _Limited(store, principal.teams)


StoreOf = Annotated[Database, Depends(store_of)]
AUTHENTICATED = [Depends(_described), Depends(current_principal)]


class SecurityHeaders:
    """Adds headers that keep browsers from doing anything with an answer but show it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the headers added where the answer does not set them itself."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)
