"""First use: the first admin sets a password by the link that `init` printed, once."""

from __future__ import annotations

import asyncio
from functools import partial
from http import HTTPStatus

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from keycensus_collector.access import first_use, users
from keycensus_collector.api.forgery import check_same_site
from keycensus_collector.api.login import set_cookie
from keycensus_collector.api.security import COOKIE, ClockOf, OpenStoreOf, visitor_of
from keycensus_collector.clock import Clock
from keycensus_collector.errors import UsageError
from keycensus_collector.store.engine import Store
from keycensus_collector.web.asking import Mistake, fields_of
from keycensus_collector.web.forms import mistake_of
from keycensus_collector.web.rendering import page

router = APIRouter()

_SECRET_CHARACTERS = 200


@router.get("/first-use")
async def first_use_page(request: Request, store: OpenStoreOf, clock: ClockOf) -> Response:
    """Ask for the secret of the link, which script takes from the address, and for a password."""
    return await _ask(request, store, clock)


@router.post("/first-use")
async def begin(request: Request, store: OpenStoreOf, clock: ClockOf) -> Response:
    """Set the password and begin a session, or ask again and say why."""
    check_same_site(request.headers, required=False)
    form = await fields_of(request)
    secret = form.get("secret", "").strip()[:_SECRET_CHARACTERS]
    try:
        # First, so that nobody without a link has us work out hashes, which is slow by purpose.
        await store.run_read(partial(first_use.holder, secret=secret, now_ms=clock.now_ms()))
        hashed = await asyncio.to_thread(users.hash_of, _password(form))
        made = await store.run_write(
            partial(
                first_use.take,
                secret=secret,
                password_hash=hashed,
                visitor=visitor_of(request),
                now_ms=clock.now_ms(),
                former=request.cookies.get(COOKIE, ""),
            )
        )
    except UsageError as error:
        return await _ask(request, store, clock, secret, mistake_of(error, request.url.path))
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    set_cookie(response, made.text)
    return response


def _password(form: dict[str, str]) -> str:
    password = form.get("password", "")
    if password != form.get("repeated", ""):
        raise UsageError("the password was typed in two ways: type it again")
    return password


async def _ask(
    request: Request, store: Store, clock: Clock, secret: str = "", mistake: Mistake | None = None
) -> Response:
    return page(
        request,
        "first_use.html",
        clock=clock,
        status=mistake.status if mistake else HTTPStatus.OK,
        mistake=mistake,
        secret=secret,
        is_open=await store.run_read(partial(first_use.is_open, now_ms=clock.now_ms())),
    )
