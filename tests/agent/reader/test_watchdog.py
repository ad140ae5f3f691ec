"""Where the reader waits for a disk that does not answer: told while it waits, and when it goes on."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from fakes.certificates import Leaf
from faults.kit.fuse import SilentFileSystem

from keycensus_agent.commands import status
from keycensus_agent.config import Config, ScanSettings, StateSettings
from keycensus_agent.reader.service import ReaderService
from keycensus_agent.reader.state import State
from keycensus_agent.reader.status_file import StatusBoard, read_status
from keycensus_agent.reader.watchdog import Watchdog
from keycensus_agent.reader.whereabouts import Whereabouts

SECONDS = 100


class Listener:
    """Takes in what a watchdog tells, and wakes who waits for it."""

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.waits = threading.Event()
        self.goes_on = threading.Event()

    def __call__(self, path: bytes, _seconds: float) -> None:
        self.told.append(path)
        (self.waits if path else self.goes_on).set()


def dog(listener: Listener, here: Whereabouts) -> Watchdog:
    return Watchdog(listener, patience=0.01, every=0.001, here=here)


def test_a_visit_that_lasts_is_told_and_that_it_is_over() -> None:
    here, listener = Whereabouts(), Listener()
    with dog(listener, here):
        here.at = (b"/mnt", "stuck\udcff")
        assert listener.waits.wait(SECONDS)
        here.at = None
        assert listener.goes_on.wait(SECONDS)
    assert set(listener.told) == {b"/mnt/stuck\xff", b""}


def test_that_it_is_over_is_told_at_the_end_at_the_latest() -> None:
    here, listener = Whereabouts(), Listener()
    with dog(listener, here):
        here.at = (b"/mnt", "")
        assert listener.waits.wait(SECONDS)
    assert listener.told[-1] == b""
    assert set(listener.told) == {b"/mnt", b""}


def test_one_within_another_is_one_watchdog_and_one_thread() -> None:
    here, listener = Whereabouts(), Listener()
    outer = dog(listener, here)
    before = threading.active_count()
    with outer:
        with outer:
            assert threading.active_count() == before + 1
        here.at = (b"/mnt", "")
        assert listener.waits.wait(SECONDS)
    assert threading.active_count() == before


def test_who_goes_on_is_left_alone() -> None:
    here, listener = Whereabouts(), Listener()
    watchdog = Watchdog(listener, patience=SECONDS, every=0.001, here=here)
    with watchdog:
        for number in range(2000):
            here.at = (b"/mnt", str(number))
    assert listener.told == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts and devices are root's")
def test_a_file_system_that_looks_local_and_does_not_answer_stands_in_the_status(
    tmp_path: Path,
) -> None:
    """A real FUSE whose server is silent: the sweep hangs there, is told, and goes on when it ends."""
    root, agent = tmp_path / "root", tmp_path / "agent"
    (root / "mnt/stuck").mkdir(parents=True)
    (root / "srv").mkdir()
    (root / "srv/site.pem").write_bytes(Leaf("site.example").pem)
    config = Config(scan=ScanSettings(root=os.fsencode(root)), state=StateSettings(directory=agent))
    found: list[bytes] = []
    written, answered = threading.Event(), threading.Event()

    def sweep() -> None:
        state = State.open(config.state_database)
        service = ReaderService(config, state)
        board = StatusBoard(service)

        def tell(path: bytes, seconds: float) -> None:
            board.waiting(path, seconds)
            (written if path else answered).set()

        service.watchdog = Watchdog(tell, patience=0.05, every=0.01)
        service.sweep()
        found.extend(path for (path,) in state.connection.execute("SELECT path FROM place"))
        state.close()

    reader = threading.Thread(target=sweep)
    with SilentFileSystem(root / "mnt/stuck", "fuse.bindfs"):
        reader.start()
        assert written.wait(SECONDS)
        said = read_status(agent)
        assert said is not None
        assert said["waiting"]["path"] == "/mnt/stuck"
        shown = json.loads(json.dumps(said)) | {"running": True, "enrolled": True}
        assert any(
            name == "waiting" and "/mnt/stuck" in text for name, text in status._lines(shown)
        )
    reader.join(SECONDS)
    assert not reader.is_alive()
    assert found == [b"/srv/site.pem"]
    assert answered.is_set()
    said = read_status(agent)
    assert said is not None
    assert said["waiting"] is None
