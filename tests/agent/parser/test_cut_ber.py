from __future__ import annotations

import pytest

from keycensus_agent.parser import cut_ber, der
from keycensus_agent.parser.cut_ber import CutBer


def octets(data: bytes) -> tuple[bytes, bool]:
    ber = CutBer()
    value = ber.octets(data, ber.read(data, 0, len(data)))
    return value, ber.cut


@pytest.mark.parametrize(
    ("data", "value", "cut"),
    [
        (b"\x04\2ab", b"ab", False),
        (b"\x04\5ab", b"ab", True),
        (b"\x24\x80\x04\1a\x24\x80\x04\1b\0\0\0\0", b"ab", False),
        (b"\x24\x80\x04\1a\x24\x80\x04\2b", b"ab", True),
        (b"\x24\x80\x04\1a\x24", b"a", True),
    ],
)
def test_octets_are_joined_as_far_as_they_go(data: bytes, value: bytes, *, cut: bool) -> None:
    assert octets(data) == (value, cut)


@pytest.mark.parametrize("data", [b"", b"\x30", b"\x3f\x80", b"\x30\x84\0", b"\x01\5a"])
def test_what_has_no_start_is_refused(data: bytes) -> None:
    with pytest.raises(der.DerError):
        CutBer().read(data, 0, len(data))


def test_pieces_are_bounded_in_depth_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(der.DerError, match="deep"):
        octets(b"\x24\x80" * 40)
    monkeypatch.setattr(cut_ber, "_PIECES_LIMIT", 3)
    with pytest.raises(der.DerError, match="many"):
        octets(b"\x24\x0a" + b"\x04\0" * 5)
