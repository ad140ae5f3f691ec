"""Marks: set, lifted, listed, each with what it reaches."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from sqlalchemy import Connection

from keycensus_collector.api.conditional import IfMatch
from keycensus_collector.api.identities import one_match
from keycensus_collector.api.problems import ProblemError, no_mark
from keycensus_collector.api.security import (
    AUTHENTICATED,
    ClockOf,
    CurrentPrincipal,
    StoreOf,
)
from keycensus_collector.api.selection import Edited, Selection, edit, meant
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.identify import ID_CHARACTERS
from keycensus_collector.inventory.paging import BIGGEST_INTEGER, PAGE_LIMIT
from keycensus_collector.marks.bulk import lift_marks, marks_now, set_marks
from keycensus_collector.marks.reach import MarkDetail, reach_of
from keycensus_collector.marks.stored import (
    KINDS,
    REASON_CHARACTERS,
    WORDS,
    Mark,
    find_mark,
    lift_mark,
    list_marks,
    set_mark,
)
from keycensus_collector.ownership import bulk
from keycensus_collector.ownership.bulk import Plan

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["marks"])

_SHA256 = re.compile(r"[0-9a-f]{64}")

Number = Annotated[int, Path(ge=1, le=BIGGEST_INTEGER)]
Reason = Annotated[str, Field(min_length=1, max_length=REASON_CHARACTERS)]


class MarkBody(BaseModel):
    """A mark to set. A full SHA-256 with its `kind` need not be in the inventory."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(max_length=ID_CHARACTERS)]
    mark: Literal["compromised", "distrusted"]
    reason: Reason
    kind: Literal["", "certificate", "key"] = ""


class MarksBody(Selection):
    """A mark for all that is meant: certificates or keys. `lift`: it is lifted; without `mark`, each that stands."""

    mark: Literal["", "compromised", "distrusted"] = ""
    lift: StrictBool = False
    reason: Reason


class LiftBody(BaseModel):
    """Why a mark is lifted."""

    model_config = ConfigDict(extra="forbid")

    reason: Reason


@router.get("/marks", summary="Marks, the newest first")
async def marks(
    store: StoreOf,
    *,
    lifted: Annotated[bool, Query(description="Those that were lifted, too.")] = False,
    before: Annotated[
        int | None, Query(ge=1, le=BIGGEST_INTEGER, description="From behind this number on.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="How many at most.")] = PAGE_LIMIT,
) -> list[Mark]:
    """Each with the `query` that lists what it reaches."""
    return await store.run_read(partial(list_marks, standing=not lifted, after=before, limit=limit))


@router.get("/marks/{number}", summary="One mark, and all that it reaches")
async def mark(number: Number, store: StoreOf, clock: ClockOf) -> MarkDetail:
    """Places now, at most 1,000, and where what is marked came back."""

    def work(connection: Connection) -> MarkDetail:
        found = find_mark(connection, number)
        if found is None:
            raise no_mark(number)
        return reach_of(connection, found, clock.now_ms())

    return await store.run_read(work)


@router.post("/marks", summary="Mark a certificate, key or authority", status_code=201)
async def set_(
    body: MarkBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> MarkDetail:
    """Set a mark, and say at once what it reaches. For operators and admins."""
    now_ms = clock.now_ms()

    def work(connection: Connection) -> Mark:
        kind, subject = _one(connection, body)
        return set_mark(
            connection,
            kind=kind,
            subject=subject,
            word=body.mark,
            reason=body.reason,
            actor=principal.actor,
            now_ms=now_ms,
        )

    done = await store.run_write(work)
    return await store.run_read(partial(reach_of, mark=done, now_ms=now_ms))


@router.post("/marks/bulk", summary="Mark many things, or lift their marks")
async def mark_many(  # noqa: PLR0917 - each is a part of the request
    body: MarksBody,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    response: Response,
    if_match: IfMatch = "",
) -> Edited:
    """At most 10,000 at once. What comes of one mark, POST /marks tells. For operators and admins."""
    now_ms = clock.now_ms()
    if not body.mark and not body.lift:
        raise UsageError("say which mark is set: compromised or distrusted")
    words = (body.mark,) if body.mark else WORDS

    def planned(connection: Connection) -> Plan:
        things, refused = meant(connection, body, principal, now_ms)
        standing = marks_now(connection, things, words)
        wanted = None if body.lift else body.mark
        told = f"{'lift' if body.lift else 'mark'} {body.mark}"
        return bulk.plan(things, standing, wanted, wanted=told, refused=refused)

    def apply(connection: Connection, made: Plan) -> None:
        by = partial(
            lift_marks if body.lift else set_marks,
            reason=body.reason,
            actor=principal.actor,
            now_ms=now_ms,
            query=body.asked(),
        )
        by(connection, made.changed, words if body.lift else body.mark)

    return await edit(store, body, response, if_match=if_match, planned=planned, apply=apply)


@router.post("/marks/{number}/lift", summary="Lift a mark")
async def lift(
    number: Number, body: LiftBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Mark:
    """End a mark; it stays in history. For operators and admins."""
    end = partial(
        lift_mark,
        number=number,
        reason=body.reason,
        actor=principal.actor,
        now_ms=clock.now_ms(),
    )
    lifted = await store.run_write(end)
    if lifted is None:
        raise no_mark(number)
    return lifted


def _one(connection: Connection, body: MarkBody) -> tuple[str, bytes]:
    """Return the kind and hash of what is to be marked; ProblemError or UsageError if there is none."""
    try:
        match = one_match(connection, body.id, body.kind)
    except ProblemError as error:
        digits = re.sub(r"[\s:]", "", body.id).lower()
        if error.type != "not-found" or not body.kind or not _SHA256.fullmatch(digits):
            raise
        return body.kind, bytes.fromhex(digits)
    if match.kind not in KINDS:
        raise UsageError(
            f"{body.id!r} is a {match.kind}: certificates, keys and authorities are marked"
        )
    return match.kind, bytes.fromhex(match.id)
