"""Several expressions searched for at once: against one alternation of them."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.parser.starts import Start, Starts

STARTS = (
    Start(re.compile(rb"ab+")),
    Start(re.compile(rb"cc"), re.compile(rb"[ax]cc[yz]"), back=1),
    Start(re.compile(rb"zz")),
)
TOGETHER = re.compile(rb"ab+|[ax]cc[yz]|zz")


@given(st.text("abcxyz", max_size=60).map(str.encode))
def test_the_matches_are_those_of_one_alternation(text: bytes) -> None:
    starts, position, found = Starts(STARTS, text), 0, []
    while match := starts.after(position):
        found.append(match.span())
        position = match.end()
    assert found == [match.span() for match in TOGETHER.finditer(text)]


def test_asking_again_from_the_same_position_gives_the_same() -> None:
    starts = Starts(STARTS, b"..ab..zz")
    assert starts.after(0) == starts.after(0) == starts.after(2)
    later = starts.after(3)
    assert later is not None
    assert later.span() == (6, 8)
    assert starts.after(7) is None
