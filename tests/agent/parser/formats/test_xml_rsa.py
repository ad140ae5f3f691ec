from __future__ import annotations

import re

from fakes.text_formats import kinds, read
from fixtures.build_fixtures import FILES

FILE = (FILES / "rsa-key.xml").read_bytes()


def _without(*names: bytes) -> bytes:
    text = FILE
    for name in names:
        text = re.sub(rb"<%b>[^<]*</%b>" % (name, name), b"", text)
    return text


def test_a_key_with_its_private_exponent_is_found() -> None:
    (found,) = read("xml-rsa", FILE).found
    assert (found.entry.kind, found.entry.bits) == ("private-key", 2048)


def test_without_primes_the_exponents_must_agree() -> None:
    (with_primes,) = read("xml-rsa", FILE).found
    (without,) = read("xml-rsa", _without(b"P", b"Q", b"DP", b"DQ", b"InverseQ")).found
    assert with_primes == without
    wrong = _without(b"P", b"Q").replace(b"<D>", b"<D>AAAA")
    assert read("xml-rsa", wrong.replace(b"<D>AAAA", b"<D>BBBB")).reason == "malformed-private-key"


def test_it_is_read_escaped_and_with_a_prefix() -> None:
    assert kinds(read("xml-rsa", FILE.replace(b"<", b"&lt;").replace(b">", b"&gt;"))) == [
        "private-key"
    ]
    prefixed = re.sub(rb"<(/?)(?=[A-Z])", rb"<\1ds:", FILE)
    assert kinds(read("xml-rsa", prefixed)) == ["private-key"]


def test_a_public_key_a_mention_and_a_cut_key_are_none() -> None:
    for text in (_without(b"D"), b"<RSAKeyValue>", FILE[:800], _without(b"Modulus")):
        result = read("xml-rsa", text)
        assert (result.found, result.reason) == ((), "")


def test_damage_is_told() -> None:
    broken = FILE.replace(b"<Modulus>", b"<Modulus>A", 1)
    assert read("xml-rsa", broken).reason == "malformed-private-key"


def test_more_keys_than_may_be_checked_are_told() -> None:
    result = read("xml-rsa", FILE * 18)
    assert (len(result.found), result.reason) == (16, "limit-values")
