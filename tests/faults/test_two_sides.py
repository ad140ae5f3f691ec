"""Agent and collector against a model, under whatever can befall the two and the line between them.

FAULTS.md 3, 10, 11, 12, 16, 17: sent, doubled, late, cut, restarted, lost, brought back from an older
copy, on either side and on both. All the while nothing is gone that was not removed (I2, I3), and no
other host's row moves (I7); in the end the inventory is the disk (I1), and takes news (I4).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from fakes.agent_stream import file_of, place_change, place_row
from fakes.two_sides import (
    NO_CUT,
    Counter,
    Cut,
    Host,
    check_exact,
    check_history,
    row_hashes,
    standing,
)
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import update

from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import place

CONTENTS = [b"leaf %d" % number for number in range(3)]
# Those below /kept are replaced and hidden, but never removed: none of them may ever be gone.
KEPT = [b"/kept/%d.pem" % number for number in range(3)]
PASSING = [b"/srv/%d.pem" % number for number in range(4)]
DIRECTORIES = [b"/kept", b"/srv"]
# Not for what survives a power cut, but for how many examples a minute has.
MEMORY = Path("/dev/shm")  # noqa: S108 - a directory of its own is made below
CUTS = st.builds(
    Cut, requests=st.integers(0, 14), responses=st.just(1_000_000), late=st.booleans()
) | st.builds(Cut, requests=st.just(1_000_000), responses=st.integers(0, 10))


def empty_database() -> Path:
    """Make a database once: migrating takes longer than an example."""
    directory = Path(tempfile.gettempdir()) / f"keycensus-two-sides-{os.getpid()}"
    database = directory / "collector.db"
    if not database.exists():
        directory.mkdir(exist_ok=True)
        with Store.create(f"sqlite:///{database}"):
            pass
    return database


class TwoSides(RuleBasedStateMachine):
    """See the module's text."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        here = Path(self.directory.name)
        self.counter = Counter(here, empty_database())
        self.host = Host(here / "agent")
        self.state_copies: list[Path] = []
        self.copies = 0
        self.database_copies: list[Path] = []
        self.neighbour = self.counter.desk.enrol("two")
        file = file_of(b"neighbour")

        async def report() -> None:
            line = await self.counter.desk.connect(self.neighbour)
            await self.neighbour.offer(line, file)
            change = place_change(b"/kept/0.pem", place_row(b"/kept/0.pem", file.manifest))
            await self.neighbour.send_batch(line, change, complete=True)
            await line.leave()

        self.counter.run(report())
        self.neighbours_rows = {b"/kept/0.pem": file.manifest}
        for path in KEPT:
            self.host.disk.write(path, CONTENTS[0])

    # --- the host ---------------------------------------------------------------------------------

    @rule(path=st.sampled_from(KEPT + PASSING), content=st.sampled_from(CONTENTS))
    def write(self, path: bytes, content: bytes) -> None:
        self.host.disk.write(path, content)

    @rule(path=st.sampled_from(PASSING))
    def remove(self, path: bytes) -> None:
        self.host.disk.remove(path)

    @rule(directory=st.sampled_from(DIRECTORIES))
    def hide(self, directory: bytes) -> None:
        self.host.disk.hidden ^= {directory}

    # --- the agent --------------------------------------------------------------------------------

    @rule(whole=st.booleans())
    def sweep(self, whole: bool) -> None:  # noqa: FBT001 - as hypothesis draws it
        self.host.sweep(whole=whole)

    @rule()
    def report(self) -> None:
        self.host.talk(self.counter, NO_CUT)

    @rule(cut=CUTS)
    def report_in_part(self, cut: Cut) -> None:
        self.host.talk(self.counter, cut)

    @rule(days=st.sampled_from([1, 40]))
    def wait(self, days: int) -> None:
        self.host.now_ms += days * 86_400_000
        self.counter.desk.clock.advance(days * 86_400)

    @rule()
    def restart_agent(self) -> None:
        self.host.stop()
        self.host.start()

    @rule()
    def lose_state(self) -> None:
        self.host.lose_state()

    @rule()
    def copy_state(self) -> None:
        self.copies += 1
        to = Path(self.directory.name) / f"state-{self.copies}"
        self.state_copies.append(self.host.copy(to))

    @precondition(lambda self: self.state_copies)
    @rule(data=st.data())
    def restore_state(self, data: st.DataObject) -> None:
        """Go back, and never forth again: a state that returns after an older one is a clone's."""
        at = data.draw(st.integers(0, len(self.state_copies) - 1))
        del self.state_copies[at + 1 :]
        self.host.restore(self.state_copies[at])

    # --- the collector and the line ---------------------------------------------------------------

    @rule()
    def restart_collector(self) -> None:
        self.counter.restart()

    @rule()
    def copy_database(self) -> None:
        to = Path(self.directory.name) / f"database-{len(self.database_copies)}"
        self.database_copies.append(self.counter.copy(to))

    @precondition(lambda self: self.database_copies)
    @rule(data=st.data())
    def restore_database(self, data: st.DataObject) -> None:
        self.counter.restore(data.draw(st.sampled_from(self.database_copies)))

    @precondition(lambda self: self.counter.late)
    @rule()
    def arrive_late(self) -> None:
        self.counter.deliver_late()

    # --- what holds -------------------------------------------------------------------------------

    @invariant()
    def nothing_is_invented_and_nothing_wrongly_gone(self) -> None:
        check_history(self.counter.desk, self.counter.peer.host_no, self.host.disk)

    @invariant()
    def another_host_is_left_alone(self) -> None:
        assert standing(self.counter.desk, self.neighbour.peer.host_no) == self.neighbours_rows

    def teardown(self) -> None:
        try:
            self.host.disk.hidden.clear()
            self.host.settle(self.counter)
            check_exact(self.counter, self.host)
            self.host.disk.write(b"/srv/news.pem", CONTENTS[1])
            self.host.sweep()
            assert self.host.talk(self.counter).ok
            check_exact(self.counter, self.host)
            self.nothing_is_invented_and_nothing_wrongly_gone()
        finally:
            self.host.stop()
            self.counter.close()
            self.directory.cleanup()


TestTwoSides = pytest.mark.timeout(7200)(pytest.mark.slow(TwoSides.TestCase))
TestTwoSides.settings = settings(
    max_examples=int(os.environ.get("KEYCENSUS_EXAMPLES", "12")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path, empty_database())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path / "agent")
    for path in KEPT:
        host.disk.write(path, CONTENTS[0])
    return host


def test_a_state_from_before_removes_nothing_that_it_does_not_know(
    counter: Counter, host: Host, tmp_path: Path
) -> None:
    """The copy says `complete`, and lacks a file: its list, believed, would remove the file."""
    host.sweep()
    assert host.talk(counter).ok
    old = host.copy(tmp_path / "old")
    host.disk.write(b"/kept/new.pem", CONTENTS[1])
    host.sweep()
    assert host.talk(counter).ok
    host.restore(old)
    for _ in range(3):
        assert host.talk(counter).ok
        check_history(counter.desk, counter.peer.host_no, host.disk)
        assert b"/kept/new.pem" in standing(counter.desk, counter.peer.host_no)
    host.settle(counter)
    check_exact(counter, host)


def test_a_file_that_the_older_state_never_knew_goes_when_it_is_not_there(
    counter: Counter, host: Host, tmp_path: Path
) -> None:
    host.sweep()
    assert host.talk(counter).ok
    old = host.copy(tmp_path / "old")
    host.disk.write(b"/srv/short.pem", CONTENTS[1])
    host.sweep()
    assert host.talk(counter).ok
    host.disk.remove(b"/srv/short.pem")
    host.restore(old)
    host.settle(counter, rounds=1)
    check_exact(counter, host)


def test_a_database_from_before_is_made_whole_again(
    counter: Counter, host: Host, tmp_path: Path
) -> None:
    host.sweep()
    assert host.talk(counter).ok
    old = counter.copy(tmp_path / "old.db")
    host.disk.write(KEPT[0], CONTENTS[1])
    host.disk.write(b"/srv/short.pem", CONTENTS[1])
    host.sweep()
    assert host.talk(counter).ok
    counter.restore(old)
    outcome = host.talk(counter)
    assert outcome.ok
    assert outcome.changes >= 4, "everything is sent again under a new instance"
    check_exact(counter, host)


def test_both_sides_from_before_end_with_what_the_disk_has(
    counter: Counter, host: Host, tmp_path: Path
) -> None:
    host.sweep()
    assert host.talk(counter).ok
    old_state, old_database = host.copy(tmp_path / "old"), counter.copy(tmp_path / "old.db")
    host.disk.write(b"/srv/short.pem", CONTENTS[1])
    host.sweep()
    assert host.talk(counter).ok
    host.disk.remove(b"/srv/short.pem")
    host.disk.write(KEPT[1], CONTENTS[2])
    host.restore(old_state)
    counter.restore(old_database)
    host.settle(counter, rounds=2)
    check_exact(counter, host)


def test_a_state_that_is_lost_while_a_directory_is_hidden_removes_nothing_below_it(
    counter: Counter, host: Host
) -> None:
    host.sweep()
    assert host.talk(counter).ok
    host.disk.hidden.add(b"/kept")
    host.lose_state()
    host.settle(counter, rounds=2)
    check_history(counter.desk, counter.peer.host_no, host.disk)
    assert set(standing(counter.desk, counter.peer.host_no)) == set(KEPT)
    host.disk.hidden.clear()
    host.settle(counter, rounds=1)
    check_exact(counter, host)


def test_rows_that_a_fault_of_the_collectors_own_changed_are_right_again_within_a_day(
    counter: Counter, host: Host
) -> None:
    host.sweep()
    assert host.talk(counter).ok
    with counter.desk.store.write() as connection:
        mine = place.c.host_no == counter.peer.host_no
        connection.execute(
            update(place).where(mine, place.c.path == "/kept/0.pem").values(row_hash=bytes(32))
        )
        connection.execute(
            update(place)
            .where(mine, place.c.path == "/kept/1.pem")
            .values(path="/nowhere", path_hash=bytes(32))
        )
    host.disk.removed.add(b"/nowhere")
    counter.desk.clock.advance(1)
    assert host.talk(counter).ok
    assert row_hashes(counter.desk, counter.peer.host_no)[bytes(32)], "not yet"
    host.settle(counter, rounds=2)
    check_exact(counter, host)


def test_histories_that_parted_at_the_same_number_are_told_apart_by_the_digest(
    counter: Counter, host: Host, tmp_path: Path
) -> None:
    """Both sides go back to batch n, write another n + 1, and one is set forward to the first."""
    host.sweep()
    assert host.talk(counter).ok
    old_state, old_database = host.copy(tmp_path / "old"), counter.copy(tmp_path / "old.db")
    host.disk.write(KEPT[0], CONTENTS[1])
    host.sweep()
    assert host.talk(counter).ok
    first = counter.copy(tmp_path / "first.db")
    counter.restore(old_database)
    host.restore(old_state)
    host.disk.write(KEPT[0], CONTENTS[2])
    host.sweep()
    assert host.talk(counter).ok
    counter.restore(first)
    host.settle(counter, rounds=2)
    check_exact(counter, host)
