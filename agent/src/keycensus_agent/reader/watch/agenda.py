"""When to look at a directory of which something was heard: pure, the clock is passed in.

1. A directory is looked at when it was quiet for a moment, and if it never is, after a longest wait.
2. After a look the next one at the same directory waits: the longer, the more often it was due.
3. One that is never quiet is restless, and then noisy: it is polled, more and more rarely, and its
   watch is lifted, but for a moment now and then. If nothing is heard in that moment, it is quiet again
   and looked at. Nothing is lost by that: the last look sees the last content.
4. All looks together take their share of a core: after each, a pause of so many times its cost.

Deep means: with everything below it. Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

# A writer that is done is quiet for so long; also longer than the kernel's clock for files needs to
# tell two changes apart (sweep.FINE_STAMP_NS), so that nothing is read twice.
QUIET_SECONDS = 0.1
LONGEST_SECONDS = 0.5
# After a look; doubled while the directory is due again soon after.
REST_SECONDS = (0.4, 2.0)
# Noise is counted in tenths of a second in which something was heard, less what is no noise: some of
# them in a second. One that is never quiet is noisy after some five seconds.
_CALM_TENTHS_A_SECOND = 2.5
NOISY_TENTHS = 40.0
# Restless, on the way there: a look sees what is over at once, and costs a parser.
_RESTLESS_TENTHS = 10.0
RESTLESS_SECONDS = 5.0
# Between two polls of a noisy directory, and between two moments in which it is listened to.
POLL_SECONDS = (20.0, 60.0)
PROBE_SECONDS = 2.0
# Such a directory is quiet after so long: some batches of events (`inotify`), also of a slow machine.
CALM_SECONDS = 0.5
# At most 10 % of a core: a pause of nine times the cost, but never so long that news gets old.
_COST_FACTOR = 9.0
LONGEST_PAUSE_SECONDS = 2.0
# Directories that wait; more, and everything watched is looked at instead.
MOST_WAITING = 16_384


@dataclass(slots=True)
class _Waiting:
    first: float
    last: float
    deep: bool


@dataclass(slots=True)
class _Manner:
    """How a directory behaved of late."""

    rest: float = REST_SECONDS[0]
    looked_at: float = float("-inf")
    noise: float = 0.0
    heard_at: float = float("-inf")
    poll: float = 0.0  # seconds between polls; 0: it is not noisy
    # Of a noisy one: when it is listened to again, or since when it is.
    deaf_until: float = 0.0
    listening_since: float | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be looked at now."""

    shallow: tuple[bytes, ...] = ()
    deep: tuple[bytes, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.shallow or self.deep)


@dataclass(slots=True)
class Agenda:
    """What waits to be looked at."""

    _waiting: dict[bytes, _Waiting] = field(default_factory=dict)
    _manners: dict[bytes, _Manner] = field(default_factory=dict)
    _pause_until: float = float("-inf")

    @property
    def noisy(self) -> list[bytes]:
        """The directories that are polled instead of watched."""
        return sorted(path for path, manner in self._manners.items() if manner.poll)

    @property
    def full(self) -> bool:
        """Whether so much waits that one look at everything is cheaper."""
        return len(self._waiting) >= MOST_WAITING

    def note(self, path: bytes, now: float, *, deep: bool = False, tenths: int = 1) -> None:
        """Note that something changed in (`deep`: in or below) a directory.

        `tenths`: in how many tenths of a second that was heard since it was noted last.
        """
        manner = self._manners.setdefault(path, _Manner())
        calm = (now - manner.heard_at) * _CALM_TENTHS_A_SECOND
        manner.noise = max(0.0, manner.noise - calm) + tenths
        manner.heard_at = now
        if manner.noise >= NOISY_TENTHS and not manner.poll and not deep:
            manner.poll = POLL_SECONDS[0]
        manner.deaf_until, manner.listening_since = now + PROBE_SECONDS, None
        waiting = self._waiting.get(path)
        if waiting is None:
            self._waiting[path] = _Waiting(now, now, deep)
        else:
            waiting.last = now
            waiting.deep = waiting.deep or deep

    def due(self, now: float) -> Due:
        """Take what is to be looked at now."""
        if now < self._pause_until:
            return Due()
        taken = [path for path in self._waiting if self._at(path) <= now]
        shallow = tuple(path for path in taken if not self._waiting[path].deep)
        deep = tuple(path for path in taken if self._waiting[path].deep)
        for path in taken:
            del self._waiting[path]
        return Due(shallow, deep)

    def probe(self, now: float) -> list[bytes]:
        """Return the noisy directories that are to be watched for a moment from now on.

        Those of which nothing was heard in their moment are quiet again, and are looked at.
        """
        fresh = []
        for path in self.noisy:
            manner = self._manners[path]
            if manner.listening_since is None:
                if now >= manner.deaf_until:
                    manner.listening_since = now
                    fresh.append(path)
            elif now - manner.listening_since >= CALM_SECONDS:
                manner.poll, manner.rest = 0.0, REST_SECONDS[1]
                # It is noisy again sooner than one that never was.
                manner.noise = NOISY_TENTHS / 2
                since = now - LONGEST_SECONDS
                deep = path in self._waiting and self._waiting[path].deep
                self._waiting[path] = _Waiting(since, since, deep)
        return fresh

    def listens(self, path: bytes) -> bool:
        """Whether a noisy directory is listened to at this moment."""
        manner = self._manners.get(path)
        return manner is not None and manner.listening_since is not None

    def next_at(self) -> float | None:
        """Return when something is due next, or is to be listened to; None if nothing waits."""
        times = [max(self._pause_until, self._at(path)) for path in self._waiting]
        for manner in self._manners.values():
            if manner.poll and manner.listening_since is None:
                times.append(manner.deaf_until)
            elif manner.poll and manner.listening_since is not None:
                times.append(manner.listening_since + CALM_SECONDS)
        return min(times, default=None)

    def _at(self, path: bytes) -> float:
        waiting, manner = self._waiting[path], self._manners.get(path)
        at = min(waiting.last + QUIET_SECONDS, waiting.first + LONGEST_SECONDS)
        if manner is None:
            return at
        rested = manner.looked_at + (manner.poll or manner.rest)
        # Where others wait too, a look at them costs the parser anyway, and news is told at once.
        if manner.noise >= _RESTLESS_TENTHS and not manner.poll and len(self._waiting) == 1:
            calm = max(rested, waiting.last + CALM_SECONDS)
            return max(at, min(calm, manner.looked_at + RESTLESS_SECONDS))
        return max(at, rested)

    def looked(self, due: Due, changed: Iterable[bytes], now: float, cost: float) -> list[bytes]:
        """Note that what was due was looked at, for `cost` seconds of processor time.

        `changed`: what was found changed. Returns the directories that are quiet again, to be
        watched again and then looked at.
        """
        self._pause_until = now + min(cost * _COST_FACTOR, LONGEST_PAUSE_SECONDS)
        changed = frozenset(changed)
        quiet: list[bytes] = []
        for path in (*due.shallow, *due.deep):
            manner = self._manners.setdefault(path, _Manner())
            if manner.poll and path not in changed:
                del self._manners[path]
                quiet.append(path)
                continue
            if now - manner.looked_at <= 2 * manner.rest + LONGEST_SECONDS:
                manner.rest = min(2 * manner.rest, REST_SECONDS[1])
            else:
                manner.rest = REST_SECONDS[0]
            manner.looked_at = now
            if manner.poll:
                # Its watch is lifted: only a poll tells what goes on.
                manner.poll = min(3 * manner.poll, POLL_SECONDS[1])
                self._waiting.setdefault(path, _Waiting(now, now, deep=False))
        self._forget(now)
        return quiet

    def _forget(self, now: float) -> None:
        """Drop the manners of directories that were not heard of for long."""
        long_ago = now - 2 * POLL_SECONDS[1]
        for path in [
            path
            for path, manner in self._manners.items()
            if path not in self._waiting
            and not manner.poll
            and max(manner.heard_at, manner.looked_at) < long_ago
        ]:
            del self._manners[path]

    def put_off(self, until: float) -> None:
        """Look at nothing until then."""
        self._pause_until = max(self._pause_until, until)

    def clear(self) -> None:
        """Forget what waits: everything was looked at."""
        self._waiting.clear()
