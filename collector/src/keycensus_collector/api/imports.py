"""Imports: files that people bring, taken whole or not at all."""

from __future__ import annotations

import asyncio
import tempfile
from functools import partial
from typing import Annotated, Any, BinaryIO, cast

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.requests import ClientDisconnect

from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.errors import UsageError
from keycensus_collector.imports.bundle import Taken, take_bundle
from keycensus_collector.imports.bundle_file import BUNDLE_BYTES, read_bundle
from keycensus_collector.imports.stored import Import, list_imports
from keycensus_collector.intake.model import Limits
from keycensus_collector.inventory.paging import BIGGEST_INTEGER, PAGE_LIMIT

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["imports"])

# How long a body may be, by path.
LARGER = {"/api/v1/imports/bundle": BUNDLE_BYTES}
_BUNDLE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {
                "schema": {"type": "string", "format": "binary"},
                "example": "KCBUNDLE…",
            }
        },
    }
}
# What of an upload is kept in memory; the rest lies in a file without a name.
_IN_MEMORY = 8 * 1024 * 1024
_LIMITS = Limits()
# One at a time: each holds what it checks in memory.
_TURN = asyncio.Lock()


@router.get("/imports", summary="Imports, the newest first")
async def imports(
    store: StoreOf,
    *,
    replaced: Annotated[bool, Query(description="Those that others replaced, too.")] = False,
    before: Annotated[
        int | None, Query(ge=1, le=BIGGEST_INTEGER, description="From behind this number on.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="How many at most.")] = PAGE_LIMIT,
) -> list[Import]:
    """By whom, when, and of when what they say is."""
    return await store.run_read(
        partial(list_imports, standing=not replaced, before=before, limit=limit)
    )


@router.post(
    "/imports/bundle",
    summary="Import a bundle of a host that can't enrol",
    status_code=201,
    openapi_extra=_BUNDLE,
)
async def bundle(
    request: Request,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    *,
    rename: Annotated[
        bool, Query(description="Another machine took the name of a host imported before.")
    ] = False,
) -> Taken:
    """Take what `keycensus-agent scan --bundle` wrote, sent as the body; it replaces the former one."""
    async with _TURN:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
            file = cast("BinaryIO", spooled)
            await _receive(request, file)
            checked = await asyncio.to_thread(read_bundle, file, _LIMITS)

        def work(connection: Connection) -> Taken:
            return take_bundle(
                connection,
                checked,
                actor=principal.actor,
                now_ms=clock.now_ms(),
                limits=_LIMITS,
                rename=rename,
            )

        return await store.run_write(work)


async def _receive(request: Request, file: BinaryIO) -> None:
    """Write the body to a file, from its begin; UsageError if it is empty or breaks off."""
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            file.write(chunk)
    except ClientDisconnect:
        raise UsageError("the file did not come whole: nothing was taken") from None
    if not size:
        raise UsageError("send the file as the body of the request")
    file.seek(0)
