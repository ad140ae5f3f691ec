"""One provider as it is asked: what it says of itself, its keys, and a token for a code.

Its description and keys are kept for an hour. A key that is not among them makes it read the keys anew,
so a rotation is noticed at once, and at most every half minute, so that nobody makes us ask for ever.
"""

from __future__ import annotations

import asyncio
import base64
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from joserfc.jwk import Key

from keycensus_collector.clock import Clock
from keycensus_collector.oidc import states
from keycensus_collector.oidc.id_token import Expected, UnknownKeyError, usable_keys, verify
from keycensus_collector.oidc.refusals import provider_trouble
from keycensus_collector.oidc.settings import Provider
from keycensus_collector.oidc.transport import Transport, check_https
from keycensus_collector.text import safe_text

_KEEP_MS = 3_600_000
_ANEW_MS = 30_000
_MOST_SECRET = 4_096
_OTHERS = 0o007


@dataclass(frozen=True, slots=True)
class Description:
    """What a provider says of itself (OpenID Connect Discovery 1.0, section 3), as far as it is used."""

    authorization: str
    token: str
    keys: str
    userinfo: str
    end_session: str
    names_issuer: bool  # in the answer to the browser (RFC 9207)
    basic: bool  # takes the client secret as HTTP Basic
    read_ms: int


@dataclass(frozen=True, slots=True)
class _Keys:
    keys: list[Key]
    read_ms: int


class ProviderClient:
    """Asks one provider. `redirect`: where it sends browsers back to."""

    def __init__(
        self, provider: Provider, clock: Clock, redirect: str, transport: Transport | None = None
    ) -> None:
        self.provider = provider
        self.redirect = redirect
        self._clock = clock
        self._transport = transport or Transport(provider.ca_file)
        self._description: Description | None = None
        self._keys: _Keys | None = None
        self._reading = asyncio.Lock()

    async def authorization_url(self, state: str, secret: str) -> str:
        """Return where a browser is sent to, to sign in (Core, section 3.1.2.1)."""
        description = await self.description()
        asked = {
            "response_type": "code",
            "client_id": self.provider.client_id,
            "redirect_uri": self.redirect,
            "scope": " ".join(self.provider.scopes),
            "state": state,
            "nonce": states.nonce_of(state, secret),
            "code_challenge": states.challenge_of(states.verifier_of(state, secret)),
            "code_challenge_method": "S256",
        }
        return _with_query(description.authorization, asked)

    async def end_session_url(self, back: str) -> str:
        """Return where a browser is sent to, to sign out there too (RP-Initiated Logout 1.0)."""
        description = await self.description()
        if not description.end_session:
            raise provider_trouble("configuration", "the provider has no address to end a session")
        asked = {"client_id": self.provider.client_id, "post_logout_redirect_uri": back}
        return _with_query(description.end_session, asked)

    async def claims(self, code: str, state: str, secret: str) -> Mapping[str, Any]:
        """Exchange a code for an ID token, and return its claims once all of it was verified.

        With `userinfo`, claims that the token lacks are asked for, too. SignInError.
        """
        answer = await self._exchange(code, states.verifier_of(state, secret))
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise provider_trouble(
                "answer", 'the provider gave no ID token: are the scopes without "openid"?'
            )
        claims = await self._verified(token, states.nonce_of(state, secret))
        if not self.provider.userinfo:
            return claims
        more = await self._userinfo(answer.get("access_token"))
        if more.get("sub") != claims["sub"]:
            # Core, section 5.3.4: else a token could be swapped for somebody else's.
            raise provider_trouble("claim", "userinfo is of somebody else: its sub is another one")
        return {**more, **claims}

    async def description(self) -> Description:
        """Return what the provider says of itself, read within the last hour; SignInError."""
        async with self._reading:
            known, now_ms = self._description, self._clock.now_ms()
            if known is None or not known.read_ms <= now_ms < known.read_ms + _KEEP_MS:
                known = self._description = await self._discover(now_ms)
            return known

    async def _discover(self, now_ms: int) -> Description:
        issuer = self.provider.issuer
        where = f"{issuer.removesuffix('/')}/.well-known/openid-configuration"
        said = await self._transport.get(where)
        if not isinstance(said, dict) or said.get("issuer") != issuer:
            other = said.get("issuer") if isinstance(said, dict) else None
            raise provider_trouble(
                "issuer",
                f"{safe_text(where)} describes {safe_text(str(other)[:200])}: issuer in the "
                "configuration must be the same, letter by letter",
            )
        methods = said.get("token_endpoint_auth_methods_supported")
        return Description(
            authorization=_address(said, "authorization_endpoint"),
            token=_address(said, "token_endpoint"),
            keys=_address(said, "jwks_uri"),
            userinfo=_address(said, "userinfo_endpoint", needed=self.provider.userinfo),
            end_session=_address(said, "end_session_endpoint", needed=False),
            names_issuer=said.get("authorization_response_iss_parameter_supported") is True,
            basic=not isinstance(methods, list) or "client_secret_basic" in methods,
            read_ms=now_ms,
        )

    async def _verified(self, token: str, nonce: str) -> Mapping[str, Any]:
        provider = self.provider
        for anew in (False, True):
            keys = await self._current_keys(anew=anew)
            now_ms = self._clock.now_ms()
            expected = Expected(
                provider.issuer, provider.client_id, nonce, provider.algorithms, now_ms
            )
            try:
                return verify(token, keys, expected)
            except UnknownKeyError:
                continue
        raise provider_trouble(
            "unknown-key", "the ID token is signed by a key that the provider does not publish"
        )

    async def _current_keys(self, *, anew: bool) -> list[Key]:
        description = await self.description()
        async with self._reading:
            known, now_ms = self._keys, self._clock.now_ms()
            keep_ms = _ANEW_MS if anew else _KEEP_MS
            if known is None or not known.read_ms <= now_ms < known.read_ms + keep_ms:
                content = await self._transport.get(description.keys)
                known = self._keys = _Keys(usable_keys(content), now_ms)
            return known.keys

    async def _exchange(self, code: str, verifier: str) -> Mapping[str, Any]:
        """Exchange a code (RFC 6749, section 4.1.3; RFC 7636, section 4.5)."""
        description = await self.description()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect,
            "code_verifier": verifier,
        }
        headers = {}
        secret = await asyncio.to_thread(_secret, self.provider.client_secret_file)
        if secret and description.basic:
            both = f"{quote_plus(self.provider.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(both.encode()).decode()}"
        else:
            form["client_id"] = self.provider.client_id
            if secret:
                form["client_secret"] = secret
        status, answer = await self._transport.post(description.token, form, headers)
        if status != 200 or not isinstance(answer, dict):
            error = answer.get("error") if isinstance(answer, dict) else None
            raise provider_trouble(
                "code",
                f"the provider exchanged no token for the code ({status}, "
                f"{safe_text(str(error)[:100])}): begin again; if it stays so, look at client_id and "
                "client_secret_file",
            )
        return answer

    async def _userinfo(self, access_token: object) -> Mapping[str, Any]:
        if not isinstance(access_token, str) or not (
            access_token.isascii() and access_token.isprintable()
        ):
            raise provider_trouble("answer", "the provider gave no access token for userinfo")
        description = await self.description()
        said = await self._transport.get(
            description.userinfo, {"Authorization": f"Bearer {access_token}"}
        )
        return said if isinstance(said, dict) else {}


def _with_query(url: str, asked: Mapping[str, str]) -> str:
    joint = "&" if urlsplit(url).query else "?"
    return f"{url}{joint}{urlencode(asked)}"


def _address(said: Mapping[str, Any], name: str, *, needed: bool = True) -> str:
    url = said.get(name)
    if not needed and url is None:
        return ""
    if not isinstance(url, str):
        raise provider_trouble("answer", f"the provider's description has no {name}")
    check_https(url)
    return url


def _secret(file: Path | None) -> str:
    """Return the client secret, read at each use so that a new one needs no restart; empty: none."""
    if file is None:
        return ""
    try:
        with file.open("rb") as opened:
            if stat.S_IMODE(os.fstat(opened.fileno()).st_mode) & _OTHERS:
                raise provider_trouble(
                    "configuration", f"everybody can read {file}: run chmod o= {file}"
                )
            secret = opened.read(_MOST_SECRET).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise provider_trouble(
            "configuration", f"client_secret_file {file} can't be read: {error}"
        ) from None
    if not secret:
        raise provider_trouble("configuration", f"client_secret_file {file} is empty")
    return secret
