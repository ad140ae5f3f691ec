"""The pages of users: who they are, what their roles let them do, and what admins change of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import Response

from keycensus_collector.access.permissions import MEANING, ROLES, Permission
from keycensus_collector.api import users as api
from keycensus_collector.web.asking import Mistake, Visit, Visiting
from keycensus_collector.web.forms import Sent, new_password, refused, submit
from keycensus_collector.web.wording import segment

router = APIRouter()

_NEW = {"name": "", "role": "viewer"}


@router.get("/users")
async def users(visit: Visiting) -> Response:
    """List users, and say what each role may."""
    return await _list(visit, _NEW)


@router.post("/users")
async def add(visit: Visiting) -> Response:
    """Add a user."""

    async def act(sent: Sent) -> str:
        body = api.NewUserBody.model_validate({"role": sent.text("role")})
        made = await api.add_user(
            sent.text("name"), body, visit.store, visit.clock, visit.principal
        )
        return _address(made.name)

    async def again(sent: Sent, mistake: Mistake) -> Response:
        return await _list(visit, {name: sent.text(name) for name in _NEW}, mistake)

    return await submit(visit, act, again, "user-added")


@router.get("/users/{name}")
async def user(name: str, visit: Visiting) -> Response:
    """Show one user with their API tokens, and what can be changed."""
    return await _show(visit, name)


@router.post("/users/{name}")
async def change(name: str, visit: Visiting) -> Response:
    """Give another role, let them see more or less, disable or enable."""

    async def act(sent: Sent) -> str:
        now = await api.one_user(name, visit.store)
        wanted = {
            "role": sent.text("role"),
            "sees": sent.text("sees"),
            "disabled": sent.text("disabled") == "yes",
        }
        is_so = {"role": now.role, "sees": now.sees, "disabled": now.disabled is not None}
        body = api.UserBody.model_validate(
            {key: value for key, value in wanted.items() if value != is_so[key]}
        )
        await api.change_user(name, body, visit.store, visit.clock, visit.principal)
        return _address(name)

    return await submit(visit, act, partial(_again, visit, name), "user-changed")


@router.post("/users/{name}/password")
async def set_password(name: str, visit: Visiting) -> Response:
    """Set another user's password."""

    async def act(sent: Sent) -> str:
        body = api.SetPasswordBody.model_validate({"new": new_password(sent)})
        await api.set_password(name, body, visit.store, visit.clock, visit.principal)
        return _address(name)

    return await submit(visit, act, partial(_again, visit, name), "user-password")


@router.post("/users/{name}/sign-out")
async def sign_out(name: str, visit: Visiting) -> Response:
    """End all their sessions."""

    async def act(_: Sent) -> str:
        await api.sign_out(name, visit.store, visit.clock, visit.principal)
        return _address(name)

    return await submit(visit, act, partial(_again, visit, name), "user-signed-out")


@router.post("/users/{name}/tokens/{token_id}/revoke")
async def revoke(name: str, token_id: str, visit: Visiting) -> Response:
    """Revoke one of their API tokens."""

    async def act(_: Sent) -> str:
        await api.revoke_token_of(name, token_id, visit.store, visit.clock, visit.principal)
        return _address(name)

    return await submit(visit, act, partial(_again, visit, name), "token-revoked")


async def _again(visit: Visit, name: str, _: Sent, mistake: Mistake) -> Response:
    if mistake.status is HTTPStatus.NOT_FOUND:
        return await refused(visit, mistake)
    return await _show(visit, name, mistake)


async def _show(visit: Visit, name: str, mistake: Mistake | None = None) -> Response:
    found = await api.one_user(name, visit.store)
    return visit.page(
        "user.html",
        mistake=mistake,
        one=found,
        tokens=await api.tokens_of(name, visit.store, visit.clock),
        roles=_options(ROLES),
        may_write=visit.principal.may(Permission.USERS_WRITE),
        is_own=found.name == visit.principal.user,
    )


async def _list(visit: Visit, given: Mapping[str, str], mistake: Mistake | None = None) -> Response:
    return visit.page(
        "users.html",
        mistake=mistake,
        given=given,
        users=await api.all_users(visit.store),
        roles=_options(ROLES),
        granted=ROLES,
        meaning=MEANING,
        may_write=visit.principal.may(Permission.USERS_WRITE),
    )


def _options(words: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(word, word) for word in words]


def _address(name: str) -> str:
    return f"/users/{segment(name)}"
