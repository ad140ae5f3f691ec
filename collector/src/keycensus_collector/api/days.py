"""Which day an answer is about: today, or a past one that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query

from keycensus_collector.api.parameters import QueryParameters
from keycensus_collector.api.security import ClockOf
from keycensus_collector.query.bind import bind

_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Day:
    """A day as it was asked for, empty for today; and its end in milliseconds since the epoch, None for now."""

    text: str = ""
    as_of_ms: int | None = None


TODAY = Day()


def day_of(
    clock: ClockOf,
    as_of: Annotated[
        str,
        Query(
            max_length=_CHARACTERS,
            description="As it was at the end of that day: a date, or an age as `30d`.",
            examples=["2026-09-30"],
        ),
    ] = "",
) -> Day:
    """Return the day that a request asks for; QueryError if it is neither a date nor an age."""
    asked = QueryParameters(as_of=as_of).as_query()
    return Day(as_of, bind(asked, "certificates", clock.now_ms()).as_of_ms)


DayOf = Annotated[Day, Depends(day_of)]
