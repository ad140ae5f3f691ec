"""When the daemon tries again."""

from __future__ import annotations

import pytest

from keycensus_agent.reader.report.sync import Outcome
from keycensus_agent.reader.schedule import (
    BACK_OFF_SECONDS,
    GUESS_REST_SECONDS,
    RECONNECT_SPREAD_SECONDS,
    Schedule,
    back_off,
)


def test_the_first_try_after_an_outage_is_spread_over_minutes() -> None:
    tries = [back_off(1, Outcome("unreachable"), fraction / 100) for fraction in range(101)]
    assert min(tries) >= 1
    assert max(tries) == RECONNECT_SPREAD_SECONDS
    assert sorted(tries) == tries
    assert tries[50] == pytest.approx(RECONNECT_SPREAD_SECONDS / 2)


def test_later_tries_grow_to_a_bound() -> None:
    tries = [back_off(failures, Outcome("unreachable"), 1.0) for failures in range(2, 40)]
    assert sorted(tries) == tries
    assert tries[-1] == BACK_OFF_SECONDS[1]


def test_what_the_collector_asks_for_is_the_least() -> None:
    assert back_off(1, Outcome("busy", retry_after_seconds=300), 0.0) == 300


@pytest.mark.parametrize("reason", ["banned", "cloned", "unknown", "upgrade", "other-machine"])
def test_what_needs_a_person_is_tried_rarely(reason: str) -> None:
    assert back_off(1, Outcome(reason), 0.0) == BACK_OFF_SECONDS[1]


def test_a_hint_without_news_keeps_links_from_being_started_at_hints() -> None:
    schedule = Schedule(sweep_at=0.0, talk_at=0.0)
    assert schedule.may_guess(10.0)
    schedule.guessed_wrong(10.0)
    assert not schedule.may_guess(10.0 + GUESS_REST_SECONDS - 1)
    assert schedule.may_tell(11.0)
    assert schedule.may_guess(10.0 + GUESS_REST_SECONDS)
    schedule.failures = 1
    assert not schedule.may_guess(10.0 + GUESS_REST_SECONDS)
