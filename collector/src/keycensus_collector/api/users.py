"""Users, as admins see and change them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Connection

from keycensus_collector.access import sessions, tokens, users
from keycensus_collector.api.account import ApiToken, NewPassword, revoke, shown_token
from keycensus_collector.api.problems import ProblemError
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.inventory.values import time_text

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)


Role = Literal["viewer", "owner", "operator", "admin"]
NewName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9._@-]{0,63}$")]


class NewUserBody(BaseModel):
    """A user to add."""

    model_config = ConfigDict(extra="forbid")

    role: Role


class SetPasswordBody(BaseModel):
    """The password that a user is to have."""

    model_config = ConfigDict(extra="forbid")

    new: NewPassword


class UserBody(BaseModel):
    """What is to change of a user; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    role: Role | None = None
    disabled: bool | None = None
    sees: Literal["all", "teams"] | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A user. `sees`: "all", or what their "teams" own. `has_password`: can sign in with one.

    `accounts`: issuers of the accounts of OpenID Connect with which they can.
    """

    name: str
    role: str
    sees: str
    has_password: bool
    accounts: list[str]
    created: str | None
    disabled: str | None


@router.get("/users", tags=["users"], summary="All users")
async def all_users(store: StoreOf) -> list[User]:
    """List them by name, without anything secret."""
    return [_shown(each) for each in await store.run_read(users.list_users)]


@router.get("/users/{name}", tags=["users"], summary="One user")
async def one_user(name: str, store: StoreOf) -> User:
    """Show one, without anything secret."""
    found = await store.run_read(partial(users.list_users, name=name))
    if not found:
        raise ProblemError(HTTPStatus.NOT_FOUND, "not-found", f"there is no user {name!r}")
    return _shown(found[0])


def _shown(each: dict[str, Any]) -> User:
    return User(
        name=each["name"],
        role=each["role"],
        sees=each["sees"],
        has_password=each["has_password"],
        accounts=each["accounts"],
        created=time_text(each["created_ms"]),
        disabled=time_text(each["disabled_ms"]),
    )


@router.put("/users/{name}", tags=["users"], summary="Add a user", status_code=201)
async def add_user(
    name: NewName, body: NewUserBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> User:
    """Add one without a password, which `POST /users/{name}/password` sets."""
    now_ms = clock.now_ms()
    work = partial(users.add_user, name=name, role=body.role, now_ms=now_ms, actor=principal.actor)
    await store.run_write(work)
    return User(
        name,
        body.role,
        "all",
        has_password=False,
        accounts=[],
        created=time_text(now_ms),
        disabled=None,
    )


@router.patch("/users/{name}", tags=["users"], summary="Change a user", status_code=204)
async def change_user(
    name: str, body: UserBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Response:
    """Give another role, disable or enable; sessions end. The last admin stays one."""
    await store.run_write(
        partial(
            users.change_user,
            name=name,
            actor=principal.actor,
            now_ms=clock.now_ms(),
            role=body.role,
            disabled=body.disabled,
            sees=body.sees,
        )
    )
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post(
    "/users/{name}/password", tags=["users"], summary="Set a user's password", status_code=204
)
async def set_password(
    name: str,
    body: SetPasswordBody,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
) -> Response:
    """Set it, and end their sessions. Not one's own, nor of who signs in at a provider."""
    if name == principal.user:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            "conflict",
            "this is your own password: change it with PUT /password, which asks for the old one",
        )
    # Before the work of a hash; and again with it, should they have been given an account meanwhile.
    await store.run_read(partial(users.check_may_have_password, name=name))
    hashed = await asyncio.to_thread(users.hash_of, body.new.get_secret_value())

    def work(connection: Connection) -> None:
        users.check_may_have_password(connection, name)
        users.set_password(
            connection,
            name=name,
            password_hash=hashed,
            now_ms=clock.now_ms(),
            actor=principal.actor,
        )

    await store.run_write(work)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.delete("/users/{name}/sessions", tags=["users"], summary="Sign a user out", status_code=204)
async def sign_out(
    name: str, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Response:
    """End all sessions of a user."""

    def work(connection: Connection) -> None:
        sessions.end_all(
            connection,
            users.user_no(connection, name),
            name=name,
            actor=principal.actor,
            now_ms=clock.now_ms(),
        )

    await store.run_write(work)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get("/users/{name}/tokens", tags=["users"], summary="A user's API tokens")
async def tokens_of(name: str, store: StoreOf, clock: ClockOf) -> list[ApiToken]:
    """List them, the newest first."""

    def work(connection: Connection) -> list[ApiToken]:
        number = users.user_no(connection, name)
        listed = tokens.list_api_tokens(connection, clock.now_ms(), number)
        return [shown_token(each) for each in listed]

    return await store.run_read(work)


@router.delete(
    "/users/{name}/tokens/{token_id}", tags=["users"], summary="Revoke a token", status_code=204
)
async def revoke_token_of(
    name: str, token_id: str, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Response:
    """End it now, for good."""
    number = await store.run_read(partial(users.user_no, name=name))
    await revoke(store, token_id, principal, clock.now_ms(), number)
    return Response(status_code=HTTPStatus.NO_CONTENT)
