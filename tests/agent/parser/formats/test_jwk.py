from __future__ import annotations

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, mldsa, x25519
from fakes.text_formats import kinds, read
from fixtures.build_fixtures import FILES

from keycensus_agent.parser.formats import jwk

SET = json.loads((FILES / "jwks.json").read_bytes())
EC, RSA, PUBLIC = SET["keys"]


def _url(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _text(key: dict[str, object], **changes: object) -> bytes:
    merged = {**key, **changes}
    return json.dumps({name: item for name, item in merged.items() if item is not None}).encode()


def _only(key: dict[str, object], **changes: object) -> tuple[str, str]:
    (found,) = read("jwk", _text(key, **changes)).found
    return found.entry.kind, found.entry.algorithm


def test_a_set_gives_each_key_named_by_its_kid() -> None:
    result = read("jwk", (FILES / "jwks.json").read_bytes())
    assert kinds(result) == ["private-key", "private-key", "public-key"]
    assert [item.entry.member for item in result.found] == [b"first", b"", b""]


def test_private_and_public_forms_of_a_key_have_one_identity() -> None:
    (private,) = read("jwk", _text(RSA)).found
    (without_primes,) = read("jwk", _text(RSA, p=None, q=None)).found
    (public,) = read("jwk", _text(RSA, d=None, p=None, q=None)).found
    assert private.public == without_primes.public == public.public
    assert _only(EC, d=None) == ("public-key", "ec")


def test_keys_of_edwards_and_montgomery_curves_are_read() -> None:
    edwards = ed25519.Ed25519PrivateKey.generate()
    montgomery = x25519.X25519PrivateKey.generate()
    for curve, secret, public in (
        ("Ed25519", edwards.private_bytes_raw(), edwards.public_key().public_bytes_raw()),
        ("X25519", montgomery.private_bytes_raw(), montgomery.public_key().public_bytes_raw()),
    ):
        key: dict[str, object] = {"kty": "OKP", "crv": curve, "x": _url(public), "d": _url(secret)}
        assert _only(key) == ("private-key", curve.lower())
        assert _only(key, d=None) == ("public-key", curve.lower())
        assert read("jwk", _text(key, d=_url(bytes(32)))).reason == "malformed-jwk"
        assert read("jwk", _text(key, d=_url(bytes(31)))).reason == "malformed-jwk"


def test_ml_dsa_keys_are_read() -> None:
    secret = mldsa.MLDSA44PrivateKey.generate()
    seed, public = secret.private_bytes_raw(), secret.public_key().public_bytes_raw()
    key: dict[str, object] = {
        "kty": "AKP",
        "alg": "ML-DSA-44",
        "pub": _url(public),
        "priv": _url(seed),
    }
    assert _only(key) == ("private-key", "ml-dsa-44")
    assert _only(key, priv=None) == ("public-key", "ml-dsa-44")
    assert not read("jwk", _text(key, priv=_url(bytes(32)))).found
    assert not read("jwk", _text(key, alg="other")).found


@pytest.mark.parametrize(
    "changes",
    [
        {"crv": "P-384"},
        {"x": "AAAA"},
        {"d": "AAAA"},
        {"d": "AAAB"},
        {"d": "not base64url!"},
        {"d": "AAAAA"},
        {"y": None},
        {"crv": "unknown"},
    ],
)
def test_a_private_key_whose_parts_contradict_each_other_is_damage(
    changes: dict[str, object],
) -> None:
    result = read("jwk", _text(EC, **changes) + _text(RSA))
    assert (kinds(result), result.reason) == (["private-key"], "malformed-jwk")


@pytest.mark.parametrize(
    "text",
    [
        b'{"kty": "oct", "k": "AAAA"}',
        b'{"kty": "RSA", "n": "...", "e": "AQAB"}',
        b'{"kty": "RSA", "n": "AQAB", "e": "AQAB"}',
        b'{"kty": 1}',
        b'"kty": "RSA"',
        b'{"kty": "oct", "k": "AAAA"}, "kty": "RSA"',
        b'{"kty": ',
        b'{"properties": {"kty": {"type": "string"}}}',
        b"{" * 5000 + b'"kty": "RSA"',
        b'{"a":' * 3000 + b'{"kty": "RSA"' + b"}" * 3001,
    ],
)
def test_mentions_examples_and_symmetric_keys_are_none(text: bytes) -> None:
    result = read("jwk", text)
    assert (result.found, result.reason) == ((), "")


def test_keys_inside_strings_other_objects_and_text_are_found() -> None:
    text = _text(EC)
    assert kinds(read("jwk", b"JWK='" + text + b"' # \xff")) == ["private-key"]
    assert kinds(read("jwk", json.dumps({"value": text.decode()}).encode())) == ["private-key"]
    behind = _text({"other": {"a": 1}, **EC})
    assert kinds(read("jwk", behind)) == ["private-key"]


def test_more_keys_than_may_be_checked_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    costly = _text(RSA, p=None, q=None)
    monkeypatch.setattr(jwk, "_COSTLY_LIMIT", 2)
    result = read("jwk", costly * 3)
    assert (len(result.found), result.reason) == (2, "limit-values")
    monkeypatch.setattr(jwk, "_KEYS_LIMIT", 2)
    result = read("jwk", _text(EC) * 3)
    assert (len(result.found), result.reason) == (2, "limit-values")
