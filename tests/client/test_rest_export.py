"""An export that was cut short is not taken for a whole one."""

from __future__ import annotations

import pytest

from keycensus_client.errors import AnswerError
from keycensus_client.rest import whole


@pytest.mark.parametrize("end", ['{"end": true, "items": 2}', '"# end","2"'])
def test_the_last_line_of_an_export_is_no_item(end: str) -> None:
    assert list(whole(["a", "b", end])) == ["a\n", "b\n"]


@pytest.mark.parametrize("lines", [[], ["a"], ["a", '{"end": true, "it'], ['"# end","x"']])
def test_an_export_without_an_end_fails_when_all_that_came_is_told(lines: list[str]) -> None:
    told: list[str] = []
    with pytest.raises(AnswerError, match="cut short"):
        told.extend(whole(lines))
