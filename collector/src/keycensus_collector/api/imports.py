"""Imports: files that people bring, taken whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterable
from functools import partial
from typing import Annotated, Any, BinaryIO, Literal, cast

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection
from starlette.requests import ClientDisconnect

from keycensus_collector.access.principals import Principal
from keycensus_collector.api.security import (
    AUTHENTICATED,
    ClockOf,
    CurrentPrincipal,
    Database,
    StoreOf,
)
from keycensus_collector.clock import Clock
from keycensus_collector.errors import UsageError
from keycensus_collector.imports.artifact_files import FILE_BYTES as ARTIFACTS_BYTES
from keycensus_collector.imports.bundle import Taken, take_bundle
from keycensus_collector.imports.bundle_file import BUNDLE_BYTES, read_bundle
from keycensus_collector.imports.host_files import FILE_BYTES, read_hosts
from keycensus_collector.imports.known_hosts import KnownTaken, take_known_hosts
from keycensus_collector.imports.stored import SOURCE_CHARACTERS, Import, list_imports
from keycensus_collector.intake.model import Limits
from keycensus_collector.inventory.paging import BIGGEST_INTEGER, PAGE_LIMIT

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["imports"])

# How long a body may be, by path.
LARGER = {
    "/api/v1/imports/bundle": BUNDLE_BYTES,
    "/api/v1/imports/hosts": FILE_BYTES,
    "/api/v1/imports/artifacts": ARTIFACTS_BYTES,
    "/api/v1/imports/ca-list": ARTIFACTS_BYTES,
}


def file_body(example: str) -> dict[str, Any]:
    """Return what the description says of a body that is a file."""
    content = {"schema": {"type": "string", "format": "binary"}, "example": example}
    body = {"required": True, "content": {"application/octet-stream": content}}
    return {"requestBody": body}


# A file that comes in pieces: the body of a request, or what stands in a form.
Chunks = AsyncIterable[bytes]
HostFormat = Literal["csv", "ansible-ini", "ansible-yaml", "json"]

# What of an upload is kept in memory; the rest lies in a file without a name.
_IN_MEMORY = 8 * 1024 * 1024
_LIMITS = Limits()
# One at a time: each holds what it checks in memory.
TURN = asyncio.Lock()


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
    openapi_extra=file_body("KCBUNDLE…"),
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
    return await take_bundle_of(request.stream(), store, clock, principal, rename=rename)


async def take_bundle_of(
    chunks: Chunks, store: Database, clock: Clock, principal: Principal, *, rename: bool
) -> Taken:
    """Take a bundle that comes in pieces."""
    async with TURN:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
            file = cast("BinaryIO", spooled)
            await _receive(chunks, file)
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


@router.post(
    "/imports/hosts",
    summary="Import a list of known hosts",
    status_code=201,
    openapi_extra=file_body("name,address\nweb1,192.0.2.7\n"),
)
async def known_hosts(
    request: Request,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    *,
    source: Annotated[
        str,
        Query(
            min_length=1,
            max_length=SOURCE_CHARACTERS,
            description="What the list is called: it replaces the former one of this name.",
        ),
    ],
    format_: Annotated[HostFormat, Query(alias="format", description="How the list is written.")],
) -> KnownTaken:
    """Take a list, sent as the body: who has no agent becomes a host in state `known`."""
    return await take_hosts_of(
        request.stream(), store, clock, principal, source=source, format_=format_
    )


async def take_hosts_of(
    chunks: Chunks,
    store: Database,
    clock: Clock,
    principal: Principal,
    *,
    source: str,
    format_: HostFormat,
) -> KnownTaken:
    """Take a list of known hosts that comes in pieces."""
    async with TURN:
        data = await received(chunks)
        known = await asyncio.to_thread(read_hosts, data, format_)
        take = partial(
            take_known_hosts,
            hosts=known,
            source=source,
            sha256=hashlib.sha256(data).digest(),
            size=len(data),
            actor=principal.actor,
            now_ms=clock.now_ms(),
        )
        return await store.run_write(take)


async def received(chunks: Chunks) -> bytes:
    """Return a file that comes in pieces, whole; UsageError as `_receive`."""
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spooled:
        file = cast("BinaryIO", spooled)
        await _receive(chunks, file)
        return file.read()


async def _receive(chunks: Chunks, file: BinaryIO) -> None:
    """Write pieces to a file, from its begin; UsageError if it is empty or breaks off."""
    size = 0
    try:
        async for chunk in chunks:
            size += len(chunk)
            file.write(chunk)
    except ClientDisconnect:
        raise UsageError("the file did not come whole: nothing was taken") from None
    if not size:
        raise UsageError("send the file as the body of the request")
    file.seek(0)
