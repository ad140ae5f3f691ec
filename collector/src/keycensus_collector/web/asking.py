"""Who asks for a page, and as much of the store as that one sees. Forms show that a page of ours sent them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, Request
from fastapi.responses import HTMLResponse
from starlette.datastructures import FormData

from keycensus_collector.access.principals import Principal
from keycensus_collector.api.security import (
    ClockOf,
    Database,
    OpenStoreOf,
    admit,
    database_of,
)
from keycensus_collector.clock import Clock
from keycensus_collector.web.rendering import page, unmask

# A file of rules is one field; the whole form is limited as every body is (api/bodies.py).
_FIELDS, _FIELD_BYTES = 200, 1024 * 1024
# What stands beside a file is short, whatever the limit of the whole form is.
_FIELDS_BESIDE, _FIELD_BESIDE_BYTES = 20, 8 * 1024
FORM_BYTES = 64 * 1024
_DAY_CHARACTERS = 100
CSRF_FIELD = "csrf"


async def form_of(request: Request) -> FormData:
    """Return the fields of a form that was sent, without files."""
    return await request.form(max_files=0, max_fields=_FIELDS, max_part_size=_FIELD_BYTES)


async def fields_of(request: Request) -> dict[str, str]:
    """Return the fields of a form that was sent; of several with a name the last."""
    form = await form_of(request)
    return {name: value for name, value in form.multi_items() if isinstance(value, str)}


async def _token_of(request: Request) -> str:
    return unmask((await fields_of(request)).get(CSRF_FIELD, ""))


async def _token_beside_file(request: Request) -> str:
    """Return the session's token; whoever reads the form later finds a file in it, if one was sent."""
    await request.form(max_files=1, max_fields=_FIELDS_BESIDE, max_part_size=_FIELD_BESIDE_BYTES)
    return await _token_of(request)


async def page_principal(
    request: Request, store: OpenStoreOf, clock: ClockOf, later: BackgroundTasks
) -> Principal:
    """Return who is signed in, if that one may see the page, or send the form.

    Raises Refusal "unauthenticated" for nobody, which leads to the sign-in.
    """
    return await admit(request, store, clock, later, partial(_token_of, request))


async def bringing_principal(
    request: Request, store: OpenStoreOf, clock: ClockOf, later: BackgroundTasks
) -> Principal:
    """Return who sends a form with a file, which is not read before that one may; as `page_principal`."""
    return await admit(request, store, clock, later, partial(_token_beside_file, request))


@dataclass(frozen=True, slots=True)
class Mistake:
    """Why a form is shown again. `pointer`: the query with a mark below what is wrong in it, or ""."""

    status: HTTPStatus
    detail: str
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page: who asks, as much of the store as that one sees, and now."""

    request: Request
    store: Database
    clock: Clock
    principal: Principal

    @property
    def now_ms(self) -> int:
        """The time, in milliseconds since the epoch."""
        return self.clock.now_ms()

    def page(
        self,
        template: str,
        *,
        status: HTTPStatus = HTTPStatus.OK,
        mistake: Mistake | None = None,
        **data: Any,  # noqa: ANN401 - what the template names
    ) -> HTMLResponse:
        """Return a page for who asks; with a `mistake`, which its template tells, under that one's status."""
        return page(
            self.request,
            template,
            clock=self.clock,
            principal=self.principal,
            status=mistake.status if mistake else status,
            mistake=mistake,
            past_asked=self.request.query_params.get("as_of", "")[:_DAY_CHARACTERS],
            **data,
        )


def visit_of(
    request: Request,
    store: OpenStoreOf,
    clock: ClockOf,
    principal: Annotated[Principal, Depends(page_principal)],
) -> Visit:
    """Return what a page is made from."""
    return Visit(request, database_of(store, principal), clock, principal)


async def bringing_of(
    request: Request,
    store: OpenStoreOf,
    clock: ClockOf,
    principal: Annotated[Principal, Depends(bringing_principal)],
) -> AsyncIterator[Visit]:
    """Give what a page is made from that takes a file, which is gone when it is answered."""
    yield Visit(request, database_of(store, principal), clock, principal)
    await request.close()


Visiting = Annotated[Visit, Depends(visit_of)]
Bringing = Annotated[Visit, Depends(bringing_of)]
