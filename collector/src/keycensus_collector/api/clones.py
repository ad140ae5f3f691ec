"""Identities that several machines share, all at once: told first, then each machine gets one of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from sqlalchemy import Connection

from keycensus_collector.agent_operations import find_clones, rekey_agents
from keycensus_collector.api.agents import HOUR_MS, Copies, WithinHours
from keycensus_collector.api.conditional import IfMatch, check_preconditions
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.authority import rekey
from keycensus_collector.inventory.values import time_text
from keycensus_collector.operation import AnyRow, Surroundings
from keycensus_collector.query.parse import MOST_CHARACTERS, parse

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["agents"])

# Of the identities that are meant, how many an answer names.
_SAMPLES = 50


class ClonesBody(BaseModel):
    """Which shared identities end: all, or those of the hosts that `q` lists. `preview` tells, and changes nothing.

    `within_hours`, `copies`: for how long, and how many machines of each, may come for their own.
    """

    model_config = ConfigDict(extra="forbid")

    q: Annotated[str, Field(max_length=MOST_CHARACTERS)] = ""
    within_hours: WithinHours = rekey.WITHIN_MS // HOUR_MS
    copies: Copies = rekey.COPIES
    preview: StrictBool = False


@dataclass(frozen=True, slots=True)
class Clone:
    """An identity that several machines use, and how many did."""

    id: str
    host: str
    machines: int


@dataclass(frozen=True, slots=True)
class ClonesRekeyed:
    """Identities that were ended, or with `preview` would be, with the first of them; and until when machines may come.

    `digest` stands for all of them and what was asked, and is the ETag: sent as `If-Match`, it is done only if it is still the same.
    """

    done: bool
    identities: int
    machines: int
    samples: list[Clone]
    until: str | None
    digest: str


@router.post("/clones/rekey", summary="Give all machines that share identities one each")
async def rekey_clones(  # noqa: PLR0917 - each is a part of the request
    body: ClonesBody,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    response: Response,
    if_match: IfMatch = "",
) -> ClonesRekeyed:
    """End each shared identity; its machines get their own at their next contact, and are new hosts."""
    now_ms, within_ms = clock.now_ms(), body.within_hours * HOUR_MS
    query = replace(parse(body.q), asker=principal.user) if body.q.strip() else None

    def work(connection: Connection) -> ClonesRekeyed:
        rows = find_clones(connection, query, now_ms)
        told = _told(connection, rows, body)
        if not body.preview:
            check_preconditions(f'"{told.digest}"', if_match=if_match, if_none_match="")
            around = Surroundings(None, now_ms, principal.actor)
            rekey_agents(connection, around, rows, within_ms=within_ms, copies=body.copies)
        return replace(told, done=not body.preview, until=time_text(now_ms + within_ms))

    told = await (store.run_read(work) if body.preview else store.run_write(work, urgent=True))
    response.headers["ETag"] = f'"{told.digest}"'
    return told


def _told(connection: Connection, rows: Sequence[AnyRow], body: ClonesBody) -> ClonesRekeyed:
    clones = [
        Clone(row.agent_id, row.name, len(rekey.contacts_of(connection, row.agent_no)))
        for row in rows
    ]
    meant = [body.model_dump(exclude={"preview"}), *clones]
    return ClonesRekeyed(
        done=False,
        identities=len(clones),
        machines=sum(each.machines for each in clones),
        samples=clones[:_SAMPLES],
        until=None,
        digest=hashlib.sha256(repr(meant).encode()).hexdigest()[:32],
    )
