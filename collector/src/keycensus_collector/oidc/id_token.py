"""Whether an ID token is the provider's, for us, now, and for this sign-in. Pure.

The checks of OpenID Connect Core 1.0, section 3.1.3.7, in an order in which nothing is believed before
the signature was verified:
 1. the header: a signature by an algorithm of the configuration, never "none", never by a shared secret;
 2. the key: the one that the header names, of the provider's own set, of the kind of the algorithm;
 3. the signature (joserfc);
 4. whose and for whom: `iss`, `aud`, `azp`;
 5. when: `exp`, `iat`, `nbf`;
 6. for which sign-in: `nonce`;
 7. who: `sub`.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from keycensus_collector.oidc.claims import MOST_SUBJECT
from keycensus_collector.oidc.refusals import provider_trouble
from keycensus_collector.text import safe_text

# Clocks of a company agree to the second, or are told to.
SKEW_SECONDS = 60
# The code is exchanged at once, so a token that was issued long before is another one.
_MOST_AGE_SECONDS = 600
_MOST_KEYS = 100
_LEAST_RSA_CHARACTERS = 342  # of a modulus: 2,048 bits as base64
_Claims = dict[str, Any]


class UnknownKeyError(Exception):
    """The provider's keys, as they were last read, lack the one that signed: read them anew."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token must say. `algorithms`: those of the configuration."""

    issuer: str
    client_id: str
    nonce: str
    algorithms: tuple[str, ...]
    now_ms: int


def usable_keys(content: object) -> list[Key]:
    """Return the keys of a JWK Set (RFC 7517) that can verify; others are left out, as it asks."""
    listed = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise provider_trouble("answer", "the provider's keys are no JWK Set")
    keys: list[Key] = []
    kinds: dict[str, type[RSAKey | ECKey | OKPKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
    for each in listed[:_MOST_KEYS]:
        kind = kinds.get(str(each.get("kty"))) if isinstance(each, dict) else None
        if kind is None or each.get("use", "sig") != "sig":
            continue
        if kind is RSAKey and len(str(each.get("n"))) < _LEAST_RSA_CHARACTERS:
            continue
        try:
            key = kind.import_key(each)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        keys.append(key)
    return keys


def verify(token: str, keys: Sequence[Key], expected: Expected) -> _Claims:
    """Return the claims of a token that holds in all respects; SignInError, or UnknownKeyError."""
    claims = _signed(token, keys, expected)
    _check_parties(claims, expected)
    _check_times(claims, expected.now_ms // 1000)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode("utf-8", "surrogatepass"), expected.nonce.encode()
    ):
        raise provider_trouble("nonce", "the ID token is of another sign-in: its nonce is not ours")
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= MOST_SUBJECT:
        raise provider_trouble("claim", "the ID token does not say who it is of: there is no sub")
    return claims


def _signed(token: str, keys: Sequence[Key], expected: Expected) -> _Claims:
    try:
        header = jws.extract_compact(token.encode()).headers()  # 1
    except (JoseError, ValueError, TypeError):
        raise provider_trouble("answer", "the ID token is no JWS") from None
    algorithm = header.get("alg")
    if algorithm not in expected.algorithms:
        raise provider_trouble(
            "algorithm",
            f"the ID token is signed by {safe_text(str(algorithm)[:50])}, which algorithms in the "
            f"configuration does not list: {', '.join(expected.algorithms)}",
        )
    key = _key(keys, header)  # 2
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    try:
        return jwt.decode(token, key, registry=registry, algorithms=[algorithm]).claims  # 3
    except (JoseError, ValueError, TypeError):
        raise provider_trouble(
            "signature", "the signature of the ID token is not by the provider's key"
        ) from None


def _key(keys: Sequence[Key], header: Mapping[str, Any]) -> Key:
    named = [key for key in keys if "kid" not in header or key.kid == header["kid"]]
    if len(named) != 1:
        # Without a name there is no telling, unless there is only one (Core, section 10.1).
        raise UnknownKeyError
    return named[0]


def _check_parties(claims: _Claims, expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        raise provider_trouble(
            "issuer",
            f"the ID token is by {_shown(claims.get('iss'))}, not by {safe_text(expected.issuer)}",
        )
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    authorized = claims.get("azp")
    if expected.client_id not in audiences:
        raise provider_trouble("audience", f"the ID token is for {_shown(audience)}, not for us")
    if authorized != expected.client_id and (len(audiences) > 1 or authorized is not None):
        raise provider_trouble(
            "audience", f"the ID token was given to {_shown(authorized)}, not to us (azp)"
        )


def _check_times(claims: _Claims, now: int) -> None:
    """Check times in seconds since the epoch."""
    expires, issued, begins = (_seconds(claims.get(name)) for name in ("exp", "iat", "nbf"))
    if expires is None or issued is None:
        raise provider_trouble("claim", "the ID token does not say from when to when it counts")
    told = f"the clock here says {_time(now)}, the provider's said {_time(issued)}"
    if max(issued, begins or 0) > now + SKEW_SECONDS:
        raise provider_trouble("clock", f"the ID token is of the future: {told}; set clocks right")
    if expires <= now - SKEW_SECONDS:
        raise provider_trouble("expired", f"the ID token ended at {_time(expires)}: {told}")
    if issued < now - _MOST_AGE_SECONDS - SKEW_SECONDS:
        raise provider_trouble("expired", f"the ID token was issued long ago: {told}")


def _seconds(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1 << 40:
        return None
    return int(value)


def _time(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError):
        return f"{seconds} s"


def _shown(value: object) -> str:
    return safe_text(str(value)[:200])
