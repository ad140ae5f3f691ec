"""Each check of an ID token, by a token that fails at it alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, KeySet, OctKey, OKPKey, RSAKey

from keycensus_collector.oidc.id_token import Expected, UnknownKeyError, usable_keys, verify
from keycensus_collector.oidc.refusals import SignInError, Whose
from keycensus_collector.oidc.settings import ALGORITHMS, Provider

NOW = 1_795_000_000
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
KEYS = usable_keys(KeySet([RSA, EC]).as_dict(private=False))
EXPECTED = Expected(
    "https://sso.example.com", "keycensus", "the-nonce", Provider("x").algorithms, NOW * 1000
)
CLAIMS: dict[str, Any] = {
    "iss": "https://sso.example.com",
    "aud": "keycensus",
    "sub": "u1",
    "iat": NOW,
    "exp": NOW + 300,
    "nonce": "the-nonce",
}


def token(
    key: Key = RSA, algorithm: str = "RS256", kid: str | None = "rsa", **claims: object
) -> str:
    header = {"alg": algorithm} | ({"kid": kid} if kid else {})
    content = {name: value for name, value in (CLAIMS | claims).items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[algorithm])
    return jwt.encode(header, content, key, [algorithm], registry)


def sealed_by(secret: bytes, payload: str) -> str:
    """Return a token whose signature is an HMAC with a secret, which joserfc refuses to make of a key."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"rsa"}').decode().rstrip("=")
    mac = hmac.new(secret, f"{header}.{payload}".encode(), hashlib.sha256).digest()
    return f"{header}.{payload}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def reason(text: str, keys: list[Key] = KEYS) -> str:
    with pytest.raises(SignInError) as caught:
        verify(text, keys, EXPECTED)
    assert caught.value.whose is Whose.PROVIDER
    return caught.value.reason


def test_a_good_token_is_believed() -> None:
    assert verify(token(), KEYS, EXPECTED) == CLAIMS
    assert verify(token(EC, "ES256", "ec"), KEYS, EXPECTED)["sub"] == "u1"
    several = token(aud=["keycensus", "other"], azp="keycensus")
    assert verify(several, KEYS, EXPECTED)["sub"] == "u1"
    assert verify(token(kid=None), KEYS[:1], EXPECTED)["sub"] == "u1"
    edwards = OKPKey.generate_key("Ed25519", {"kid": "ed"})
    keys = usable_keys(KeySet([edwards]).as_dict(private=False))
    assert verify(token(edwards, "Ed25519", "ed"), keys, EXPECTED)["sub"] == "u1"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"iss": "https://evil.example"}, "issuer"),
        ({"iss": "https://sso.example.com/"}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"aud": "another"}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": ["another"]}, "audience"),
        ({"aud": {"keycensus": 1}}, "audience"),
        ({"aud": ["keycensus", "another"]}, "audience"),
        ({"aud": ["keycensus", "another"], "azp": "another"}, "audience"),
        ({"azp": "another"}, "audience"),
        ({"exp": NOW - 60}, "expired"),
        ({"exp": None}, "claim"),
        ({"exp": "soon"}, "claim"),
        ({"exp": True}, "claim"),
        ({"exp": 1e300}, "claim"),
        ({"iat": None}, "claim"),
        ({"iat": NOW + 61}, "clock"),
        ({"iat": NOW - 661}, "expired"),
        ({"nbf": NOW + 61}, "clock"),
        ({"nonce": None}, "nonce"),
        ({"nonce": "another"}, "nonce"),
        ({"nonce": ["the-nonce"]}, "nonce"),
        ({"sub": None}, "claim"),
        ({"sub": ""}, "claim"),
        ({"sub": 7}, "claim"),
        ({"sub": "x" * 256}, "claim"),
    ],
)
def test_a_claim_that_does_not_hold_is_refused(claims: dict[str, Any], expected: str) -> None:
    assert reason(token(**claims)) == expected


def test_clocks_may_differ_by_a_minute_and_what_they_said_is_told() -> None:
    near = [("exp", NOW - 59), ("iat", NOW + 60), ("nbf", NOW + 60), ("iat", NOW - 660)]
    for name, moment in near:
        claims: dict[str, Any] = {name: moment}
        assert verify(token(**claims), KEYS, EXPECTED)["sub"] == "u1"
    with pytest.raises(SignInError, match=r"here says 2026-11-18 .* provider's said 2026-11-18"):
        verify(token(iat=NOW + 100), KEYS, EXPECTED)


def test_a_signature_by_another_key_is_refused() -> None:
    stranger = RSAKey.generate_key(2048, {"kid": "rsa"})
    assert reason(token(stranger)) == "signature"
    head, _, tail = token().partition(".")
    claims, _, signature = tail.partition(".")
    forged = base64.urlsafe_b64encode(json.dumps(CLAIMS | {"sub": "root"}).encode()).decode()
    assert reason(f"{head}.{forged.rstrip('=')}.{signature}") == "signature"
    assert reason(f"{head}.{claims}.") == "signature"
    assert reason(f"{head}.{claims}.{signature[:-8]}AAAAAAAA") == "signature"


def test_a_key_of_the_wrong_kind_for_the_algorithm_is_refused() -> None:
    edwards = OKPKey.generate_key("Ed25519")
    signers: list[tuple[Key, str, str]] = [
        (EC, "ES256", "rsa"),
        (RSA, "RS256", "ec"),
        (edwards, "Ed25519", "rsa"),
    ]
    for key, algorithm, kid in signers:
        assert reason(token(key, algorithm, kid)) == "signature"


def test_no_signature_and_signatures_by_a_shared_secret_are_refused() -> None:
    public = RSA.as_pem(private=False)
    parts = token().split(".")
    for secret in (public, public.strip(), b"s3cret-s3cret-s3cret-s3cret-s3cret"):
        assert reason(sealed_by(secret, parts[1])) == "algorithm"
    for name in ("none", "None", "NONE", "", None, ["RS256"], 5):
        header = base64.urlsafe_b64encode(json.dumps({"alg": name, "kid": "rsa"}).encode())
        for signature in ("", parts[2]):
            assert reason(f"{header.decode().rstrip('=')}.{parts[1]}.{signature}") == "algorithm"
    assert not {"none", "HS256", "HS384", "HS512"} & set(ALGORITHMS)


def test_an_algorithm_that_is_not_configured_is_refused() -> None:
    assert reason(token(algorithm="RS512")) == "algorithm"


def test_a_key_that_is_not_known_asks_for_the_keys_anew() -> None:
    for text, keys in (
        (token(kid="new"), KEYS),
        (token(kid=None), KEYS),  # which of the two?
        (token(), []),
        (token(), KEYS[:1] * 2),
    ):
        with pytest.raises(UnknownKeyError):
            verify(text, keys, EXPECTED)


def test_what_is_no_token_is_refused() -> None:
    for text in ("", "x", "a.b", "a.b.c", "é.é.é", "." * 5, token() + ".x", "e30.e30.e30"):
        assert reason(text) in {"answer", "algorithm"}
    payload = base64.urlsafe_b64encode(b"[]").decode()
    assert (
        reason(jws.serialize_compact({"alg": "RS256", "kid": "rsa"}, payload, RSA)) == "signature"
    )


def test_a_header_that_makes_demands_is_refused() -> None:
    """`jwk`, `jku` and `x5c` of a token name no key that counts, and unknown `crit` is not passed over."""
    stranger = RSAKey.generate_key(2048)
    header = {"alg": "RS256", "kid": "rsa", "jwk": stranger.as_dict(private=False)}
    assert reason(jwt.encode(header, dict(CLAIMS), stranger)) in {"answer", "signature"}
    critical = base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"rsa","crit":["x"],"x":1}').decode()
    rest = token().partition(".")[2]
    assert reason(f"{critical.rstrip('=')}.{rest}") == "signature"


def test_only_keys_that_can_verify_are_kept() -> None:
    short = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505 - it is to be refused
    modulus = short.public_numbers().n.to_bytes(128, "big")
    small = {"kty": "RSA", "n": base64.urlsafe_b64encode(modulus).decode().rstrip("="), "e": "AQAB"}
    listed = [
        RSA.as_dict(private=False),
        EC.as_dict(private=False) | {"use": "enc", "kid": "enc"},
        small,
        OctKey.generate_key(256, {"kid": "shared"}).as_dict(),
        {"kty": "RSA", "n": "!", "e": "AQAB"},
        {"kty": "EC", "crv": "P-999", "x": "AA", "y": "AA"},
        {"kty": "MLDSA"},
        {"kty": ["RSA"]},
        "RSA",
        None,
    ]
    assert [key.kid for key in usable_keys({"keys": listed})] == ["rsa"]
    contents: list[object] = [None, [], {}, {"keys": {}}, "keys"]
    for content in contents:
        with pytest.raises(SignInError, match="no JWK Set"):
            usable_keys(content)
