"""Signing in at a provider of OpenID Connect: there, and back with a session.

A browser goes to `start`, from there to the provider, and comes back to `callback`. What happens, in
order:
 1. who came back too often with nothing waits, before anything is looked at;
 2. the state must be one that this browser began here, for this provider, and that never came back before;
 3. what the provider says instead of a code is told;
 4. the code is exchanged, and all that the provider says is verified;
 5. the account becomes a user (oidc/accounts.py), who gets a new session.
Whatever goes wrong stands in the audit log, with its reason. It is answered with a problem, to which a
browser is shown the page to sign in (web/signing_in.py); `request.state.target` is where it wanted to go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, TypeVar
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel, Field
from sqlalchemy import Connection, delete

from keycensus_collector.access import audit, logins, sessions
from keycensus_collector.access.logins import Attempt
from keycensus_collector.api.login import set_cookie, wait_before_next
from keycensus_collector.api.problems import ProblemError
from keycensus_collector.api.security import COOKIE, ClockOf, Database, OpenStoreOf, visitor_of
from keycensus_collector.clock import Clock
from keycensus_collector.oidc import codes, states
from keycensus_collector.oidc.accounts import signed_in
from keycensus_collector.oidc.claims import Account, account_of
from keycensus_collector.oidc.provider import ProviderClient
from keycensus_collector.oidc.refusals import SignInError, Whose, provider_trouble
from keycensus_collector.oidc.settings import SignIn
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.tables.oidc import oidc_state
from keycensus_collector.text import safe_text

open_router = APIRouter(prefix="/api/v1", tags=["access"])

# Below it stands what browsers go through on their way to a provider and back.
WAY = "/api/v1/oidc/"

# Binds a sign-in that was begun to its browser; nothing else.
STATE_COOKIE = "__Host-keycensus-oidc"
_STATUS = {
    Whose.BROWSER: HTTPStatus.BAD_REQUEST,
    Whose.PERSON: HTTPStatus.FORBIDDEN,
    Whose.PROVIDER: HTTPStatus.BAD_GATEWAY,
}
_Given = TypeVar("_Given")
_MOST = 4_096


class Answer(BaseModel):
    """What a provider sends a browser back with (RFC 6749, section 4.1.2); it may say more."""

    state: Annotated[str, Field(max_length=_MOST, description="As it was sent along.")] = ""
    code: Annotated[str, Field(max_length=_MOST, description="What gets an ID token.")] = ""
    error: Annotated[str, Field(max_length=_MOST, description="Why there is no code.")] = ""
    iss: Annotated[str, Field(max_length=_MOST, description="Whose answer it is (RFC 9207).")] = ""


@dataclass(frozen=True, slots=True)
class Clients:
    """The providers as they are asked, by name; `url` is where browsers reach this collector."""

    url: str
    by_name: Mapping[str, ProviderClient]

    def client(self, name: str) -> ProviderClient:
        """Return what asks a provider; a problem "not-found" if there is none of this name."""
        client = self.by_name.get(name)
        if client is None:
            raise ProblemError(
                HTTPStatus.NOT_FOUND,
                "not-found",
                f"there is no provider {safe_text(name)!r}: GET /oidc lists them",
            )
        return client


@dataclass(frozen=True, slots=True)
class ProviderLink:
    """One way to sign in: a link to `start` is all that a page needs.

    `end`: where a browser goes after it signed out here, to sign out there too; empty if not configured.
    """

    name: str
    title: str
    start: str
    end: str


def clients(sign_in: SignIn, clock: Clock) -> Clients:
    """Return what the endpoints below ask, which `create_app` keeps."""
    return Clients(
        sign_in.url,
        {
            name: ProviderClient(provider, clock, f"{sign_in.url}/api/v1/oidc/{name}/callback")
            for name, provider in sign_in.providers.items()
        },
    )


def _clients_of(request: Request) -> Clients:
    found: Clients = request.app.state.oidc
    return found


@open_router.get("/oidc", summary="Providers to sign in at")
async def providers(request: Request) -> list[ProviderLink]:
    """List them for the page to sign in on."""
    return [
        ProviderLink(
            name=name,
            title=client.provider.title,
            start=f"/api/v1/oidc/{name}/start",
            end=f"/api/v1/oidc/{name}/end" if client.provider.end_session else "",
        )
        for name, client in _clients_of(request).by_name.items()
    ]


@open_router.get(
    "/oidc/{provider}/start",
    summary="Sign in at a provider",
    status_code=HTTPStatus.SEE_OTHER,
    response_class=RedirectResponse,
)
async def start(
    request: Request,
    provider: str,
    clock: ClockOf,
    next_: Annotated[
        str, Query(alias="next", max_length=states.MOST_TARGET, description="A path of ours.")
    ] = "/",
    command: Annotated[
        str,
        Query(
            pattern=r"^([0-9]{4,5}\.[A-Za-z0-9_-]{43})?$",
            description="A port of the browser's own machine, a dot, and a challenge of PKCE (S256).",
        ),
    ] = "",
) -> Response:
    """Send the browser to the provider. It comes back signed in, and goes on to `next`.

    With `command` it goes on to `http://127.0.0.1:PORT/` instead, with a `code`, which `POST
    /oidc/token` exchanges for an API token, or with `error` and `error_description`.
    """
    client = _clients_of(request).client(provider)
    port, _, challenge = command.partition(".")
    request.state.target = states.local_path(next_)
    begun = states.Begun(
        client.provider.name,
        clock.now_ms(),
        request.state.target,
        states.port_of(port) if port else 0,
        challenge,
    )
    secret = states.browser_secret(request.cookies.get(STATE_COOKIE, ""))
    try:
        url = await client.authorization_url(states.seal(begun, secret), secret)
    except SignInError as error:
        raise _problem(error) from None
    response = RedirectResponse(url, HTTPStatus.SEE_OTHER)
    # Lax: it has to come along when the provider sends the browser back, which is another site.
    response.set_cookie(
        STATE_COOKIE,
        secret,
        max_age=states.LIFE_MS // 1000,
        path="/",
        secure=True,
        httponly=True,
        samesite="lax",
    )
    return response


@open_router.get(
    "/oidc/{provider}/callback",
    summary="Come back from a provider",
    status_code=HTTPStatus.SEE_OTHER,
    response_class=RedirectResponse,
)
async def callback(
    request: Request,
    provider: str,
    store: OpenStoreOf,
    clock: ClockOf,
    answer: Annotated[Answer, Query()],
) -> Response:
    """Begin a session and go on to where the sign-in was begun from. Only providers link here."""
    client, address = _clients_of(request).client(provider), visitor_of(request).address
    attempt = await store.run_write(
        partial(logins.begin_elsewhere, address=address, now_ms=clock.now_ms()), urgent=True
    )
    wait_before_next(attempt)  # 1
    returned = _Return(request, client, store, clock, attempt)
    port = 0
    try:
        begun = returned.begun(answer.state)  # 2
        port, request.state.target = begun.port, begun.target
        return await returned.finish(begun, answer)
    except SignInError as refused:
        await store.run_write(
            partial(
                _record, client=client, refused=refused, address=address, now_ms=clock.now_ms()
            ),
            urgent=True,
        )
        if port:
            said = {"error": refused.reason, "error_description": str(refused)}
            return _to_command(port, said)
        raise _problem(refused) from None


@open_router.get(
    "/oidc/{provider}/end",
    summary="Sign out at a provider",
    status_code=HTTPStatus.SEE_OTHER,
    response_class=RedirectResponse,
)
async def end(request: Request, provider: str) -> Response:
    """Send a browser that has signed out here to the provider, which ends its own session."""
    found = _clients_of(request)
    client = found.client(provider)
    try:
        if not client.provider.end_session:
            raise provider_trouble(
                "configuration", f"end_session of {client.provider.name} is not set"
            )
        return RedirectResponse(await client.end_session_url(f"{found.url}/"), HTTPStatus.SEE_OTHER)
    except SignInError as error:
        raise _problem(error) from None


@dataclass(frozen=True, slots=True)
class _Return:
    """A browser that came back, and what is asked to let it in."""

    request: Request
    client: ProviderClient
    store: Database
    clock: Clock
    attempt: Attempt

    def begun(self, state: str) -> states.Begun:
        """Return what the browser began; SignInError if it was not this one, or not here."""
        begun = states.unseal(state, self._secret, self.clock.now_ms())
        if begun.provider != self.client.provider.name:
            raise SignInError(
                Whose.BROWSER,
                "foreign-state",
                "this sign-in was begun at another provider: begin again",
            )
        return begun

    async def finish(self, begun: states.Begun, answer: Answer) -> Response:
        """Let the browser in, or the command that it came from; SignInError."""
        spend = partial(_spend, state=answer.state, now_ms=self.clock.now_ms())
        await self.store.run_write(spend, urgent=True)
        await _check_answer(self.client, answer)  # 3
        claims = await self.client.claims(answer.code, answer.state, self._secret)  # 4
        account = account_of(claims, self.client.provider)
        if begun.port:
            code = await self._write(
                account, partial(codes.new_code, challenge=begun.challenge)
            )  # 5
            return _to_command(begun.port, {"code": code})
        made = await self._write(  # 5
            account,
            partial(
                sessions.begin,
                how=self.client.provider.how,
                visitor=visitor_of(self.request),
                former=self.request.cookies.get(COOKIE, ""),
            ),
        )
        response = RedirectResponse(begun.target, HTTPStatus.SEE_OTHER)
        response.delete_cookie(STATE_COOKIE, secure=True, httponly=True, samesite="lax")
        set_cookie(response, made.text)
        return response

    @property
    def _secret(self) -> str:
        return self.request.cookies.get(STATE_COOKIE, "")

    async def _write(self, account: Account, give: Callable[..., _Given]) -> _Given:
        """Bring the account's user up to date, and give them something, in one transaction."""

        def work(connection: Connection) -> _Given:
            now_ms = self.clock.now_ms()
            number = signed_in(connection, account, self.client.provider, now_ms)
            logins.succeeded_elsewhere(connection, self.attempt)
            return give(connection, user_no=number, now_ms=now_ms)

        return await self.store.run_write(work, urgent=True)


def _to_command(port: int, answer: Mapping[str, str]) -> Response:
    """Send the browser to the command that began it, on the browser's own machine (RFC 8252, 7.3)."""
    return RedirectResponse(f"http://127.0.0.1:{port}/?{urlencode(answer)}", HTTPStatus.SEE_OTHER)


def _spend(connection: Connection, state: str, now_ms: int) -> None:
    """Let a state count this once."""
    connection.execute(delete(oidc_state).where(oidc_state.c.expires_ms <= now_ms))
    values = {"state_hash": states.hash_of(state), "expires_ms": now_ms + states.LIFE_MS}
    statement = upsert(connection, oidc_state).values(values).on_conflict_do_nothing()
    # By what comes back: how many rows an insert wrote is not told by every driver.
    if connection.execute(statement.returning(oidc_state.c.state_hash)).first() is None:
        raise SignInError(
            Whose.BROWSER, "replayed-state", "this sign-in came back once already: begin again"
        )


async def _check_answer(client: ProviderClient, answer: Answer) -> None:
    if answer.error == "access_denied":
        raise SignInError(
            Whose.PERSON,
            "denied",
            "the provider says that you did not allow it, or may not sign in",
        )
    if answer.error:
        raise provider_trouble(
            "provider-error", f"the provider could not sign you in: {safe_text(answer.error[:100])}"
        )
    description = await client.description()
    # Another provider's answer, passed off as this one's (RFC 9207, section 2.4).
    by = answer.iss
    if (by or description.names_issuer) and by != client.provider.issuer:
        raise provider_trouble(
            "issuer", f"the answer is by {safe_text(by[:200]) or 'nobody'}, not by this provider"
        )
    if not answer.code:
        raise provider_trouble("answer", "the provider sent neither a code nor an error")


def _record(
    connection: Connection,
    client: ProviderClient,
    refused: SignInError,
    address: str,
    now_ms: int,
) -> None:
    audit.record(
        connection,
        at_ms=now_ms,
        actor="nobody",
        action="session.refused",
        subject=refused.user,
        detail={
            "address": safe_text(address),
            "how": client.provider.how,
            "reason": refused.reason,
            "text": safe_text(str(refused)),
        },
    )


def _problem(refused: SignInError) -> ProblemError:
    return ProblemError(_STATUS[refused.whose], "sign-in", str(refused), reason=refused.reason)
