"""The audit log, for admins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy import Connection

from keycensus_collector.access import audit
from keycensus_collector.api.identities import one_match
from keycensus_collector.api.parameters import IdParameters
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, StoreOf
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.audited import Subject, audited
from keycensus_collector.inventory.values import time_text
from keycensus_collector.query import values

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)

_WORD = 200


class AuditOfParameters(IdParameters):
    """What the log is asked of, and how many rows."""

    limit: Annotated[int, Field(ge=1, le=1_000, description="How many.")] = 100


@dataclass(frozen=True, slots=True)
class AuditRow:
    """What was done. `hash`: of the row and the hash before it."""

    number: int
    at: str | None
    actor: str
    action: str
    subject: str
    detail: dict[str, object]
    hash: str


@dataclass(frozen=True, slots=True)
class Chain:
    """How many rows are as they were written, and the last hash. `broken`: the first that is not; null: none."""

    rows: int
    last_hash: str
    broken: int | None
    problem: str


@router.get("/audit", tags=["audit"], summary="What was done, and by whom")
async def rows(
    store: StoreOf,
    clock: ClockOf,
    *,
    actor: Annotated[str, Query(max_length=_WORD, description="`user:ann`, `operator`.")] = "",
    action: Annotated[str, Query(max_length=_WORD, description="It, or its beginning.")] = "",
    subject: Annotated[str, Query(max_length=_WORD, description="To whom or what.")] = "",
    before: Annotated[
        int | None, Query(ge=1, le=2**53, description="Only rows before this number.")
    ] = None,
    since: Annotated[
        str, Query(max_length=_WORD, description="A date, or an age as `30d`: from then on.")
    ] = "",
    until: Annotated[
        str, Query(max_length=_WORD, description="A date or an age: up to then, a whole day.")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many.")] = 100,
) -> list[AuditRow]:
    """List rows, the newest first; send the number of the last as `before` for the following."""
    now_ms = clock.now_ms()
    wanted = audit.Wanted(
        actor,
        action,
        subject,
        since_ms=_moment(since, now_ms)[0] if since else None,
        until_ms=_moment(until, now_ms)[1] if until else None,
    )
    listed = partial(audit.list_rows, wanted=wanted, limit=limit, before_no=before)
    return list(map(as_told, await store.run_read(listed)))


@router.get("/audit/of", tags=["audit"], summary="What was done with one thing")
async def of_thing(
    parameters: Annotated[AuditOfParameters, Query()], store: StoreOf
) -> list[AuditRow]:
    """List rows about a certificate, a key or a host, the newest first: also those about many things at once."""

    def work(connection: Connection) -> list[dict[str, Any]]:
        match = one_match(connection, parameters.id, parameters.kind)
        if match.kind not in {"certificate", "key", "host"}:
            raise UsageError(
                f"the log is asked of certificates, keys and hosts, not of a {match.kind}"
            )
        if match.kind == "host":
            subject = Subject.of_host(connection, match.id)
        else:
            subject = Subject.of_artifact(match.kind, bytes.fromhex(match.id))
        return audit.rows_of(connection, audited(connection, subject, parameters.limit))

    return list(map(as_told, await store.run_read(work)))


def as_told(row: dict[str, Any]) -> AuditRow:
    """Return a row as it is shown."""
    return AuditRow(at=time_text(row.pop("at_ms")), **row)


@router.get("/audit/chain", tags=["audit"], summary="Whether the log is as it was written")
async def chain(store: StoreOf) -> Chain:
    """Follow the chain of all rows; name the first that was changed, added or removed."""
    verdict = await store.run_read(audit.verify)
    return Chain(verdict.rows, verdict.last_hash, verdict.broken_no, verdict.problem)


def _moment(text: str, now_ms: int) -> tuple[int, int]:
    """Return from when to when a date goes, or the moment of an age, in milliseconds."""
    length, period = values.duration_ms(text), values.period(text)
    if length is not None:
        return now_ms - abs(length), now_ms - abs(length)
    if period is None:
        raise UsageError(f"{text!r} is no date or age: write 2026-09-30, or 30d")
    return period
