"""Whatever becomes of the agent's state: it starts, nobody is needed, and the inventory is the disk.

FAULTS.md 16 and 17. The state here has all that one can hold: rows, gaps, blobs, what is acknowledged,
what was refused, a batch that was fixed and not acknowledged, and changes that wait.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.two_sides import Counter, Cut, Host, check_exact, check_history

from keycensus_collector.store.engine import Store

START_SECONDS = 5.0
# All of them: `make faults`.
SEEDS = range(int(os.environ.get("KEYCENSUS_SEEDS", "25")))
KEPT = [b"/kept/%d.pem" % number for number in range(8)]
PASSING = [b"/srv/%d.pem" % number for number in range(8)]


class Scene:
    """A host and its collector at one moment, to be damaged over and over."""

    def __init__(self, directory: Path) -> None:
        empty = directory / "empty.db"
        with Store.create(f"sqlite:///{empty}"):
            pass
        self.directory = directory
        self.counter = Counter(directory, empty)
        self.host = Host(directory / "agent")
        disk = self.host.disk
        for number, path in enumerate(KEPT + PASSING):
            disk.write(path, b"leaf %d" % (number % 5))
        disk.hidden.add(b"/hidden")
        self._report()
        self.older = self.host.copy(directory / "older")
        disk.write(b"/srv/only-later.pem", b"leaf 1")
        disk.remove(PASSING[0])
        self._report()
        self._leave_unfinished_business()
        # As after a kill -9: the log is there, and not all of it is in the database.
        self.killed = directory / "killed"
        shutil.copytree(self.host.directory, self.killed)
        self.closed = self.host.copy(directory / "closed")
        self.database = self.counter.copy(directory / "then.db")
        self.moment = self.host.now_ms

    def _report(self) -> None:
        self.host.sweep()
        assert self.host.talk(self.counter).ok

    def _leave_unfinished_business(self) -> None:
        host = self.host
        host.disk.write(PASSING[1], b"leaf 7")
        host.sweep()
        assert not host.talk(self.counter, Cut(responses=4)).ok
        host.disk.write(KEPT[0], b"leaf 8")
        host.disk.remove(PASSING[2])
        host.sweep()
        with host.state.transaction() as connection:
            connection.execute(
                "INSERT INTO refused SELECT 1, key, row_hash, 'quota' FROM place WHERE path = ?",
                (KEPT[0],),
            )
        assert host.outbox.fixed_batches()
        assert host.outbox.count() > 2

    def damage(self, how: Callable[[Path], None], *, killed: bool = False) -> None:
        """Damage a copy of the state, start on it, and see how it ends."""
        host, counter = self.host, self.counter
        host.stop()
        counter.restore(self.database)
        shutil.rmtree(host.directory)
        shutil.copytree(self.killed if killed else self.closed, host.directory)
        host.now_ms = self.moment
        how(host.directory)
        began = time.monotonic()
        host.start()
        assert time.monotonic() - began < START_SECONDS
        for _ in range(2):
            host.settle(counter, rounds=1)
            check_history(counter.desk, counter.peer.host_no, host.disk)
        check_exact(counter, host)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    scene = Scene(tmp_path_factory.mktemp("scene"))
    yield scene
    scene.host.stop()
    scene.counter.close()


def test_an_undamaged_state_is_the_control(scene: Scene) -> None:
    scene.damage(lambda _: None)
    assert scene.host.state.quarantined is None
    scene.damage(lambda _: None, killed=True)
    assert scene.host.state.quarantined is None


def test_a_deleted_state_is_made_again(scene: Scene) -> None:
    def delete(state: Path) -> None:
        shutil.rmtree(state)
        state.mkdir()

    scene.damage(delete)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_state_is_put_aside(scene: Scene, share: float) -> None:
    def cut(state: Path) -> None:
        database = state / "state.db"
        os.truncate(database, int(database.stat().st_size * share))

    scene.damage(cut)


def test_a_directory_in_its_place_is_put_aside(scene: Scene) -> None:
    def replace(state: Path) -> None:
        (state / "state.db").unlink()
        (state / "state.db" / "inside").mkdir(parents=True)

    scene.damage(replace)
    assert scene.host.state.quarantined is not None


def test_a_state_from_before_is_noticed(scene: Scene) -> None:
    def restore(state: Path) -> None:
        shutil.rmtree(state)
        shutil.copytree(scene.older, state)

    scene.damage(restore)


@pytest.mark.parametrize("share", [None, 0.0, 0.3, 0.9])
def test_a_log_that_is_gone_or_cut_takes_the_state_back_and_no_further(
    scene: Scene, share: float | None
) -> None:
    def cut(state: Path) -> None:
        log = state / "state.db-wal"
        assert log.stat().st_size > 0
        if share is None:
            log.unlink()
        else:
            os.truncate(log, int(log.stat().st_size * share))

    scene.damage(cut, killed=True)


def test_a_lock_file_with_nonsense_in_it_is_no_obstacle(scene: Scene) -> None:
    def scribble(state: Path) -> None:
        (state / "state.lock").write_bytes(b"\xff\0clean 1 2")

    scene.damage(scribble)


def flip(database: Path, seed: int) -> None:
    """Write up to 40 random bytes to random places; each third time one inside a stored row."""
    dice = random.Random(seed)  # noqa: S311 - damage, not secrets
    content = bytearray(database.read_bytes())
    if seed % 3 == 2:
        rows = [match.start() for match in re.finditer(rb"\.pem", content)]
        content[dice.choice(rows) - dice.randrange(-30, 60)] ^= 1 << dice.randrange(8)
    else:
        for _ in range(dice.randrange(1, 40)):
            content[dice.randrange(len(content))] = dice.randrange(256)
    database.write_bytes(content)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_bytes_flipped_anywhere_are_noticed_or_do_no_harm(scene: Scene) -> None:
    """Every second one in the log that a kill left."""
    aside = 0
    for seed in SEEDS:
        in_log = seed % 2 == 1
        name = "state.db-wal" if in_log else "state.db"
        try:
            scene.damage(
                lambda state, name=name, seed=seed: flip(state / name, seed),  # type: ignore[misc]
                killed=in_log,
            )
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        aside += scene.host.state.quarantined is not None
    print(f"{len(SEEDS)} seeds, {aside} states put aside")
    assert aside > 0


def test_damage_that_is_found_in_use_is_put_aside_by_the_next_start(scene: Scene) -> None:
    host = scene.host
    scene.damage(lambda _: None)
    host.state.condemn()
    host.stop()
    host.start()
    assert host.state.quarantined is not None
    host.settle(scene.counter, rounds=2)
    check_exact(scene.counter, host)
