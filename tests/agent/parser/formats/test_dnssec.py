from __future__ import annotations

import pytest
from fakes.text_formats import kinds, read
from fixtures.build_fixtures import FILES

from keycensus_agent.parser.formats import dnssec

ECDSA = (FILES / "ecdsa.private").read_bytes()
RSA = (FILES / "rsa.private").read_bytes()


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [("ecdsa.private", "ec"), ("rsa.private", "rsa"), ("ed25519.private", "ed25519")],
)
def test_each_algorithm_shows_its_public_half(name: str, algorithm: str) -> None:
    data = (FILES / name).read_bytes()
    (found,) = read("dnssec", data.replace(b"\n", b"\r\n")).found
    assert (found.entry.kind, found.entry.algorithm) == ("private-key", algorithm)


def test_an_old_algorithm_is_named_and_one_nobody_knows_is_numbered() -> None:
    head = b"Private-key-format: v1.3\nAlgorithm: %d (X)\nPrivateKey: AAAA\n"
    found = [item for number in (3, 99) for item in read("dnssec", head % number).found]
    assert [item.entry.algorithm for item in found] == ["dsa", "dnssec-99"]
    assert {item.entry.kind for item in found} == {"opaque-key"}


def test_a_key_in_a_security_module_is_external_and_its_label_is_not_told() -> None:
    text = (
        b"Private-key-format: v1.3\nAlgorithm: 8 (RSASHA256)\nEngine: cGtjczEx\nLabel: cGluPTE=\n"
    )
    (found,) = read("dnssec", text).found
    assert (found.entry.kind, found.entry.reason) == ("external-key", "security-module")
    assert found.entry.location == ""


def test_symmetric_keys_are_none() -> None:
    text = b"Private-key-format: v1.3\nAlgorithm: 163 (HMAC_SHA256)\nKey: AAAA\n"
    assert not read("dnssec", text).found


def test_a_damaged_key_costs_itself() -> None:
    broken = RSA.replace(b"Modulus: ", b"Modulus: ////", 1)
    result = read("dnssec", broken + b"\n" + ECDSA)
    assert (kinds(result), result.reason) == (["private-key"], "malformed-private-key")
    assert read("dnssec", ECDSA.replace(b"=", b"")).reason == "malformed-private-key"


def test_more_than_any_file_has_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dnssec, "_KEYS_LIMIT", 1)
    result = read("dnssec", ECDSA * 2)
    assert (len(result.found), result.reason) == (1, "limit-values")
