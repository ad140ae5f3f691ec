"""The page of the audit log: what was done, by whom, to what; and whether the chain of its rows is whole."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from keycensus_collector.api import audit as api
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.paging import BIGGEST_INTEGER
from keycensus_collector.web.asking import Mistake, Visiting
from keycensus_collector.web.forms import mistake_of

router = APIRouter()

_SHOWN = 100
_WORD = Query(max_length=200)


@router.get("/audit")
async def audit(
    visit: Visiting,
    *,
    actor: Annotated[str, _WORD] = "",
    action: Annotated[str, _WORD] = "",
    subject: Annotated[str, _WORD] = "",
    since: Annotated[str, _WORD] = "",
    until: Annotated[str, _WORD] = "",
    before: Annotated[int | None, Query(ge=1, le=BIGGEST_INTEGER)] = None,
) -> Response:
    """List rows, the newest first, narrowed down."""
    given = {
        "actor": actor.strip(),
        "action": action.strip(),
        "subject": subject.strip(),
        "since": since.strip(),
        "until": until.strip(),
    }
    mistake: Mistake | None = None
    found: list[api.AuditRow] = []
    try:
        found = await api.rows(visit.store, visit.clock, **given, before=before, limit=_SHOWN + 1)
    except UsageError as error:
        mistake = mistake_of(error, visit.request.url.path)
    shown = found[:_SHOWN]
    return visit.page(
        "audit.html",
        mistake=mistake,
        given=given,
        rows=[(row, details(row)) for row in shown],
        before=before,
        next=shown[-1].number if len(found) > len(shown) else None,
    )


@router.get("/audit/chain")
async def chain(visit: Visiting) -> Response:
    """Follow the chain of all rows, and say what is wrong with the first that is not as it was written."""
    return visit.page("audit_chain.html", chain=await api.chain(visit.store))


def details(row: api.AuditRow) -> list[tuple[str, str]]:
    """Return the detail of a row as names and what stands there, inert; what is empty is left out."""
    return [
        (name, _said(value))
        for name, value in sorted(row.detail.items())
        if value is not None and value not in ("", [], {})
    ]


def _said(value: object) -> str:
    return value if isinstance(value, str) and value.isprintable() else json.dumps(value)
