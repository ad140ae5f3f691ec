"""The contract with watchdog's InotifyFD and the kernel, on real directories."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.observers import inotify_c
from watchdog.observers.inotify_c import InotifyConstants as In
from watchdog.observers.inotify_c import InotifyEvent, Mask, WatchDescriptor

from keycensus_agent.reader.watch import inotify as module
from keycensus_agent.reader.watch.inotify import Hint, Inotify, Kind

SECONDS = 30.0


class Ears:
    """An adapter, and everything that it has told so far."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self.inotify = Inotify(self.woken.set)
        self.heard: list[Hint] = []

    def watch(self, path: Path, name: bytes = b"") -> str:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY)
        try:
            return self.inotify.watch(name or os.fsencode(path), descriptor)
        finally:
            os.close(descriptor)

    def listen(self) -> None:
        self.woken.clear()
        self.heard += self.inotify.take()

    def until(self, *hints: tuple[Kind, Path | bytes]) -> None:
        """Wait until all of these were told."""
        wanted = {(kind, os.fsencode(path)) for kind, path in hints}
        deadline = time.monotonic() + SECONDS
        while not wanted <= set(self.heard):
            assert time.monotonic() < deadline, (wanted, self.heard)
            self.woken.wait(1)
            self.listen()

    def silent_about(self, work: Callable[[], object], canary: Path) -> list[Hint]:
        """Do `work`, then something in a watched canary directory; return what was told before."""
        self.heard.clear()
        work()
        (canary / "sign").touch()
        self.until((Kind.CHANGED, canary))
        return [hint for hint in self.heard if hint != (Kind.CHANGED, os.fsencode(canary))]


@pytest.fixture
def ears() -> Iterator[Ears]:
    ears = Ears()
    yield ears
    ears.inotify.close()


@pytest.fixture
def place(tmp_path: Path, ears: Ears) -> Path:
    """Make and watch a directory with a file in it."""
    place = tmp_path / "place"
    place.mkdir()
    (place / "file").write_bytes(b"before")
    assert ears.watch(place) == ""
    return place


def replace(place: Path) -> None:
    (place.parent / "fresh").write_bytes(b"after")
    (place.parent / "fresh").rename(place / "file")


def link_anew(place: Path) -> None:
    (place / "new").symlink_to("elsewhere")
    (place / "new").rename(place / "link")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda place: (place / "new").write_bytes(b"x"), id="created"),
        pytest.param(lambda place: (place / "file").write_bytes(b"after"), id="rewritten"),
        pytest.param(replace, id="renamed-over"),
        pytest.param(lambda place: (place / "file").rename(place.parent / "out"), id="moved-out"),
        pytest.param(lambda place: (place / "file").unlink(), id="deleted"),
        pytest.param(lambda place: (place / "file").chmod(0o600), id="chmod"),
        pytest.param(lambda place: (place / "twin").hardlink_to(place / "file"), id="hard-link"),
        pytest.param(link_anew, id="link-retargeted"),
    ],
)
def test_every_change_of_a_file_is_told_as_its_directory(
    ears: Ears, place: Path, change: Callable[[Path], object]
) -> None:
    change(place)
    ears.until((Kind.CHANGED, place))


def test_directories_that_come_and_go_are_told_by_name(ears: Ears, place: Path) -> None:
    (place / "made").mkdir()
    (place.parent / "other").mkdir()
    (place.parent / "other").rename(place / "moved-in")
    ears.until((Kind.ARRIVED, place / "made"), (Kind.ARRIVED, place / "moved-in"))
    (place / "made").rmdir()
    (place / "moved-in").rename(place.parent / "moved-out")
    ears.until((Kind.LEFT, place / "made"), (Kind.LEFT, place / "moved-in"))


def test_own_reads_are_no_events(ears: Ears, place: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    ears.watch(canary)

    def read() -> None:
        for _ in range(10):
            assert (place / "file").read_bytes() == b"before"
            assert list(place.iterdir()) == [place / "file"]
            (place / "file").stat()

    assert ears.silent_about(read, canary) == []


def test_a_directory_that_goes_is_told_and_forgotten(ears: Ears, place: Path) -> None:
    shutil.rmtree(place)
    ears.until((Kind.LEFT, place), (Kind.UNWATCHED, place))
    assert os.fsencode(place) not in ears.inotify
    place.mkdir()
    assert ears.watch(place) == ""
    (place / "again").touch()
    ears.heard.clear()
    ears.until((Kind.CHANGED, place))


def test_a_watch_moves_along_and_is_the_same_one_under_the_new_path(
    ears: Ears, place: Path
) -> None:
    # The kernel gives the directory's own watch again: both names hear of it until one is forgotten.
    moved = place.rename(place.parent / "moved")
    ears.until((Kind.LEFT, place))
    assert ears.watch(moved) == ""
    (moved / "file").chmod(0o640)
    ears.until((Kind.CHANGED, moved))
    ears.inotify.unwatch_below([os.fsencode(place)])
    ears.heard.clear()
    (moved / "file").chmod(0o600)
    ears.until((Kind.CHANGED, moved))
    assert (Kind.CHANGED, os.fsencode(place)) not in ears.heard


def test_two_paths_of_one_directory_both_hear(ears: Ears, place: Path) -> None:
    assert ears.watch(place, b"/bind") == ""
    (place / "file").chmod(0o600)
    ears.until((Kind.CHANGED, place), (Kind.CHANGED, Path("/bind")))


def test_forgetting_takes_what_is_below_along_and_nothing_else(ears: Ears, tmp_path: Path) -> None:
    for name in ("a", "a/b", "a-b"):
        (tmp_path / name).mkdir()
        ears.watch(tmp_path / name)
    ears.inotify.unwatch_below([os.fsencode(tmp_path / "a")])
    assert ears.inotify.paths == [os.fsencode(tmp_path / "a-b")]


def test_a_refused_directory_is_told_and_shares_no_record(
    ears: Ears, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root is never refused, so the kernel's answer is played.
    def refused(*_: object) -> WatchDescriptor:
        ctypes.set_errno(errno.EACCES)
        return WatchDescriptor(-1)

    with monkeypatch.context() as patch:
        patch.setattr(inotify_c, "inotify_add_watch", refused)
        assert ears.watch(place.parent, b"/one") == ears.watch(place.parent, b"/two") == "EACCES"
    assert ears.inotify.paths == [os.fsencode(place)]
    assert -1 not in ears.inotify._inotify._watch_for_wd
    (place / "file").chmod(0o600)
    ears.until((Kind.CHANGED, place))


def test_what_is_no_directory_gets_no_watch(ears: Ears, place: Path) -> None:
    descriptor = os.open(place / "file", os.O_PATH)
    assert ears.inotify.watch(b"/file", descriptor) == "ENOTDIR"
    os.close(descriptor)
    assert ears.inotify.paths == [os.fsencode(place)]


def test_an_overflow_is_told_by_the_kernel_and_heard(ears: Ears, place: Path) -> None:
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    with ears.inotify._inotify._lock:
        # The thread waits for its lock; two files in turn, so that the kernel joins nothing.
        for _ in range(limit // 2 + 2048):
            (place / "file").chmod(0o600)
            (place / "..").chmod(0o700)
            os.utime(place)
            os.utime(place / "file")
    ears.until((Kind.OVERFLOWED, b""))


def test_hints_that_nobody_takes_become_an_overflow(
    ears: Ears, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HINT_LIMIT", 3)
    for number in range(6):
        (place / str(number)).mkdir()
    ears.until((Kind.OVERFLOWED, b""))


def test_the_descriptor_is_not_for_children(ears: Ears) -> None:
    descriptor = ears.inotify._inotify._inotify_fd
    assert fcntl.fcntl(descriptor, fcntl.F_GETFD) & fcntl.FD_CLOEXEC


def test_a_callback_that_raised_would_end_the_thread_and_that_is_seen(
    ears: Ears, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def fail() -> None:
        raise RuntimeError

    ears.inotify._wake = fail
    assert ears.inotify.alive
    (place / "file").chmod(0o600)
    ears.inotify._inotify.join(SECONDS)
    assert not ears.inotify.alive


def test_the_mask_asks_for_no_reads_and_the_event_is_as_expected() -> None:
    assert not module.MASK & (In.IN_ACCESS | In.IN_OPEN | In.IN_CLOSE_NOWRITE | In.IN_MODIFY)
    event = InotifyEvent(WatchDescriptor(1), Mask(In.IN_CREATE | In.IN_ISDIR), 0, b"name")
    assert (event.mask & In.IN_ISDIR, event.name) == (In.IN_ISDIR, b"name")


def test_closing_leaves_no_thread_and_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    ears = Ears()
    ears.watch(Path("/"))
    ears.inotify.close()
    assert not ears.inotify.alive
    assert len(list(Path("/proc/self/fd").iterdir())) == before
