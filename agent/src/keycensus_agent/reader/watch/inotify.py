"""The kernel's word that something changed in a directory: a small adapter over watchdog's InotifyFD.

Of watchdog only `InotifyFD` is used: one descriptor and one thread, whatever the number of watches. Its
`Observer` takes a thread for each watch, and a mask under which every read of our own is an event.
What InotifyFD does not do, or does otherwise than one expects (held by contract tests, since it is no
documented interface):

1. A directory that may not be watched comes back as watch -1, and all of these share one record.
2. A callback that raises ends the thread without a word: ours only takes a note.
3. A watch stays with a directory that is moved, under its old path; an added one gives the same number again.
4. The descriptor would be inherited by the parser: it is closed on exec here.
5. The queue is read as fast as events come. Here it is read in batches, between which the kernel joins
   equal events: a file that is rewritten a thousand times a second costs ten looks a second.

A watch is placed on an open descriptor, by its name in /proc: a path could lead elsewhere by now.
Runs in the reader. Source: inotify(7).
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from watchdog.observers.inotify_c import (
    CallbackId,
    InotifyEvent,
    InotifyFD,
    Mask,
    WatchDescriptor,
)
from watchdog.observers.inotify_c import InotifyConstants as In

from keycensus_agent.reader.discovery.links import errno_name

# Content, names, modes and owners, and the directory itself. Not opens, reads and closes after reading:
# own reads would be events. EXCL_UNLINK: files that have no name any more are nobody's news.
MASK = Mask(
    In.IN_CREATE
    | In.IN_DELETE
    | In.IN_MOVED_FROM
    | In.IN_MOVED_TO
    | In.IN_CLOSE_WRITE
    | In.IN_ATTRIB
    | In.IN_DELETE_SELF
    | In.IN_MOVE_SELF
    | In.IN_ONLYDIR
    | In.IN_EXCL_UNLINK
)
# Pause between two looks at the queue: it holds 16,384 events, and this is nothing to who waits.
BATCH_SECONDS = 0.1
# Hints that are kept for a reader that is busy. More of them, and all watched directories are suspect.
HINT_LIMIT = 16_384


class Kind(Enum):
    """What a hint says of its path."""

    CHANGED = "changed"  # something in this watched directory
    ARRIVED = "arrived"  # this directory is new in a watched one, with whatever is in it
    LEFT = "left"  # this directory is no more in a watched one, or is another one
    UNWATCHED = "unwatched"  # the kernel dropped the watch: the directory is gone, or unmounted
    OVERFLOWED = "overflowed"  # events were lost; the path is empty


Hint = tuple[Kind, bytes]


@dataclass(slots=True, eq=False)
class _Watched:
    """The callback of one watched path (watchdog's WatchCallback)."""

    path: bytes
    id: CallbackId
    note: Callable[[Kind, bytes], None]
    forget: Callable[[_Watched], None]
    wd: WatchDescriptor = field(default=WatchDescriptor(-1))

    def on_event(self, event: InotifyEvent) -> None:
        """Note what an event says, in InotifyFD's thread."""
        mask = event.mask
        if mask & (In.IN_MOVE_SELF | In.IN_DELETE_SELF | In.IN_UNMOUNT):
            self.note(Kind.LEFT, self.path)
            return
        self.note(Kind.CHANGED, self.path)
        if not mask & In.IN_ISDIR or not event.name:
            return
        child = self.path.rstrip(b"/") + b"/" + event.name
        if mask & (In.IN_CREATE | In.IN_MOVED_TO):
            self.note(Kind.ARRIVED, child)
        elif mask & (In.IN_DELETE | In.IN_MOVED_FROM):
            self.note(Kind.LEFT, child)
        elif mask & In.IN_ATTRIB:
            self.note(Kind.CHANGED, child)

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """Note that the kernel dropped the watch."""
        del wd
        self.forget(self)

    def on_queue_overflow(self) -> None:
        """Note that events were lost."""
        self.note(Kind.OVERFLOWED, b"")


class _Batched(InotifyFD):
    """InotifyFD that looks at its queue ten times a second at most."""

    def run(self) -> None:
        while self.should_keep_running():
            for event in self.read_events():
                self.handle_event(event)
            self.stopped_event.wait(BATCH_SECONDS)


class Inotify:
    """Watches directories; hints are kept until `take`, and `wake` is called when there are some.

    OSError (EMFILE) if this user has no more inotify instances. `wake` is called in another thread
    and must not raise.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._lock = threading.Lock()
        # In which tenth of a second each was told last, and in how many of them.
        self._hints: dict[Hint, tuple[int, int]] = {}
        self._watched: dict[bytes, _Watched] = {}
        self._last_id = 0
        self._inotify = _Batched()
        descriptor = self._inotify._inotify_fd  # noqa: SLF001 - pinned; see the contract tests
        fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        self._inotify.start()

    def __len__(self) -> int:
        return len(self._watched)

    def __contains__(self, path: bytes) -> bool:
        return path in self._watched

    @property
    def paths(self) -> list[bytes]:
        """The watched paths, in no order."""
        return list(self._watched)

    @property
    def alive(self) -> bool:
        """Whether the thread still reads; without it nothing is heard."""
        return self._inotify.is_alive()

    def watch(self, path: bytes, descriptor: int) -> str:
        """Watch the directory open at `descriptor` as `path`; "" or why not, an errno name.

        A path that is watched already is watched anew, since another directory may be there now.
        """
        self.unwatch(path)
        # One id for each callback: paths that lead to one directory (bind mounts) share its watch.
        self._last_id += 1
        watched = _Watched(path, CallbackId(self._last_id), self._note, self._forget)
        # Before the watch: it may be dropped by the kernel in the same moment.
        self._watched[path] = watched
        try:
            watched.wd = self._inotify.add_callback(
                b"/proc/self/fd/%d" % descriptor, MASK, watched, watched.id
            )
        except OSError as error:
            del self._watched[path]
            return errno_name(error)
        if watched.wd == -1:
            self.unwatch(path)
            return "EACCES"
        return ""

    def unwatch(self, path: bytes) -> None:
        """Forget a path, and its watch with the last one that shares it."""
        watched = self._watched.pop(path, None)
        if watched is not None:
            self._inotify.remove_callbacks([(watched.wd, watched.id)])

    def unwatch_below(self, tops: Iterable[bytes]) -> None:
        """Forget directories that moved or went, and everything below them: a watch moves along."""
        tops = frozenset(tops)
        for path in self.paths:
            above = path
            while above not in tops and above not in (b"/", b""):
                above = above[: above.rfind(b"/")] or b"/"
            if above in tops:
                self.unwatch(path)

    def take(self) -> dict[Hint, int]:
        """Return the hints since the last call, in the order in which they came first.

        With each, in how many tenths of a second it was told: the reader may have been busy for long.
        """
        with self._lock:
            hints, self._hints = self._hints, {}
        return {hint: tenths for hint, (_, tenths) in hints.items()}

    def close(self) -> None:
        """End the thread and drop all watches."""
        self._watched.clear()
        self._inotify.stop()
        self._inotify.join()

    # --- in InotifyFD's thread ----------------------------------------------------------------

    def _note(self, kind: Kind, path: bytes) -> None:
        with self._lock:
            if len(self._hints) >= HINT_LIMIT:
                self._hints = {}
                kind, path = Kind.OVERFLOWED, b""
            first = not self._hints
            tenth = int(time.monotonic() * 10)
            last, tenths = self._hints.get((kind, path), (0, 0))
            self._hints[kind, path] = (tenth, tenths + (tenth != last))
        if first:
            self._wake()

    def _forget(self, watched: _Watched) -> None:
        # Not if the path is watched anew already, or forgotten.
        if self._watched.get(watched.path) is watched:
            del self._watched[watched.path]
            self._note(Kind.UNWATCHED, watched.path)
