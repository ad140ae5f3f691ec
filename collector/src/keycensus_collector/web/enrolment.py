"""The page of enrolment tokens: made with the command to copy, listed without their secrets, revoked."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import Response

from keycensus_collector.access.permissions import Permission
from keycensus_collector.api import enrolment_tokens as api
from keycensus_collector.errors import UsageError
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Sent, attempt, refused, submit

router = APIRouter()

_SHOWN = 100
_ENROL_PORT = 8441
# How long a token may live, in minutes.
_LIVES = (
    ("15", "15 minutes"),
    ("60", "1 hour"),
    ("480", "8 hours"),
    ("1440", "1 day"),
    ("10080", "7 days"),
    ("43200", "30 days"),
    ("129600", "90 days"),
)
_USUAL = {"minutes": "60", "uses": "1", "labels": "", "for_host": ""}


@router.get("/enrolment")
async def enrolment(visit: Visiting, host: str = "") -> Response:
    """List tokens. `host`: for which host to begin a new one."""
    return await _show(visit, {**_USUAL, "for_host": host})


@router.post("/enrolment")
async def make(visit: Visiting) -> Response:
    """Make a token, and show it with the command that takes it. This page is never shown again."""

    async def act(sent: Sent) -> Response:
        body = api.EnrolmentTokenBody.model_validate(
            {
                "minutes": sent.text("minutes"),
                "uses": sent.text("uses"),
                "labels": _labels(sent.lines("labels")),
                "for_host": sent.text("for_host"),
            }
        )
        made = await api.make_enrolment_token(body, visit.store, visit.clock, visit.principal)
        return visit.page(
            "enrol.html",
            status=HTTPStatus.CREATED,
            made=made,
            uses=body.uses,
            labels=body.labels,
            for_host=body.for_host,
            collector=_enrol_at(visit),
        )

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _show(visit, {name: sent.text(name) for name in _USUAL}, mistake)

    return await attempt(visit, act, again)


@router.post("/enrolment/{token_id}/revoke")
async def revoke(token_id: str, visit: Visiting) -> Response:
    """Revoke a token."""

    async def act(_: Sent) -> str:
        await api.revoke_enrolment_token(token_id, visit.store, visit.clock, visit.principal)
        return "/enrolment"

    async def again(_: Sent, mistake: Mistake) -> Response:
        return await refused(visit, mistake)

    return await submit(visit, act, again, "token-revoked")


async def _show(visit: Visit, given: Mapping[str, str], mistake: Mistake | None = None) -> Response:
    found = await api.enrolment_tokens(visit.store, visit.clock, only_open=False, limit=_SHOWN)
    return visit.page(
        "enrolment.html",
        mistake=mistake,
        given=given,
        lives=_LIVES,
        tokens=found,
        shown=_SHOWN,
        may_write=visit.principal.may(Permission.TOKENS_CREATE),
    )


def _labels(lines: list[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for line in lines:
        key, separator, value = line.partition("=")
        if not separator:
            raise UsageError(f"{line!r} is no label; write KEY=VALUE, one a line")
        labels[key.strip()] = value.strip()
    return labels


def _enrol_at(visit: Visit) -> str:
    """Return "HOST:PORT" at which hosts join."""
    configured: str = visit.request.app.state.enrol_at
    return configured or f"{visit.request.url.hostname}:{_ENROL_PORT}"
