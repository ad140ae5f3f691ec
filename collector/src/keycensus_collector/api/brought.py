"""Imports of certificates and revocation lists, and of what authorities say they issued."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from sqlalchemy import Connection, select

from keycensus_collector.access.principals import Principal
from keycensus_collector.api.identities import one_match
from keycensus_collector.api.imports import TURN, Chunks, file_body, received
from keycensus_collector.api.security import (
    AUTHENTICATED,
    ClockOf,
    CurrentPrincipal,
    Database,
    StoreOf,
)
from keycensus_collector.catalogue.parser import CatalogueParser
from keycensus_collector.clock import Clock
from keycensus_collector.errors import UsageError
from keycensus_collector.imports.artifacts import (
    ArtifactsTaken,
    Read,
    check_certificates,
    read_file,
    take_artifacts,
)
from keycensus_collector.imports.ca_files import FORMATS, read_list
from keycensus_collector.imports.listing import (
    Entry,
    ListOfCertificates,
    entries_of,
    list_lists,
    list_no,
)
from keycensus_collector.imports.lists import (
    CA_LIST,
    ListFile,
    ListTaken,
    plan_list,
    take_list,
    taken_of,
)
from keycensus_collector.imports.stored import SOURCE_CHARACTERS
from keycensus_collector.inventory.paging import BIGGEST_INTEGER, PAGE_LIMIT
from keycensus_collector.store.schema import certificate

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["imports"])

_Preview = Annotated[bool, Query(description="Only tell what it would come to; take nothing.")]


@router.post(
    "/imports/artifacts",
    summary="Import certificates and revocation lists",
    status_code=201,
    openapi_extra=file_body("-----BEGIN CERTIFICATE-----…"),
)
async def artifacts(
    request: Request,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    *,
    name: Annotated[
        str,
        Query(
            min_length=1,
            max_length=SOURCE_CHARACTERS,
            description="What the file is called: its certificates replace the former ones of this name.",
        ),
    ],
    preview: _Preview = False,
) -> ArtifactsTaken:
    """Take PEM, DER or PKCS#7, sent as the body. Certificates are read as those that agents send.

    Revocation lists count once their signature is verified. Private keys are refused.
    """
    return await take_artifacts_of(
        request.stream(), store, clock, principal, name=name, preview=preview
    )


async def take_artifacts_of(
    chunks: Chunks, store: Database, clock: Clock, principal: Principal, *, name: str, preview: bool
) -> ArtifactsTaken:
    """Take a file of certificates and revocation lists that comes in pieces."""
    async with TURN:
        read = await asyncio.to_thread(_read, await received(chunks))

        def work(connection: Connection) -> ArtifactsTaken:
            actor, now_ms = principal.actor, clock.now_ms()
            return take_artifacts(
                connection, read, name, actor=actor, now_ms=now_ms, preview=preview
            )

        return await (store.run_read(work) if preview else store.run_write(work))


def _read(data: bytes) -> Read:
    with CatalogueParser() as parser:
        return read_file(data, parser)


@router.post(
    "/imports/ca-list",
    summary="Import what an authority says it issued",
    status_code=201,
    openapi_extra=file_body("V\t270101000000Z\t\t1000\tunknown\t/CN=www.example.com\n"),
)
async def ca_list(
    request: Request,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    *,
    name: Annotated[
        str,
        Query(
            min_length=1,
            max_length=SOURCE_CHARACTERS,
            description="What the list is called: it replaces the former one of this name.",
        ),
    ],
    format_: Annotated[
        Literal["", "csv", "json", "openssl-index", "pem"],
        Query(alias="format", description="How the list is written; empty: found out."),
    ] = "",
    serials: Annotated[
        Literal["", "hex", "decimal"],
        Query(description="How serial numbers are written; empty: found out."),
    ] = "",
    issuer: Annotated[
        str,
        Query(
            max_length=1_000,
            description="ID of the authority's certificate, where the list is silent.",
        ),
    ] = "",
    preview: _Preview = False,
) -> ListTaken:
    """Take a list, sent as the body: CSV, JSON, the index of `openssl ca`, or certificates."""
    return await take_ca_list_of(
        request.stream(),
        store,
        clock,
        principal,
        name=name,
        format_=format_,
        serials=serials,
        issuer=issuer,
        preview=preview,
    )


async def take_ca_list_of(
    chunks: Chunks,
    store: Database,
    clock: Clock,
    principal: Principal,
    *,
    name: str,
    format_: str,
    serials: str,
    issuer: str,
    preview: bool,
) -> ListTaken:
    """Take a list of an authority that comes in pieces. Empty `format_` and `serials` are found out."""
    async with TURN:
        data = await received(chunks)
        file = await asyncio.to_thread(_read_ca_list, data, name, format_, serials)

        def work(connection: Connection) -> ListTaken:
            issuer_hash = _issuer_hash(connection, issuer) if issuer else b""
            now_ms = clock.now_ms()
            if preview:
                return taken_of(file, plan_list(connection, file, issuer_hash, now_ms))
            return take_list(connection, file, issuer_hash, actor=principal.actor, now_ms=now_ms)

        return await (store.run_read(work) if preview else store.run_write(work))


def _read_ca_list(data: bytes, name: str, format_: str, serials: str) -> ListFile:
    sha256, size = hashlib.sha256(data).digest(), len(data)
    if format_ == "pem" or (
        not format_ and (b"-----BEGIN " in data[:4_096] or data[:1] == b"\x30")
    ):
        read = _read(data)
        return ListFile(name, CA_LIST, "pem", read.certificates, sha256, size)
    found = read_list(data, format_ if format_ in FORMATS else "", serials)
    with CatalogueParser() as parser:
        check_certificates(found.entries, parser)
    return ListFile(
        name,
        CA_LIST,
        found.format,
        found.entries,
        sha256,
        size,
        found.columns,
        found.skipped,
        found.unread_times,
    )


def _issuer_hash(connection: Connection, identity: str) -> bytes:
    match = one_match(connection, identity, "certificate")
    row = connection.execute(
        select(certificate.c.subject_der_hash, certificate.c.is_ca).where(
            certificate.c.sha256 == bytes.fromhex(match.id)
        )
    ).one()
    if not row.is_ca:
        raise UsageError(
            f"{match.name} is no authority: nothing was taken; name the certificate that issued the list"
        )
    return bytes(row.subject_der_hash)


@router.get("/certificate-lists", summary="Lists of certificates that were imported")
async def lists(store: StoreOf) -> list[ListOfCertificates]:
    """Of authorities (`ca-list`) and of files of certificates (`certificates`), as they stand."""
    return await store.run_read(list_lists)


@router.get("/certificate-lists/{name:path}", summary="What a list of certificates names")
async def entries(
    name: str,
    store: StoreOf,
    *,
    kind: Annotated[
        Literal["ca-list", "certificates"], Query(description="Which of two of one name.")
    ] = "ca-list",
    without_certificate: Annotated[
        bool, Query(description="Only entries whose certificate was not found yet.")
    ] = False,
    after: Annotated[
        int, Query(ge=0, le=BIGGEST_INTEGER, description="From behind this number on.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="How many at most.")] = PAGE_LIMIT,
) -> list[Entry]:
    """Entries that stand, in the order in which they came. `name`: as lists are told, or as it was given."""

    def find(connection: Connection) -> list[Entry]:
        return entries_of(
            connection,
            list_no(connection, kind, name),
            without_certificate=without_certificate,
            after=after,
            limit=limit,
        )

    return await store.run_read(find)
