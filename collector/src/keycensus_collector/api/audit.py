"""The audit log, for admins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query

from keycensus_collector.access import audit
from keycensus_collector.api.security import AUTHENTICATED, StoreOf
from keycensus_collector.inventory.values import time_text

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)

_WORD = 200


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


@router.get("/audit", tags=["audit"], summary="What was done, and by whom")
async def rows(
    store: StoreOf,
    *,
    actor: Annotated[str, Query(max_length=_WORD, description="`user:ann`, `operator`.")] = "",
    action: Annotated[str, Query(max_length=_WORD, description="It, or its beginning.")] = "",
    subject: Annotated[str, Query(max_length=_WORD, description="To whom or what.")] = "",
    before: Annotated[
        int | None, Query(ge=1, le=2**53, description="Only rows before this number.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1_000, description="How many.")] = 100,
) -> list[AuditRow]:
    """List rows, the newest first; send the number of the last as `before` for the following."""
    wanted = audit.Wanted(actor, action, subject)
    listed = partial(audit.list_rows, wanted=wanted, limit=limit, before_no=before)
    return [
        AuditRow(at=time_text(each.pop("at_ms")), **each) for each in await store.run_read(listed)
    ]
