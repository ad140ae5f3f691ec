"""`keycensus-agent run`: sweep on a timer, report when there is something to say, leave in order.

One thread. SIGTERM and SIGINT end it within the step it is at; SIGHUP makes it sweep at once with
the configuration read anew. A sweep works for its share of a core and sleeps the rest.
"""

from __future__ import annotations

import os
import random
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType

import structlog

from keycensus_agent import __version__
from keycensus_agent.config import Config
from keycensus_agent.errors import (
    ConfigurationError,
    KeycensusError,
    LauncherError,
    StateDamagedError,
    StorageError,
)
from keycensus_agent.reader.report.sync import Outcome
from keycensus_agent.reader.service import ReaderService, cpu_seconds
from keycensus_agent.reader.status_file import StatusBoard

log = structlog.get_logger()

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
# Reasons that trying again soon will not mend.
_NEEDS_A_PERSON = frozenset({"banned", "cloned", "unknown", "upgrade", "other-machine"})


@dataclass(slots=True)
class _Schedule:
    """When (monotonic seconds) what is next."""

    sweep_at: float
    talk_at: float
    failures: int = 0
    cheapest: float = FIRST_COST_SECONDS


@dataclass(slots=True)
class Daemon:
    """Runs until told to stop; `run()` returns the exit status."""

    service: ReaderService
    reload: Callable[[], Config]
    _stopping: bool = False
    _hangup: bool = False
    _wake_reader: int = field(init=False)
    _wake_writer: int = field(init=False)
    _board: StatusBoard = field(init=False)

    def __post_init__(self) -> None:
        self._board = StatusBoard(self.service)
        self._wake_reader, self._wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> int:
        """Sweep and report until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self.service.should_stop = lambda: self._stopping
        self.service.patient = True
        now = time.monotonic()
        delay = random.uniform(0, self.service.config.sweep.start_delay_seconds)  # noqa: S311
        schedule = _Schedule(sweep_at=now + delay, talk_at=now + delay)
        log.info("agent started", version=__version__, first_sweep_in_seconds=round(delay, 1))
        self._tell_isolation()
        while not self._stopping:
            self._step(schedule)
        log.info("agent stopped")
        self._board.write()
        return 0

    def _tell_isolation(self) -> None:
        """Say once if the kernel does not hold this process; `status` says it all the time."""
        reader = self.service.enforced.get("reader")
        if reader is not None and not (reader["seccomp"] and reader["no_new_privs"]):
            log.warning("this kernel does not take the network from the reader", **reader)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Nothing that takes a lock: the signal may have come while the main thread held it.
        if number == signal.SIGHUP:
            self._hangup = True
        else:
            self._stopping = True
        with suppress(BlockingIOError):
            os.write(self._wake_writer, b"x")

    def _sleep(self, seconds: float) -> None:
        """Wait for so long, or until a signal comes."""
        ready, _, _ = select.select([self._wake_reader], [], [], max(0.0, seconds))
        if ready:
            os.read(self._wake_reader, 64)

    def _step(self, schedule: _Schedule) -> None:
        now = time.monotonic()
        try:
            if self._hangup:
                self._hangup = False
                self._reload()
                schedule.sweep_at = now
            if now >= schedule.sweep_at:
                self._sweep(schedule)
            if time.monotonic() >= schedule.talk_at and not self._stopping:
                self._talk(schedule)
            self._board.write()
        except (StateDamagedError, LauncherError):
            # A fresh start puts the damaged file aside, or has a launcher; this process can't.
            raise
        except (KeycensusError, OSError) as error:
            # The outbox is whole; what could not be done is tried again, nothing is skipped.
            self._put_off(schedule, error)
        if not (self._stopping or self._hangup):
            self._sleep(min(schedule.sweep_at, schedule.talk_at) - time.monotonic())

    def _put_off(self, schedule: _Schedule, error: KeycensusError | OSError) -> None:
        identity = error.error_id if isinstance(error, KeycensusError) else "agent.system"
        log.error("trouble", error=str(error), error_id=identity, again_in=RETRY_SECONDS)
        self._board.trouble(str(error))
        if isinstance(error, StorageError):
            self.service.state.release_ballast()
        retry_at = time.monotonic() + RETRY_SECONDS
        schedule.sweep_at = retry_at
        schedule.talk_at = max(schedule.talk_at, retry_at)
        with suppress(StorageError):
            self._board.write()

    def _reload(self) -> None:
        try:
            self.service.config = self.reload()
            if self.service.launcher is not None:
                self.service.launcher.reload()
            log.info("configuration read again")
        except ConfigurationError as error:
            log.error("configuration refused, the old one stays", error=str(error))  # noqa: TRY400

    # --- sweeping -----------------------------------------------------------------------------

    def _sweep(self, schedule: _Schedule) -> None:
        share = self.service.config.sweep.cpu_share
        result = self.service.sweep(
            _Pacer(share, self._sleep, lambda: self._stopping), parallel=share == 1
        )
        self._board.swept(result)
        log.info(
            "sweep ended",
            complete=result.complete,
            changes=result.changes,
            gaps=len(result.coverage.gaps),
            seconds=round(result.seconds, 2),
            cpu_seconds=round(result.cpu_seconds, 2),
        )
        self.service.state.restore_ballast()
        schedule.cheapest = min(schedule.cheapest, result.cpu_seconds)
        interval = float(self.service.config.sweep.interval_seconds)
        if share < 1:
            # By the cheapest sweep so far: the first one reads the whole disk and says nothing of
            # what the next will cost.
            interval = max(interval, schedule.cheapest * SWEEP_COST_FACTOR)
        schedule.sweep_at = time.monotonic() + interval * random.uniform(0.9, 1.1)  # noqa: S311
        if result.changes and schedule.failures == 0:
            schedule.talk_at = time.monotonic()

    # --- talking ------------------------------------------------------------------------------

    def _talk(self, schedule: _Schedule) -> None:
        outcome = self.service.converse()
        now = time.monotonic()
        self._board.talked(outcome)
        if outcome.ok:
            schedule.failures = 0
            heartbeat = float(outcome.heartbeat_seconds or HEARTBEAT_SECONDS)
            schedule.talk_at = now + heartbeat * random.uniform(0.8, 1.0)  # noqa: S311
            if outcome.again_in_seconds:
                schedule.talk_at = min(schedule.talk_at, now + outcome.again_in_seconds)
            if outcome.scan_again:
                schedule.sweep_at = now
            log.info(
                "reported",
                batches=outcome.batches,
                changes=outcome.changes,
                blobs=outcome.blobs,
                refused=outcome.refused,
            )
            return
        if outcome.reason == "stopped" and self._stopping:
            return
        schedule.failures += 1
        delay = back_off(schedule.failures, outcome, random.random())  # noqa: S311
        schedule.talk_at = now + delay
        log.warning(
            "not reported",
            reason=outcome.reason,
            text=outcome.text,
            next_try_in_seconds=round(delay, 1),
            waiting=self.service.outbox.count(),
        )


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


class _Pacer:
    """Sleeps so that the sweep takes no more than its share of one core."""

    def __init__(
        self, share: float, sleep: Callable[[float], None], stopping: Callable[[], bool]
    ) -> None:
        self._share = share
        self._sleep = sleep
        self._stopping = stopping
        self._cpu = cpu_seconds()

    def __call__(self) -> None:
        used = cpu_seconds() - self._cpu
        until = time.monotonic() + used / self._share - used
        while self._share < 1 and not self._stopping() and time.monotonic() < until:
            self._sleep(until - time.monotonic())
        self._cpu = cpu_seconds()
