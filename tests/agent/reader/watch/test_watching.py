"""Which directories are watched, and what goes on the agenda when they are not, or no more."""

from __future__ import annotations

import dataclasses
import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.certificates import Leaf
from watchdog.observers.inotify_c import CallbackId

from keycensus_agent.config import Config, ScanSettings, StateSettings
from keycensus_agent.reader.service import ReaderService
from keycensus_agent.reader.state import State
from keycensus_agent.reader.watch import watching as module
from keycensus_agent.reader.watch.agenda import CALM_SECONDS, NOISY_TENTHS, PROBE_SECONDS, Due
from keycensus_agent.reader.watch.inotify import Inotify, Kind, _Watched
from keycensus_agent.reader.watch.watching import Watching

SECONDS = 30.0


class Machine:
    """A root that was swept once, and the watches over it."""

    def __init__(self, work: Path) -> None:
        self.root = work / "root"
        for name in ("etc/app/tls", "etc/ssl/private", "var/log", "srv/skip.me"):
            (self.root / name).mkdir(parents=True)
        (self.root / "etc/app/tls/a.pem").write_bytes(Leaf("a").pem)
        (self.root / "srv/skip.me/b.pem").write_bytes(Leaf("b").pem)
        (self.root / "etc/ssl/link.pem").symlink_to("../../var/real.pem")
        (self.root / "var/real.pem").write_bytes(Leaf("c").pem)
        self.config = Config(
            scan=ScanSettings(root=os.fsencode(self.root), exclude=(b"*.me",)),
            state=StateSettings(directory=work / "agent"),
        )
        self.state = State.open(self.config.state_database)
        self.woken = threading.Event()
        self.now = 1000.0
        self.watching = Watching(self.woken.set, clock=lambda: self.now)

    def begin(self) -> None:
        service = ReaderService(self.config, self.state)
        assert service.sweep().complete
        self.watching.open(self.config)
        self.watching.choose(self.state)

    def take(self) -> Due:
        """Return what is on the agenda, at once."""
        self.now += 60
        return self.watching.agenda.due(self.now)

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while True:
            self.watching.hear()
            if holds():
                return
            assert time.monotonic() < deadline, self.watching
            self.woken.wait(0.2)
            self.woken.clear()

    def close(self) -> None:
        self.watching.close()
        self.state.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    machine.begin()
    yield machine
    machine.close()


def test_findings_targets_parents_and_known_places_are_watched_and_looked_at(
    machine: Machine,
) -> None:
    watched = set(machine.watching.watched)
    assert watched == {
        *(b"/", b"/etc", b"/etc/app", b"/etc/app/tls", b"/var", b"/etc/ssl"),
        *(b"/etc/ssl/private", b"/srv"),
    }
    assert set(machine.take().shallow) == watched
    machine.watching.choose(machine.state)
    assert not machine.take()


def test_what_is_excluded_or_made_up_by_the_kernel_gets_no_watch(machine: Machine) -> None:
    machine.take()
    for path in (b"/srv/skip.me", b"/srv/.snapshots", b"/gone"):
        machine.watching.enter(path)
    assert b"/srv/skip.me" not in machine.watching.watched
    everything = dataclasses.replace(machine.config, scan=ScanSettings())
    machine.watching.open(everything)
    for path in (b"/proc", b"/proc/self", b"/sys/kernel", b"/dev/pts"):
        machine.watching.enter(path)
    own = os.path.realpath(machine.config.state.directory)
    machine.watching.enter(os.fsencode(own) + b"/state")
    assert machine.watching.watched == ()
    assert machine.watching.refused == {}


def test_a_new_directory_is_watched_before_it_is_looked_at(machine: Machine) -> None:
    machine.take()
    (machine.root / "srv/new").mkdir()
    machine.until(lambda: b"/srv/new" in machine.watching.watched)
    assert machine.take().deep == (b"/srv/new",)


def test_a_directory_that_moves_takes_its_watches_with_it_and_they_go(machine: Machine) -> None:
    machine.take()
    (machine.root / "etc/app").rename(machine.root / "etc/other")
    machine.until(lambda: b"/etc/other" in machine.watching.watched)
    assert b"/etc/app/tls" not in machine.watching.watched
    due = machine.take()
    assert due.deep == (b"/etc/other",)
    assert b"/etc" in due.shallow


def test_lost_events_put_every_watched_directory_on_the_agenda(machine: Machine) -> None:
    machine.take()
    inotify = machine.watching._inotify
    assert inotify is not None
    inotify._note(Kind.OVERFLOWED, b"")
    machine.watching.hear()
    assert machine.watching.overflows == 1
    assert set(machine.take().shallow) == set(machine.watching.watched)


def test_when_there_are_no_more_watches_the_rest_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Inotify.watch

    def full(inotify: Inotify, path: bytes, descriptor: int) -> str:
        return "ENOSPC" if len(inotify) >= 3 else real(inotify, path, descriptor)

    monkeypatch.setattr(Inotify, "watch", full)
    machine.watching.open(machine.config)
    machine.watching.choose(machine.state)
    assert len(machine.watching.watched) == 3
    # The most important ones have theirs; each of the others that is there says why it has none.
    assert b"/etc/app/tls" in machine.watching.watched
    assert set(machine.watching.refused.values()) == {"ENOSPC"}


def test_a_budget_is_kept_and_the_newest_directories_have_their_turn(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_user_limit", lambda: 20)
    machine.watching.open(machine.config)
    machine.watching.choose(machine.state)
    for number in range(5):
        (machine.root / f"var/log/{number}").mkdir()
        machine.watching.enter(b"/var/log/%d" % number)
    watched = machine.watching.watched
    assert len(watched) == machine.watching.budget == 10
    assert {b"/var/log/3", b"/var/log/4", b"/etc/app/tls"} <= set(watched)


def test_without_an_instance_nothing_is_watched_until_there_is_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> Inotify:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(module, "Inotify", refused)
        machine.watching.open(machine.config)
        machine.watching.choose(machine.state)
        machine.watching.enter(b"/srv")
        machine.watching.hear()
        assert machine.watching.trouble == "EMFILE"
        assert machine.watching.watched == ()
    machine.watching.sing()
    machine.watching.choose(machine.state)
    assert machine.watching.trouble == ""
    assert b"/etc/app/tls" in machine.watching.watched


def test_a_canary_that_is_heard_is_well_and_one_that_is_not_has_it_begin_anew(
    machine: Machine,
) -> None:
    machine.watching.sing()
    machine.until(lambda: not machine.watching._sung_at)
    assert not any(b"\0" in path for path in machine.watching.watched)
    machine.take()
    inotify = machine.watching._inotify
    assert inotify is not None
    watched = set(machine.watching.watched)
    for path in inotify.paths:
        inotify.unwatch(path)
        inotify._watched[path] = inotify._watched.get(path) or deaf(path)
    machine.watching.sing()
    machine.now += module.CANARY_SECONDS + 1
    machine.watching.hear()
    assert machine.watching.restarts == 1
    assert set(machine.watching.watched) == watched
    assert set(machine.take().shallow) == watched


def deaf(path: bytes) -> _Watched:
    """Return the record of a watch that the kernel does not know of."""
    return _Watched(path, CallbackId(0), lambda *_: None, lambda _: None)


def test_a_directory_that_never_rests_is_polled_and_watched_again_when_it_does(
    machine: Machine,
) -> None:
    machine.take()
    agenda = machine.watching.agenda
    agenda.note(b"/srv", machine.now, tenths=round(NOISY_TENTHS))
    machine.watching.hear()
    assert b"/srv" not in machine.watching.watched
    due = machine.take()
    machine.watching.looked(due, [], 0.0)
    assert b"/srv" in machine.watching.watched
    # What came between the poll and the watch is seen, too.
    assert machine.take().shallow == (b"/srv",)


def test_what_could_not_be_looked_at_is_put_back(machine: Machine) -> None:
    machine.take()
    machine.watching.put_back(Due(shallow=(b"/srv",), deep=(b"/etc",)))
    assert machine.take() == Due(shallow=(b"/srv",), deep=(b"/etc",))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_mount_that_comes_or_goes_is_looked_at_with_all_that_is_below(machine: Machine) -> None:
    machine.take()
    point = machine.root / "srv"
    subprocess.run(["mount", "-t", "tmpfs", "here", point], check=True)
    try:
        machine.watching.mounts_changed()
        assert machine.take().deep == (b"/srv",)
        machine.watching.choose(machine.state)
        (point / "file").touch()
        machine.until(lambda: b"/srv" in machine.take().shallow)
    finally:
        machine.watching.close()
        subprocess.run(["umount", point], check=True)
    machine.watching.mounts_changed()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_mounts_that_are_not_searched_are_none_of_our_business(machine: Machine) -> None:
    machine.take()
    point = machine.root / "srv/skip.me"
    subprocess.run(["mount", "-t", "tmpfs", "here", point], check=True)
    try:
        machine.watching.mounts_changed()
        assert not machine.take()
    finally:
        subprocess.run(["umount", point], check=True)


def test_a_hint_is_told_of_what_changed_but_not_of_what_is_noisy(machine: Machine) -> None:
    machine.take()
    assert not machine.watching.hear()
    directory = machine.root / "etc/app/tls"

    def changes() -> bool:
        (directory / "a.pem").chmod(0o600)
        machine.woken.wait(SECONDS)
        machine.woken.clear()
        return machine.watching.hear()

    assert changes()
    machine.watching.agenda.note(b"/etc/app/tls", machine.now, tenths=int(NOISY_TENTHS))
    assert not changes()
    assert b"/etc/app/tls" not in machine.watching.watched
    # When it is quiet, a moment of listening tells.
    machine.now += PROBE_SECONDS
    machine.watching.hear()
    assert b"/etc/app/tls" in machine.watching.watched
    machine.now += CALM_SECONDS
    machine.watching.hear()
    assert b"/etc/app/tls" in machine.take().shallow
    assert machine.watching.agenda.noisy == []
