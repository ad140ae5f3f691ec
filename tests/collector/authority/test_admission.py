"""Streams begin no faster than the fleet's rate; who calls most waits longest."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Coroutine
from typing import Any

import pytest

from keycensus_collector.authority.admission import Admission
from keycensus_collector.errors import Refusal


class _SteadyLoop(asyncio.SelectorEventLoop):
    """A loop whose clock moves to the next timer at once: seconds of it take none of ours."""

    now = 1000.0

    def time(self) -> float:
        return self.now

    def _run_once(self) -> None:
        timers = self._scheduled  # type: ignore[attr-defined]
        while timers and timers[0].cancelled():
            heapq.heappop(timers)
        if timers and not self._ready:  # type: ignore[attr-defined]
            self.now = max(self.now, timers[0].when())
        super()._run_once()  # type: ignore[misc]


def played(work: Coroutine[Any, Any, Any]) -> Any:  # noqa: ANN401 - whatever the work returns
    with asyncio.Runner(loop_factory=_SteadyLoop) as runner:
        return runner.run(work)


async def outcome(admission: Admission, asker: str) -> tuple[str, float]:
    """Return how it went for one that comes now, and when it began or may come again."""
    loop = asyncio.get_running_loop()
    try:
        await admission.begin(asker)
    except Refusal as refusal:
        return refusal.reason, float(refusal.retry_after_seconds)
    return "in", loop.time() - 1000.0


async def all_at_once(admission: Admission, askers: list[str]) -> list[tuple[str, float]]:
    return await asyncio.gather(*(outcome(admission, asker) for asker in askers))


def test_a_fleet_that_comes_at_once_is_let_in_by_the_rate_and_the_rest_is_told_when() -> None:
    answers = played(all_at_once(Admission(10), [f"agent {number}" for number in range(1000)]))
    began = [at for word, at in answers if word == "in"]
    assert sum(at == 0 for at in began) == 100, "the burst"
    later = sorted(at for at in began if at > 0)
    assert len(later) == 50
    assert later == pytest.approx([number / 10 for number in range(1, 51)], abs=0.01)
    told = [at for word, at in answers if word == "busy"]
    # The 850 that are left come again one after another, at the rate: no two seconds hold many.
    assert len(told) == 850
    assert told == sorted(told)
    assert max(told.count(second) for second in set(told)) <= 11
    assert max(told) == 5 + 85


def test_one_that_calls_without_end_delays_itself_and_not_another() -> None:
    async def play() -> tuple[list[tuple[str, float]], tuple[str, float]]:
        admission = Admission(10)
        flood = asyncio.gather(*(outcome(admission, "evil") for _ in range(500)))
        await asyncio.sleep(0)
        return await flood, await outcome(admission, "good")

    async def side_by_side() -> tuple[list[tuple[str, float]], tuple[str, float]]:
        admission = Admission(10)
        evil = [asyncio.ensure_future(outcome(admission, "evil")) for _ in range(500)]
        await asyncio.sleep(0)
        good = asyncio.ensure_future(outcome(admission, "good"))
        return [await each for each in evil], await good

    evil, good = played(side_by_side())
    assert good[0] == "in"
    assert good[1] <= 0.3
    assert sum(word == "in" for word, _ in evil) == 100 + 16
    _, after = played(play())
    assert after == ("in", pytest.approx(1.7, abs=0.2))


def test_nobody_is_told_to_come_later_than_in_some_minutes() -> None:
    answers = played(all_at_once(Admission(1), [f"agent {number}" for number in range(2000)]))
    assert max(at for word, at in answers if word == "busy") == 305


def test_those_who_leave_while_they_wait_take_no_turn() -> None:
    async def play() -> tuple[str, float]:
        admission = Admission(10)
        await all_at_once(admission, ["first"] * 100)
        gone = [asyncio.ensure_future(outcome(admission, f"gone {n}")) for n in range(49)]
        await asyncio.sleep(0)
        for each in gone:
            each.cancel()
        return await outcome(admission, "staying")

    word, at = played(play())
    assert word == "in"
    assert at == pytest.approx(0.1, abs=0.01)


def test_a_quiet_time_brings_the_burst_back() -> None:
    async def play() -> list[tuple[str, float]]:
        admission = Admission(10)
        await all_at_once(admission, [f"agent {number}" for number in range(100)])
        await asyncio.sleep(60)
        return await all_at_once(admission, [f"agent {number}" for number in range(100)])

    assert {at for _, at in played(play())} == {60.0}
