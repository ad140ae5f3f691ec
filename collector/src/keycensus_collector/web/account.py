"""The page of one's own account: password, sessions, API tokens, and the providers at which one signs in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import Response

from keycensus_collector.access.permissions import MEANING
from keycensus_collector.access.tokens import DEFAULT_DAYS
from keycensus_collector.api import account as api
from keycensus_collector.api.users import one_user
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Sent, attempt, new_password, submit

router = APIRouter()

_TOKEN = {"name": "", "days": str(DEFAULT_DAYS)}


@router.get("/account")
async def account(visit: Visiting) -> Response:
    """Show who one is here, where one is signed in, and one's tokens."""
    return await _show(visit, _TOKEN)


@router.post("/account/password")
async def change_password(visit: Visiting) -> Response:
    """Change one's own password."""

    async def act(sent: Sent) -> str:
        old, new = sent.as_typed("old"), new_password(sent)
        body = api.PasswordBody.model_validate({"old": old, "new": new})
        await api.change_password(body, visit.request, visit.store, visit.clock, visit.principal)
        return "/account"

    async def again(_: Sent, mistake: Mistake) -> Response:
        if mistake.status is HTTPStatus.UNAUTHORIZED:
            mistake = replace(mistake, detail="the old password is wrong: nothing was changed")
        return await _show(visit, _TOKEN, mistake)

    return await submit(visit, act, again, "password-changed")


@router.post("/account/sessions/{session_id}/end")
async def end_session(session_id: str, visit: Visiting) -> Response:
    """Sign out at one other browser."""

    async def act(_: Sent) -> str:
        await api.sign_out_there(session_id, visit.store, visit.clock, visit.principal)
        return "/account"

    async def again(_: Sent, mistake: Mistake) -> Response:
        return await _show(visit, _TOKEN, mistake)

    return await submit(visit, act, again, "session-ended")


@router.post("/account/tokens")
async def make_token(visit: Visiting) -> Response:
    """Make an API token, and show it. This page is never shown again."""

    async def act(sent: Sent) -> Response:
        limits = sent.texts("permissions") if sent.text("limited") else None
        body = api.TokenBody.model_validate(
            {"name": sent.text("name"), "days": sent.text("days"), "permissions": limits}
        )
        made = await api.make_token(body, visit.store, visit.clock, visit.principal)
        return visit.page("token.html", status=HTTPStatus.CREATED, made=made, name=body.name)

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _show(visit, {name: sent.text(name) for name in _TOKEN}, mistake)

    return await attempt(visit, act, again)


@router.post("/account/tokens/{token_id}/revoke")
async def revoke_token(token_id: str, visit: Visiting) -> Response:
    """Revoke one of one's API tokens."""

    async def act(_: Sent) -> str:
        await api.revoke_token(token_id, visit.store, visit.clock, visit.principal)
        return "/account"

    async def again(_: Sent, mistake: Mistake) -> Response:
        return await _show(visit, _TOKEN, mistake)

    return await submit(visit, act, again, "token-revoked")


async def _show(visit: Visit, given: Mapping[str, str], mistake: Mistake | None = None) -> Response:
    principal = visit.principal
    return visit.page(
        "account.html",
        mistake=mistake,
        given=given,
        one=await one_user(principal.user, visit.store),
        sessions=await api.own_sessions(visit.store, visit.clock, principal),
        tokens=await api.own_tokens(visit.store, visit.clock, principal),
        mine=[(word, MEANING[word]) for word in MEANING if principal.may(word)],
    )
