"""`keycensus-agent run`: watch, sweep on a timer, report when there is something to say, leave in order.

One thread does all that; another takes notes of what the kernel says (`watch`). SIGTERM and SIGINT end
it within the step it is at; SIGHUP makes it sweep at once with the configuration read anew.

1. Directories worth it are watched, and then looked at: after a restart what changed there is known first.
2. A sweep works for its share of a core. While it rests, what was heard is looked at, and reported.
3. News is reported at once, a heartbeat now and then, what failed later.
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
from keycensus_agent.reader.kept_parser import KEEP_SECONDS
from keycensus_agent.reader.notify import Notifier
from keycensus_agent.reader.partial import Parts
from keycensus_agent.reader.priority import be_idle_at_the_disk
from keycensus_agent.reader.schedule import RETRY_SECONDS, Schedule
from keycensus_agent.reader.service import ReaderService, cpu_seconds
from keycensus_agent.reader.status_file import StatusBoard
from keycensus_agent.reader.watch.agenda import Due
from keycensus_agent.reader.watch.watching import Watching

log = structlog.get_logger()

# From SIGTERM to the end, whatever is under way: an archive that is parsed, a link that hangs.
LONGEST_GOODBYE_SECONDS = 8.0
# Looks within a sweep's rests, but not within theirs.
_DEEPEST = 2


@dataclass(slots=True)
class Daemon:
    """Runs until told to stop; `run()` returns the exit status."""

    service: ReaderService
    reload: Callable[[], Config]
    _stopping: bool = False
    _hangup: bool = False
    _mounts_changed: bool = False
    _wake_reader: int = field(init=False)
    _wake_writer: int = field(init=False)
    _board: StatusBoard = field(init=False)
    _watching: Watching = field(init=False)
    _notifier: Notifier = field(init=False)
    _schedule: Schedule = field(init=False)
    # How many sweeps and looks there are at this moment, one within the other.
    _depth: int = 0

    def __post_init__(self) -> None:
        self._wake_reader, self._wake_writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._watching = Watching(self._wake)
        self._notifier = Notifier.of(os.environ, os.getpid())
        self._board = StatusBoard(self.service, self._watching)

    def run(self) -> int:
        """Watch, sweep and report until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self.service.should_stop = self._should_stop
        self.service.patient = True
        self.service.parsers.keep_seconds = KEEP_SECONDS
        now = time.monotonic()
        delay = random.uniform(0, self.service.config.sweep.start_delay_seconds)  # noqa: S311
        self._schedule = Schedule(sweep_at=now + delay, talk_at=now + delay)
        log.info("agent started", version=__version__, first_sweep_in_seconds=round(delay, 1))
        self._tell_isolation()
        be_idle_at_the_disk()
        try:
            self._open_watches()
            self._notifier.ready(self._what_it_does())
            while not self._stopping:
                self._step()
        finally:
            self._notifier.stopping()
            self._watching.close()
            self.service.parsers.close()
        log.info("agent stopped")
        self._board.write()
        signal.setitimer(signal.ITIMER_REAL, 0)
        return 0

    def _should_stop(self) -> bool:
        """Asked at every directory and message: whoever asks is alive."""
        self._notifier.alive(time.monotonic())
        return self._stopping

    def _what_it_does(self) -> str:
        return f"watching {len(self._watching.watched)} directories"

    def _tell_isolation(self) -> None:
        """Say once if the kernel does not hold this process; `status` says it all the time."""
        reader = self.service.enforced.get("reader")
        if reader is not None and not (reader["seccomp"] and reader["no_new_privs"]):
            log.warning("this kernel does not take the network from the reader", **reader)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        # Nothing that takes a lock: the signal may have come while the main thread held it.
        if number == signal.SIGHUP:
            self._hangup = True
        elif not self._stopping:
            self._stopping = True
            signal.signal(signal.SIGALRM, _leave_at_once)
            signal.setitimer(signal.ITIMER_REAL, LONGEST_GOODBYE_SECONDS)
        self._wake()

    def _wake(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake_writer, b"x")

    # --- the loop -----------------------------------------------------------------------------

    def _step(self) -> None:
        schedule = self._schedule
        try:
            if self._hangup:
                self._hangup = False
                self._reload()
                schedule.sweep_at = time.monotonic()
            self._attend()
            if time.monotonic() >= schedule.sweep_at and not self._stopping:
                self._sweep()
        except (StateDamagedError, LauncherError):
            # A fresh start puts the damaged file aside, or has a launcher; this process can't.
            raise
        except (KeycensusError, OSError) as error:
            # The outbox is whole; what could not be done is tried again, nothing is skipped.
            self._put_off(error)
        if not (self._stopping or self._hangup):
            self._wait(min(schedule.sweep_at, self._next_attention()))

    def _attend(self) -> None:
        """Do what can't wait: look where something was heard, and report what is due."""
        if self._mounts_changed:
            self._mounts_changed = False
            self._watching.mounts_changed()
            self._watching.choose(self.service.state)
        heard = self._watching.hear()
        if heard and not self._depth and self._schedule.may_guess(time.monotonic()):
            # It starts while the directory comes to rest and is looked at.
            self.service.prepare_link()
        due = self._watching.agenda.due(time.monotonic())
        if due and not self._stopping:
            self._look(due)
        self.service.parsers.end_if_idle()
        if time.monotonic() >= self._schedule.talk_at and not self._stopping:
            self._talk()

    def _next_attention(self) -> float:
        others = (self._watching.agenda.next_at(), self.service.parsers.end_at)
        return min([self._schedule.talk_at, *(at for at in others if at is not None)])

    def _wait(self, until: float) -> None:
        """Wait until then, or until a signal comes, something is heard, or mounts change."""
        self._notifier.alive(time.monotonic())
        if self._notifier.every:
            until = min(until, time.monotonic() + self._notifier.every)
        poll = select.poll()
        poll.register(self._wake_reader, select.POLLIN)
        mounts = self._watching.mountinfo
        if mounts >= 0:
            poll.register(mounts, select.POLLPRI)
        for ready, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000):
            if ready == mounts:
                self._mounts_changed = True
            else:
                os.read(self._wake_reader, 4096)

    def _rest(self, until: float) -> None:
        """Rest from a sweep until then, but not from what can't wait."""
        while not self._stopping and time.monotonic() < until:
            if self._depth < _DEEPEST:
                self._attend()
                self._wait(min(until, self._next_attention()))
            else:
                self._wait(until)

    def _put_off(self, error: KeycensusError | OSError) -> None:
        identity = error.error_id if isinstance(error, KeycensusError) else "agent.system"
        log.error("trouble", error=str(error), error_id=identity, again_in=RETRY_SECONDS)
        self._board.trouble(str(error))
        if isinstance(error, StorageError):
            self.service.state.release_ballast()
        self._schedule.put_off(time.monotonic())
        self._watching.agenda.put_off(time.monotonic() + RETRY_SECONDS)
        with suppress(StorageError):
            self._board.write()

    def _reload(self) -> None:
        self._notifier.reloading()
        try:
            self._read_again()
        finally:
            self._notifier.ready(self._what_it_does())

    def _read_again(self) -> None:
        try:
            self.service.config = self.reload()
            if self.service.launcher is not None:
                self.service.launcher.reload()
            log.info("configuration read again")
        except ConfigurationError as error:
            log.error("configuration refused, the old one stays", error=str(error))  # noqa: TRY400
            return
        self._open_watches()

    def _open_watches(self) -> None:
        """Watch what is worth it by the configuration; without a root to be watched, sweeps tell."""
        try:
            self._watching.open(self.service.config)
        except ConfigurationError as error:
            log.error("nothing can be watched", error=str(error))  # noqa: TRY400
            return
        self._watching.choose(self.service.state)
        log.info(
            "watching",
            directories=len(self._watching.watched),
            refused=len(self._watching.refused),
            budget=self._watching.budget,
            trouble=self._watching.trouble,
        )
        self._board.write()

    # --- sweeping and looking -------------------------------------------------------------------

    def _sweep(self) -> None:
        config = self.service.config.sweep
        share = config.cpu_share
        self._watching.sing()
        self._depth += 1
        try:
            result = self.service.sweep(_Pacer(share, self._rest), go_on=True)
        finally:
            self._depth -= 1
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
        self._watching.choose(self.service.state)
        now = time.monotonic()
        self._schedule.swept(
            result.cpu_seconds,
            now,
            interval=float(config.interval_seconds),
            share=share,
            fraction=random.random(),  # noqa: S311
        )
        if result.changes:
            self._schedule.news(now, noise=False)
        self._board.write()

    def _look(self, due: Due) -> None:
        """Look where something was heard."""
        parts = Parts(due.shallow, due.deep, self._watching.watched)
        # Much may be below a new directory: a look rests as a sweep does, unless it is within one.
        pacer = _Pacer(self.service.config.sweep.cpu_share, self._rest)
        noisy = set(self._watching.agenda.noisy)
        self._depth += 1
        try:
            look = self.service.look(
                parts,
                entering=self._watching.enter,
                expecting=self._prepare_to_talk,
                pause=pacer if self._depth < _DEEPEST else lambda: None,
            )
        except (KeycensusError, OSError):
            self._watching.put_back(due)
            raise
        finally:
            self._depth -= 1
        self._watching.looked(due, look.changed, look.cpu_seconds)
        self._board.looked(look)
        log.debug("looked", shallow=len(due.shallow), deep=len(due.deep), changes=look.changes)
        if look.changes:
            self._watching.choose(self.service.state)
            # Where a link was turned, a place changed and no directory's files did.
            noise = bool(look.changed) and look.changed <= noisy
            self._schedule.news(time.monotonic(), noise=noise)
        now = time.monotonic()
        if self._schedule.talk_at > now and self.service.drop_link():
            self._schedule.guessed_wrong(now)
        self._board.write()

    def _prepare_to_talk(self) -> None:
        """Have a link started while the parser still reads, if its news will be told at once."""
        if self._schedule.may_tell(time.monotonic()):
            self.service.prepare_link()

    # --- talking ------------------------------------------------------------------------------

    def _talk(self) -> None:
        outcome = self.service.converse()
        now = time.monotonic()
        self._board.talked(outcome)
        if outcome.reason == "stopped" and self._stopping:
            return
        delay = self._schedule.talked(outcome, now, random.random)
        if not outcome.ok:
            log.warning(
                "not reported",
                reason=outcome.reason,
                text=outcome.text,
                next_try_in_seconds=round(delay, 1),
                waiting=self.service.outbox.count(),
            )
        else:
            if outcome.scan_again:
                self._schedule.sweep_at = now
            log.info(
                "reported",
                batches=outcome.batches,
                changes=outcome.changes,
                blobs=outcome.blobs,
                refused=outcome.refused,
            )
        self._board.write()


def _leave_at_once(_number: int, _frame: FrameType | None) -> None:
    """End without goodbye: the step that we are at takes too long. The state stands a crash."""
    os.write(2, b"keycensus-agent: asked to stop, and what is under way takes too long; left\n")
    os._exit(0)


class _Pacer:
    """Has a sweep rest so that it takes no more than its share of one core."""

    def __init__(self, share: float, rest: Callable[[float], None]) -> None:
        self._share = share
        self._rest = rest
        self._cpu = cpu_seconds()

    def __call__(self) -> None:
        used = cpu_seconds() - self._cpu
        if self._share < 1:
            self._rest(time.monotonic() + used / self._share - used)
        self._cpu = cpu_seconds()
