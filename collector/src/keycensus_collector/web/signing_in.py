"""Signing in and out at a browser. Where somebody wanted to go is kept, if it is a page of ours.

The way to a provider of OpenID Connect and back is REST's (api/oidc.py); who comes back refused is asked
again here, and told why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from keycensus_collector.access import sessions
from keycensus_collector.api import oidc, problems
from keycensus_collector.api.forgery import check_same_site
from keycensus_collector.api.login import (
    begin_session,
    check_password,
    set_cookie,
    take_cookie_back,
)
from keycensus_collector.api.problems import ProblemError
from keycensus_collector.api.security import COOKIE, ClockOf, OpenStoreOf, clock_of
from keycensus_collector.clock import Clock
from keycensus_collector.errors import Refusal, UsageError
from keycensus_collector.oidc.settings import Provider
from keycensus_collector.oidc.states import local_path
from keycensus_collector.web.asking import Visiting, fields_of
from keycensus_collector.web.rendering import page
from keycensus_collector.web.wording import address

router = APIRouter()

_NAME_CHARACTERS, _PASSWORD_CHARACTERS, _ADDRESS_CHARACTERS = 64, 1_024, 2_000


@router.get("/sign-in")
async def sign_in_page(
    request: Request, clock: ClockOf, to: Annotated[str, Query(max_length=_ADDRESS_CHARACTERS)] = ""
) -> Response:
    """Ask for name and password."""
    return _ask(request, clock, request.app.state.providers, to=local(to))


@router.post("/sign-in")
async def sign_in(request: Request, store: OpenStoreOf, clock: ClockOf) -> Response:
    """Begin a session, or ask again and say why."""
    check_same_site(request.headers, required=False)
    form = await fields_of(request)
    name, to = form.get("user", "")[:_NAME_CHARACTERS], local(form.get("to", ""))
    password = form.get("password", "")[:_PASSWORD_CHARACTERS]
    try:
        attempt = await check_password(store, clock, request, name=name, password=password)
    except Refusal as refusal:
        status, problem = HTTPStatus.UNAUTHORIZED, str(refusal)
    except ProblemError as error:
        status, problem = error.status, error.detail
    else:
        made = await begin_session(store, request, attempt, clock.now_ms())
        response = RedirectResponse(to, HTTPStatus.SEE_OTHER)
        set_cookie(response, made.text)
        return response
    providers = request.app.state.providers
    return _ask(request, clock, providers, status=status, to=to, user=name, problem=problem)


def tell_refusals(api: FastAPI, providers: Mapping[str, Provider]) -> None:
    """Let REST show the page to sign in to a browser that is refused on its way to a provider or back.

    A program that goes that way gets the problem.
    """

    async def answer(request: Request, error: Exception) -> Response:
        if (
            not isinstance(error, ProblemError)
            or not request.url.path.startswith(oidc.WAY)
            or "text/html" not in request.headers.get("Accept", "")
        ):
            return await problems.answer(request, error)
        return _ask(
            request,
            clock_of(request),
            providers,
            to=local(getattr(request.state, "target", "/")),
            problem=error.detail,
            reason=error.members.get("reason", ""),
            status=error.status,
        )

    api.add_exception_handler(ProblemError, answer)


def _ask(
    request: Request,
    clock: Clock,
    providers: Mapping[str, Provider],
    *,
    to: str,
    user: str = "",
    problem: str = "",
    reason: str = "",
    status: HTTPStatus = HTTPStatus.OK,
) -> Response:
    return page(
        request,
        "sign_in.html",
        clock=clock,
        status=status,
        to=to,
        user=user,
        problem=problem,
        reason=reason,
        providers=providers,
    )


@router.post("/sign-out")
async def sign_out(visit: Visiting) -> Response:
    """End this session, or with `everywhere` all of this person's."""
    principal, now_ms = visit.principal, visit.now_ms
    end: Callable[[Connection], object]
    done = "signed-out"
    if (await fields_of(visit.request)).get("everywhere"):
        done = "signed-out-everywhere"
        end = partial(
            sessions.end_all,
            user_no=principal.user_no,
            name=principal.user,
            actor=principal.actor,
            now_ms=now_ms,
        )
    else:
        text = visit.request.cookies[COOKIE]
        end = partial(sessions.end, text=text, actor=principal.actor, now_ms=now_ms)
    await visit.store.run_write(end)
    response = RedirectResponse(address("/sign-in", done=done), HTTPStatus.SEE_OTHER)
    take_cookie_back(response)
    return response


def local(address: str) -> str:
    """Return an address if it is one of this collector's pages, else that of the first page."""
    try:
        path = local_path(address)
    except UsageError:
        return "/"
    return "/" if path.partition("?")[0] == "/sign-in" else path
