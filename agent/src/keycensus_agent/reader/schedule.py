"""When the daemon does what: pure, but for the dice and the clock that are handed in.

Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keycensus_agent.reader.report.sync import Outcome

# A heartbeat at most this often; silent is three missed ones at the collector.
HEARTBEAT_SECONDS = 900.0
# The first try after a lost collector is spread over this, so that a fleet does not come at once.
RECONNECT_SPREAD_SECONDS = 120.0
BACK_OFF_SECONDS = (5.0, 900.0)
# After trouble of our own (a full disk, no more processes), try again this much later.
RETRY_SECONDS = 60.0
# A timer sweep is not more often than this many times its own cost.
SWEEP_COST_FACTOR = 2000.0
# What an unchanged sweep is taken to cost (CPU seconds) until one was seen.
FIRST_COST_SECONDS = 2.0
# After a report of news the next one waits, the longer, the sooner there was news again: a link is a
# process of its own, and what changes all the time needs to be told only now and then.
NEWS_REST_SECONDS = (0.5, 4.0)
_CALM_SECONDS = 10.0
# News only of directories that are never quiet.
NOISE_REST_SECONDS = 30.0
# A link that was started at a hint, before anything was looked at, and had nothing to say, cost half a
# second of a core: after that, links wait for so long until a look expects something.
GUESS_REST_SECONDS = 1800.0
# Reasons that trying again soon will not mend.
_NEEDS_A_PERSON = frozenset({"banned", "cloned", "unknown", "upgrade", "other-machine"})


@dataclass(slots=True)
class Schedule:
    """When (monotonic seconds) what is next."""

    sweep_at: float
    talk_at: float
    failures: int = 0
    cheapest: float = FIRST_COST_SECONDS
    _talked_at: float = float("-inf")
    _rest: float = NEWS_REST_SECONDS[0]
    _no_guess_until: float = float("-inf")

    def may_tell(self, now: float) -> bool:
        """Whether news of now would be reported at once."""
        return not self.failures and now >= self._talked_at + self._rest

    def may_guess(self, now: float) -> bool:
        """Whether a link may be started at a mere hint: news would be told at once, and likely comes."""
        return now >= self._no_guess_until and self.may_tell(now)

    def guessed_wrong(self, now: float) -> None:
        """Note that a link was started at a hint, and there was no news."""
        self._no_guess_until = now + GUESS_REST_SECONDS

    def news(self, now: float, *, noise: bool) -> None:
        """Have news reported as soon as may be; `noise`: it comes from noisy directories only."""
        if self.failures:
            # A collector that is not there is tried at its own pace.
            return
        at = max(now, self._talked_at + self._rest)
        if noise:
            at = max(at, self._talked_at + NOISE_REST_SECONDS)
        self.talk_at = min(self.talk_at, at)

    def talked(self, outcome: Outcome, now: float, dice: Callable[[], float]) -> float:
        """Note how a conversation ended; returns seconds until the next one."""
        if outcome.ok:
            soon = now - self._talked_at < self._rest + _CALM_SECONDS
            lowest, highest = NEWS_REST_SECONDS
            self._rest = min(4 * self._rest, highest) if soon else lowest
            self._talked_at = now
            self.failures = 0
            delay = float(outcome.heartbeat_seconds or HEARTBEAT_SECONDS) * (0.8 + 0.2 * dice())
            if outcome.again_in_seconds:
                delay = min(delay, outcome.again_in_seconds)
        else:
            self.failures += 1
            delay = back_off(self.failures, outcome, dice())
        self.talk_at = now + delay
        return delay

    def swept(
        self, cpu_seconds: float, now: float, *, interval: float, share: float, fraction: float
    ) -> None:
        """Note what a sweep cost; `fraction` (0 to 1, random) spreads the next one."""
        self.cheapest = min(self.cheapest, cpu_seconds)
        if share < 1:
            # By the cheapest sweep so far: the first one reads the whole disk and says nothing of
            # what the next will cost.
            interval = max(interval, self.cheapest * SWEEP_COST_FACTOR)
        self.sweep_at = now + interval * (0.9 + 0.2 * fraction)

    def put_off(self, now: float) -> None:
        """Try again later, after trouble of our own."""
        self.sweep_at = now + RETRY_SECONDS
        self.talk_at = max(self.talk_at, self.sweep_at)


def back_off(failures: int, outcome: Outcome, fraction: float) -> float:
    """Return seconds until the next try; `fraction` is random, 0 to 1 (full jitter).

    What the collector asked for is the least; what needs a person is tried rarely.
    """
    if outcome.reason in _NEEDS_A_PERSON:
        delay = BACK_OFF_SECONDS[1]
    elif failures == 1:
        delay = RECONNECT_SPREAD_SECONDS * fraction
    else:
        delay = min(BACK_OFF_SECONDS[1], BACK_OFF_SECONDS[0] * 2.0**failures) * fraction
    return max(delay, float(outcome.retry_after_seconds), 1.0)
