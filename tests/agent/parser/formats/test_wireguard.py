from __future__ import annotations

import pytest
from fakes.text_formats import kinds, read
from fixtures.build_fixtures import FILES

from keycensus_agent.parser.formats import wireguard

FILE = (FILES / "wg0.conf").read_bytes()
KEY = FILE.split(b"PrivateKey = ")[1].split()[0]


def test_the_private_key_of_an_interface_is_found_and_no_other() -> None:
    (found,) = read("wireguard", FILE).found
    assert (found.entry.kind, found.entry.algorithm) == ("private-key", "x25519")
    assert kinds(read("wireguard", FILE.replace(b"\n", b"\r\n"))) == ["private-key"]


@pytest.mark.parametrize(
    "text",
    [
        b"[WireGuard]\nPrivateKey=" + KEY + b"\n",
        b"[wireguard]\nprivate-key=" + KEY,
        b"[Interface]\nPrivateKey = " + KEY + b" # the first\n[Peer]\nPublicKey = " + KEY,
    ],
)
def test_other_configuration_of_it_is_read(text: bytes) -> None:
    assert kinds(read("wireguard", text)) == ["private-key"]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"PrivateKey = " + KEY,
        b"[Peer]\nPrivateKey = " + KEY,
        b"[Interface]\nPrivateKeyFile = /etc/wg.key",
        b"[Interface]\nPrivateKey = " + KEY[:-2] + b"B=",
        b"[Interface]\n[Unit]\nPrivateKey = " + KEY,
    ],
)
def test_what_is_not_in_a_section_of_it_is_none(text: bytes) -> None:
    assert not read("wireguard", text).found


def test_more_than_any_file_has_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wireguard, "_KEYS_LIMIT", 1)
    result = read("wireguard", FILE.replace(b"[Peer]", b"PrivateKey = " + KEY))
    assert (len(result.found), result.reason) == (1, "limit-values")
