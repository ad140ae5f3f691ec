"""The watches of one agent: which are placed, what they tell, and where to look because of it.

1. A directory is watched first and listed then, so that nothing is missed between.
2. What is heard is a hint: the directory goes on the agenda, and the look at it says what changed.
3. Where nothing can be heard (events lost, no watch to be had, a directory moved, a mount that came or
   went) that part is looked at at once, and the sweep on its timer sees the rest.

Everything runs in the reader's main thread but the notes that the adapter takes.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from keycensus_agent.config import Config
from keycensus_agent.reader.discovery.links import PASS_DIRECTORY, errno_name
from keycensus_agent.reader.discovery.mounts import MOUNTINFO, parent_of
from keycensus_agent.reader.ground import Ground
from keycensus_agent.reader.state import State
from keycensus_agent.reader.watch.agenda import Agenda, Due
from keycensus_agent.reader.watch.choice import MOST_WATCHES, budget, choose
from keycensus_agent.reader.watch.inotify import Inotify, Kind
from keycensus_agent.reader.watch.known import gather

# Directories that appeared, and have no findings, are watched up to this number, the newest.
MOST_RECENT = 1024
USER_LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")
# The canary's path among hints: no path of a host's holds NUL.
_CANARY = b"\0canary"
# How long the canary may take to be heard: the queue is read ten times a second.
CANARY_SECONDS = 30.0
# A directory that is not there needs no watch; its parent tells when it comes.
_NOT_THERE = frozenset({"ENOENT", "ENOTDIR", "ELOOP"})
# No more watches for this user, or no memory for them: the rest need not be tried.
_FULL = frozenset({"ENOSPC", "ENOMEM"})


@dataclass(slots=True)
class Watching:
    """Use `open`, then `choose`; `hear` when woken. `wake` is called in another thread."""

    wake: Callable[[], None]
    clock: Callable[[], float] = time.monotonic
    agenda: Agenda = field(default_factory=Agenda)
    # How often events were lost, and how often the thread had to be started again.
    overflows: int = 0
    restarts: int = 0
    # Why there are no watches at all, an errno name ("EMFILE"); empty if there are.
    trouble: str = ""
    budget: int = 0
    # Directories that were to be watched and are not, with the errno name why.
    refused: dict[bytes, str] = field(default_factory=dict)
    _config: Config = field(default_factory=Config)
    _ground: Ground | None = None
    _inotify: Inotify | None = None
    _recent: dict[bytes, None] = field(default_factory=dict)
    _mountinfo: int = -1
    _sung_at: float = 0.0

    # --- opening and closing ------------------------------------------------------------------

    def open(self, config: Config) -> None:
        """Begin to watch by a configuration, or go on by another one.

        ConfigurationError if its root can't be opened.
        """
        ground = Ground(config)
        self.close()
        self._config, self._ground = config, ground
        self.budget = budget(_user_limit())
        with suppress(OSError):
            self._mountinfo = os.open(MOUNTINFO, os.O_RDONLY | os.O_CLOEXEC)
        self._start()

    def _start(self) -> None:
        self.trouble = ""
        try:
            self._inotify = Inotify(self.wake)
        except OSError as error:
            self.trouble = errno_name(error)

    def close(self) -> None:
        """Drop all watches."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        if self._ground is not None:
            self._ground.close()
            self._ground = None
        if self._mountinfo >= 0:
            os.close(self._mountinfo)
            self._mountinfo = -1
        self._sung_at = 0.0

    @property
    def mountinfo(self) -> int:
        """The descriptor that polls as exceptional when mounts changed (proc(5)); -1 for none."""
        return self._mountinfo

    @property
    def watched(self) -> tuple[bytes, ...]:
        """The watched paths, in no order."""
        if self._inotify is None:
            return ()
        return tuple(path for path in self._inotify.paths if path != _CANARY)

    # --- placing ------------------------------------------------------------------------------

    def choose(self, state: State) -> None:
        """Watch what is worth it by what is known now; what is watched anew is to be looked at."""
        inotify = self._inotify
        if inotify is None:
            return
        wanted = choose(gather(state, self._recent), self.budget)
        noisy = set(self.agenda.noisy)
        for path in {*self.watched}.difference(wanted):
            inotify.unwatch(path)
        now = self.clock()
        self.refused = {}
        full = ""
        for path in wanted:
            if path in inotify or path in noisy:
                continue
            reason = full or self._watch(path)
            if not reason:
                self.agenda.note(path, now)
            elif reason not in _NOT_THERE:
                self.refused[path] = reason
                full = reason if reason in _FULL else ""

    def enter(self, path: bytes) -> None:
        """Watch a directory that is new, before it is listed."""
        inotify = self._inotify
        if inotify is None or path in inotify:
            return
        if len(inotify) >= self.budget:
            self._make_room()
        reason = self._watch(path)
        if not reason:
            self._recent.pop(path, None)
            self._recent[path] = None
        elif reason not in _NOT_THERE:
            self.refused[path] = reason

    def _make_room(self) -> None:
        """Give up the watch of the directory that appeared longest ago, if there is one."""
        oldest = next(iter(self._recent), None)
        if oldest is not None and self._inotify is not None:
            del self._recent[oldest]
            self._inotify.unwatch(oldest)

    def _watch(self, path: bytes) -> str:
        """Return "" or why the directory is not watched, an errno name."""
        if self._inotify is None or self._ground is None:
            return "EMFILE"
        while len(self._recent) >= MOST_RECENT:
            del self._recent[next(iter(self._recent))]
        try:
            descriptor = self._ground.open(path)
        except OSError as error:
            return errno_name(error)
        if descriptor is None:
            # Excluded, or a file system that is not searched: as if it were not there.
            return "ENOENT"
        try:
            return self._inotify.watch(path, descriptor)
        finally:
            os.close(descriptor)

    # --- hearing ------------------------------------------------------------------------------

    def hear(self) -> bool:
        """Put what was heard on the agenda; whether a directory that is not noisy changed."""
        inotify, now = self._inotify, self.clock()
        if inotify is None:
            self.agenda.probe(now)
            return False
        if not inotify.alive or (self._sung_at and now - self._sung_at > CANARY_SECONDS):
            self._start_again()
            return False
        hints = inotify.take()
        left = [path for kind, path in hints if kind is Kind.LEFT]
        if left:
            inotify.unwatch_below(left)
        for (kind, path), tenths in hints.items():
            self._heed(kind, path, now, tenths)
        noisy = self.agenda.noisy
        for path in noisy:
            if not self.agenda.listens(path):
                inotify.unwatch(path)
        for path in self.agenda.probe(now):
            self._watch(path)
        if self.agenda.full:
            self._suspect_everything()
        unlikely = {b"", _CANARY, *noisy}
        return any(path not in unlikely for _, path in hints)

    def _heed(self, kind: Kind, path: bytes, now: float, tenths: int) -> None:
        if path == _CANARY:
            self._sung_at = 0.0
        elif kind is Kind.OVERFLOWED:
            self.overflows += 1
            self._suspect_everything()
        elif kind is Kind.ARRIVED:
            self.enter(path)
            self.agenda.note(path, now, deep=True)
        elif kind is Kind.CHANGED:
            self.agenda.note(path, now, tenths=tenths)
        else:
            self._recent.pop(path, None)
            self.agenda.note(parent_of(path), now)

    def _suspect_everything(self) -> None:
        """Have every watched directory looked at: nobody knows which one changed."""
        now = self.clock()
        self.agenda.clear()
        for path in (*self.watched, *self.agenda.noisy):
            self.agenda.note(path, now)

    def _start_again(self) -> None:
        """Begin anew, since nothing was heard: the thread ended, or the kernel is silent."""
        paths = self.watched
        self.restarts += 1
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
        self._sung_at = 0.0
        self._start()
        now = self.clock()
        for path in paths:
            self._watch(path)
            self.agenda.note(path, now)

    def mounts_changed(self) -> None:
        """Have the places looked at where file systems came or went."""
        before = self._ground
        if before is None:
            return
        fresh = Ground(self._config)
        self._ground = fresh
        now = self.clock()
        for point in before.mounts.points | fresh.mounts.points:
            if before.mounts.at(point).key == fresh.mounts.at(point).key:
                continue
            if not (before.is_entered(point) or fresh.is_entered(point)):
                continue
            if self._inotify is not None:
                self._inotify.unwatch_below([point])
            self.agenda.note(point, now, deep=True)
        before.close()

    # --- after a look -------------------------------------------------------------------------

    def looked(self, due: Due, changed: Iterable[bytes], cost: float) -> None:
        """Note that what was due was looked at; what is quiet again is watched, and looked at."""
        now = self.clock()
        for path in self.agenda.looked(due, changed, now, cost):
            if self._watch(path) == "":
                self.agenda.note(path, now)

    def put_back(self, due: Due) -> None:
        """Put what could not be looked at on the agenda again."""
        now = self.clock()
        for path in due.shallow:
            self.agenda.note(path, now)
        for path in due.deep:
            self.agenda.note(path, now, deep=True)

    # --- the canary ---------------------------------------------------------------------------

    def sing(self) -> None:
        """Change a file of our own: if that is not heard, nothing is, and we begin anew."""
        if self._inotify is None:
            # There may be an instance by now.
            self._start()
            return
        canary = self._config.state.directory / "state" / "canary"
        try:
            canary.mkdir(mode=0o700, exist_ok=True)
            if _CANARY not in self._inotify:
                descriptor = os.open(canary, PASS_DIRECTORY)
                try:
                    if self._inotify.watch(_CANARY, descriptor):
                        return
                finally:
                    os.close(descriptor)
            (canary / "sign").touch()
        except OSError:
            # A full disk, or a directory of another user's: then there is no canary.
            return
        self._sung_at = self._sung_at or self.clock()


def _user_limit() -> int:
    try:
        return int(USER_LIMIT.read_text())
    except (OSError, ValueError):
        # Not to be read here: then the kernel says when there are no more.
        return 2 * MOST_WATCHES
