from __future__ import annotations

import pytest
from fakes.text_formats import kinds, read
from fixtures.build_fixtures import FILES

PLAIN = (FILES / "putty-v2.ppk").read_bytes()
SEALED = (FILES / "putty-v3.ppk").read_bytes()


def test_the_public_half_is_read_without_a_passphrase() -> None:
    (plain,) = read("ppk", PLAIN).found
    (sealed,) = read("ppk", SEALED).found
    assert (plain.entry.algorithm, plain.entry.encrypted) == ("ed25519", False)
    assert (sealed.entry.algorithm, sealed.entry.encrypted) == ("rsa", True)
    assert (plain.entry.member, sealed.entry.member) == (b"ops@example.com", b"PuTTY key")


def test_several_and_those_without_a_comment_are_read() -> None:
    bare = PLAIN.replace(b"Comment: ops@example.com\n", b"").replace(b"File-2", b"File-1")
    result = read("ppk", (bare + SEALED).replace(b"\n", b"\r\n"))
    assert [item.entry.member for item in result.found] == [b"", b"PuTTY key"]


@pytest.mark.parametrize(
    "broken",
    [
        PLAIN.replace(b"Private-Lines", b"Lines"),
        PLAIN.replace(b"Public-Lines: 2", b"Public-Lines: 1"),
        PLAIN.replace(b"\nAAAA", b"\nAAAAA", 1),
        PLAIN.replace(b"\nAAAA", b"\n////", 1),
        PLAIN[: PLAIN.index(b"Private-Lines")],
    ],
)
def test_a_damaged_key_costs_itself(broken: bytes) -> None:
    assert read("ppk", broken).reason == "malformed-private-key"
    assert kinds(read("ppk", broken + b"\n" + SEALED)) == ["private-key"]


def test_a_mention_is_none() -> None:
    result = read("ppk", b"PuTTY-User-Key-File-2: ssh-rsa")
    assert (result.found, result.reason) == ((), "")
