from __future__ import annotations

import pytest
from fakes.text_formats import kinds, read
from fixtures.build_fixtures import FILES

from keycensus_agent.parser.formats import age

FILE = (FILES / "age.txt").read_bytes()
(IDENTITY,) = [line for line in FILE.splitlines() if line.startswith(b"AGE-")]


def _bech32(prefix: str, values: list[int]) -> bytes:
    """Return an identity with its checksum, as BIP 173 makes it."""
    checksum = age._remainder(prefix, [*values, 0, 0, 0, 0, 0, 0]) ^ 1
    values = [*values, *(checksum >> 5 * (5 - index) & 31 for index in range(6))]
    return (prefix + "1" + "".join(age._CHARACTERS[value] for value in values)).upper().encode()


def test_an_identity_shows_its_public_half() -> None:
    (found,) = read("age", FILE).found
    assert (found.entry.kind, found.entry.algorithm) == ("private-key", "x25519")
    assert kinds(read("age", b"key: '" + IDENTITY + b"'")) == ["private-key"]


@pytest.mark.parametrize(
    "text",
    [
        b"AGE-SECRET-KEY-1",
        IDENTITY[:-1],
        IDENTITY[:-1] + (b"Q" if IDENTITY[-1:] != b"Q" else b"P"),
        IDENTITY.lower(),
        b"X" + IDENTITY,
        b"AGE-SECRET-KEY-1" + b"Q" * 58,
    ],
)
def test_a_mention_or_a_damaged_identity_is_none(text: bytes) -> None:
    assert not read("age", text).found


def test_an_identity_of_the_wrong_length_is_contained() -> None:
    result = read("age", _bech32("age-secret-key-", [1, 2, 3]) + b"\n" + IDENTITY)
    assert kinds(result) == ["private-key"]
    assert result.reason == "malformed-private-key"


def test_a_plugin_s_identity_lives_elsewhere_and_a_post_quantum_one_is_named() -> None:
    (plugin,) = read("age", _bech32("age-plugin-yubikey-", [1] * 20)).found
    assert (plugin.entry.kind, plugin.entry.location) == ("external-key", "age-plugin:yubikey")
    (quantum,) = read("age", _bech32("age-secret-key-pq-", [1] * 52)).found
    assert (quantum.entry.kind, quantum.entry.algorithm) == ("opaque-key", "ml-kem-768+x25519")


def test_more_than_any_file_has_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age, "_IDENTITIES_LIMIT", 1)
    result = read("age", IDENTITY + b"\n" + IDENTITY)
    assert (len(result.found), result.reason) == (1, "limit-values")
