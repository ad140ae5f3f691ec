from __future__ import annotations

import pytest

from keycensus_agent.parser.cursor import Cursor, CutError


def test_numbers_and_counted_bytes_are_read_in_either_order() -> None:
    assert Cursor(b"\0\2ab").counted(2) == b"ab"
    little = Cursor(b"\2\0ab", order="little")
    assert (little.counted(2), little.left, little.position) == (b"ab", 0, 4)


@pytest.mark.parametrize(("size", "position"), [(5, 0), (1, 4), (1, 9), (-1, 0)])
def test_nothing_is_read_beyond_the_end(size: int, position: int) -> None:
    with pytest.raises(CutError, match="truncated"):
        Cursor(b"four", position).take(size)
