"""Certificates, keys and hosts: lists with filters, and one of each."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from keycensus_collector.api.parameters import (
    CertificateParameters,
    GapParameters,
    HostParameters,
    KeyParameters,
    PlaceParameters,
)
from keycensus_collector.api.problems import not_found
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.inventory import results
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.detail import certificate_detail, key_detail
from keycensus_collector.inventory.gap_list import list_gaps
from keycensus_collector.inventory.hosts import host_detail, list_hosts
from keycensus_collector.inventory.keys import list_keys
from keycensus_collector.inventory.place_list import list_places

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)

_HASH_BYTES = 32


@router.get("/certificates", tags=["certificates"], summary="List certificates by their end")
async def certificates(
    parameters: Annotated[CertificateParameters, Query()],
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
) -> results.CertificatePage:
    """Certificates that fit all filters, those that expire first at the start.

    Without filters: every certificate that is live somewhere outside trust stores. Filters are conditions
    of the query, so that all of them, and `q`, mean one and the same place. Counts are true as of each item's `folded`.
    """
    return await store.run_read(
        partial(
            list_certificates,
            query=parameters.asked_by(principal).as_query(),
            now_ms=clock.now_ms(),
            limit=parameters.limit,
            cursor=parameters.cursor,
            sort=parameters.sort,
            with_places=parameters.places,
            exactly=parameters.exactly,
        )
    )


@router.get("/certificates/{sha256}", tags=["certificates"], summary="One certificate, whole")
async def certificate(sha256: str, store: StoreOf, clock: ClockOf) -> results.CertificateDetail:
    """Facts, chain by verified signatures, places, private key, line and history."""
    found = await store.run_read(
        partial(certificate_detail, sha256=hash_of(sha256), now_ms=clock.now_ms())
    )
    if found is None:
        raise not_found(f"certificate {sha256!r}")
    return found


@router.get("/keys", tags=["keys"], summary="List private keys")
async def keys(
    parameters: Annotated[KeyParameters, Query()],
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
) -> results.KeyPage:
    """Private keys that fit all filters, with some of their places and certificates.

    `host`, `path`, `readable_by` and `encrypted` mean one and the same place.
    """
    return await store.run_read(
        partial(
            list_keys,
            query=parameters.asked_by(principal).as_query(),
            now_ms=clock.now_ms(),
            limit=parameters.limit,
            cursor=parameters.cursor,
            sort=parameters.sort,
            exactly=parameters.exactly,
        )
    )


@router.get("/keys/{key_id}", tags=["keys"], summary="One key, whole")
async def key(key_id: str, store: StoreOf) -> results.KeyDetail:
    """Facts, certificates, places and history. For a sealed key: the hash of its encrypted bytes."""
    found = await store.run_read(partial(key_detail, identity=hash_of(key_id)))
    if found is None:
        raise not_found(f"key {key_id!r}")
    return found


@router.get("/hosts", tags=["hosts"], summary="List hosts by name")
async def hosts(
    parameters: Annotated[HostParameters, Query()],
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
) -> results.HostPage:
    """Hosts with what they hold and when they were heard last."""
    return await store.run_read(
        partial(
            list_hosts,
            query=parameters.asked_by(principal).as_query(),
            now_ms=clock.now_ms(),
            limit=parameters.limit,
            cursor=parameters.cursor,
            sort=parameters.sort,
            exactly=parameters.exactly,
        )
    )


@router.get("/places", tags=["places"], summary="List places by host and path")
async def places(
    parameters: Annotated[PlaceParameters, Query()],
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
) -> results.PlacePage:
    """Every name under which a file is reached that a query means, whatever it holds."""
    return await store.run_read(
        partial(
            list_places,
            query=parameters.asked_by(principal).as_query(),
            now_ms=clock.now_ms(),
            limit=parameters.limit,
            cursor=parameters.cursor,
            sort=parameters.sort,
            exactly=parameters.exactly,
        )
    )


@router.get("/gaps", tags=["hosts"], summary="List gaps by host and path")
async def gaps(
    parameters: Annotated[GapParameters, Query()],
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
) -> results.GapPage:
    """Where agents could not look, and why: unreadable, over a limit, another file system."""
    return await store.run_read(
        partial(
            list_gaps,
            query=parameters.asked_by(principal).as_query(),
            now_ms=clock.now_ms(),
            limit=parameters.limit,
            cursor=parameters.cursor,
            sort=parameters.sort,
            exactly=parameters.exactly,
        )
    )


@router.get("/hosts/{host_id}", tags=["hosts"], summary="One host, whole")
async def host(host_id: str, store: StoreOf, clock: ClockOf) -> results.HostDetail:
    """Host facts, what its agent could not look at, and what expires there first."""
    detail = await store.run_read(
        partial(host_detail, host_id=host_id.lower(), now_ms=clock.now_ms())
    )
    if detail is None:
        raise not_found(f"host {host_id!r}")
    return detail


def hash_of(text: str) -> bytes:
    """Return the hash in a path; a ProblemError if there can be none of this spelling."""
    try:
        identity = bytes.fromhex(text)
    except ValueError:
        identity = b""
    if len(identity) != _HASH_BYTES:
        raise not_found(f"{text!r}, which is no SHA-256 of 64 hexadecimal digits,")
    return identity
