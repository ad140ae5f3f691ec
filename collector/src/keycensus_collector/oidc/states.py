"""What goes along to the provider and comes back: `state`, and what hangs on it. Pure.

A sign-in belongs to the browser that began it. That has a cookie of 32 random bytes, which nobody else
knows, and everything is made of it by HMAC: the seal of `state` (RFC 6749, section 10.12), the nonce
that the ID token must hold, and the verifier of PKCE (RFC 7636). So a start writes nothing, and neither
the database nor the address line holds what would let somebody else finish it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from dataclasses import astuple, dataclass

from keycensus_collector.errors import UsageError
from keycensus_collector.oidc.refusals import SignInError, Whose

# Passwords, second factors and lost telephones take their time.
LIFE_MS = 15 * 60_000
MOST_TARGET = 500
_MOST_STATE = 2_000
_COOKIE = re.compile(r"[0-9a-f]{64}\Z")
_TARGET = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*\Z")


@dataclass(frozen=True, slots=True)
class Begun:
    """A sign-in that was begun: at which provider, when, and where the browser goes afterwards.

    With a `port`, that is a command on the browser's machine, which gets a code for its `challenge`.
    """

    provider: str
    at_ms: int
    target: str
    port: int = 0
    challenge: str = ""


def local_path(text: str) -> str:
    r"""Return a path of this collector; UsageError for what may lead elsewhere.

    Browsers take "//host" and "/\host" for another host, and drop tabs and line ends.
    """
    if len(text) > MOST_TARGET or not _TARGET.match(text):
        raise UsageError(
            f"next names a path of this collector, as in /certificates: at most {MOST_TARGET} "
            "characters of ASCII, one slash first, no backslash"
        )
    return text


def port_of(text: str) -> int:
    """Return a port that a command of an ordinary user can listen on; UsageError for another number."""
    if not 1_024 <= int(text) <= 65_535:
        raise UsageError("command begins with a port from 1024 to 65535")
    return int(text)


def browser_secret(cookie: str) -> str:
    """Return the secret of a browser's cookie, or a new one if that is none."""
    return cookie if _COOKIE.match(cookie) else secrets.token_hex(32)


def seal(begun: Begun, secret: str) -> str:
    """Return a new state, which only the browser with this secret can bring back."""
    content = [*astuple(begun), secrets.token_hex(16)]
    text = _base64(json.dumps(content, separators=(",", ":")).encode())
    return f"{text}.{_of(secret, 'state', text)}"


def unseal(state: str, secret: str, now_ms: int) -> Begun:
    """Return what a state says; SignInError if this browser did not begin it, or too long ago."""
    text, _, mac = state.partition(".")
    if (
        len(state) > _MOST_STATE
        or not _COOKIE.match(secret)
        or not hmac.compare_digest(mac.encode(), _of(secret, "state", text).encode())
    ):
        raise SignInError(
            Whose.BROWSER,
            "foreign-state",
            "this browser did not begin this sign-in, or has lost its cookie: begin again",
        )
    *fields, _ = json.loads(_unbase64(text))
    begun = Begun(*fields)
    if not begun.at_ms <= now_ms < begun.at_ms + LIFE_MS:
        raise SignInError(
            Whose.BROWSER, "late", "the sign-in took longer than 15 minutes: begin again"
        )
    local_path(begun.target)
    return begun


def nonce_of(state: str, secret: str) -> str:
    """Return what the ID token must hold (OpenID Connect Core 1.0, section 15.5.2)."""
    return _of(secret, "nonce", state)


def verifier_of(state: str, secret: str) -> str:
    """Return the code verifier: 43 characters, as RFC 7636, section 4.1, has it."""
    return _of(secret, "verifier", state)


def challenge_of(verifier: str) -> str:
    """Return the code challenge by S256 (RFC 7636, section 4.2)."""
    return _base64(hashlib.sha256(verifier.encode()).digest())


def hash_of(state: str) -> bytes:
    """Return what the database holds of a state that came back."""
    return hashlib.sha256(state.encode()).digest()


def _of(secret: str, what: str, text: str) -> str:
    sealed = f"keycensus oidc {what} 1 {text}".encode("utf-8", "surrogatepass")
    return _base64(hmac.new(secret.encode(), sealed, hashlib.sha256).digest())


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
