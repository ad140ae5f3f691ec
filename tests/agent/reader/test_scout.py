"""A second process lists part of the disk; what it says is only ever a hint where to look."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.certificates import Leaf

from keycensus_agent.config import Config, ScanSettings, StateSettings
from keycensus_agent.model import Gap
from keycensus_agent.reader.division import recall_division, remember_division
from keycensus_agent.reader.equipment import equipped
from keycensus_agent.reader.memory import order_key
from keycensus_agent.reader.scout import Scout, Scouted, ScoutError, Task
from keycensus_agent.reader.service import ReaderService
from keycensus_agent.reader.state import State
from keycensus_agent.reader.sweep import Sweep


class Machine:
    """A tree of the host with two halves, `ours` and `theirs`."""

    def __init__(self, work: Path) -> None:
        self.tree = work / "tree"
        for half in ("ours", "theirs"):
            for number in range(5):
                self.write(f"{half}/{number}/{half}{number}.pem")
        (self.tree / "theirs/link.pem").symlink_to("0/theirs0.pem")
        self.state = State.open(work / "agent/state/state.db")
        config = Config(
            scan=ScanSettings(roots=(os.fsencode(self.tree),)),
            state=StateSettings(directory=work / "agent"),
        )
        self.service = ReaderService(config, self.state)
        assert self.service.sweep().complete
        self.state.connection.execute("DELETE FROM outbox")

    def write(self, name: str) -> Path:
        file = self.tree / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(Leaf(f"{name}.example").pem)
        return file

    def sweep(self, *, kill: bool = False) -> Sweep:
        """Sweep with a scout on `theirs`; with `kill` it dies at once."""
        root = os.fsencode(self.tree)
        scout = Scout(Task(roots=(root + b"/theirs",), exclude=(), own=(), network=False))
        if kill:
            scout._process.kill()
            scout._process.wait()
        service = self.service
        with equipped(
            service.config, self.state, service.outbox, lambda: False, parsers=service.parsers
        ) as equipment:
            sweep = service._new_sweep(equipment)
            for _ in sweep.run([root], scout):
                pass
        return sweep

    def names(self) -> set[str]:
        rows = self.state.connection.execute("SELECT path FROM place").fetchall()
        return {str(Path(os.fsdecode(path)).relative_to(self.tree)) for (path,) in rows}

    def on_disk(self) -> set[str]:
        return {str(path.relative_to(self.tree)) for path in self.tree.rglob("*.pem")}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.state.close()


def test_an_unchanged_disk_opens_nothing_and_counts_every_file_once(machine: Machine) -> None:
    sweep = machine.sweep()
    assert sweep.complete
    assert sweep.coverage.counters.get("files-opened", 0) == 0
    assert sweep.coverage.counters["files"] == 10
    assert sweep.coverage.counters["directories"] == 13
    assert machine.service.outbox.count() == 0


def test_what_changes_in_the_scouts_part_is_found(machine: Machine) -> None:
    machine.write("theirs/new/deeper/new.pem")
    machine.write("theirs/1/more.pem")
    (machine.tree / "theirs/2/theirs2.pem").unlink()
    shutil.rmtree(machine.tree / "theirs/3")
    machine.sweep()
    assert machine.names() == machine.on_disk()
    assert len(machine.names()) == 11


def test_the_scouts_tree_as_a_whole_may_go(machine: Machine) -> None:
    shutil.rmtree(machine.tree / "theirs")
    sweep = machine.sweep()
    assert sweep.complete
    assert machine.names() == machine.on_disk()
    assert sweep.coverage.gaps == []


def test_a_link_in_place_of_the_scouts_tree_is_no_tree(machine: Machine) -> None:
    shutil.rmtree(machine.tree / "theirs")
    (machine.tree / "theirs").symlink_to("ours")
    machine.sweep()
    assert machine.names() == {f"ours/{number}/ours{number}.pem" for number in range(5)}


@pytest.mark.parametrize("kill", [False, True])
def test_a_link_in_place_of_the_scouts_tree_leads_nobody_out_of_the_roots(
    machine: Machine, *, kill: bool
) -> None:
    outside = machine.tree.parent / "outside/below"
    outside.mkdir(parents=True)
    shutil.move(machine.tree / "theirs/0/theirs0.pem", outside)
    shutil.rmtree(machine.tree / "theirs")
    (machine.tree / "theirs").symlink_to(outside.parent)
    sweep = machine.sweep(kill=kill)
    assert machine.names() == {f"ours/{number}/ours{number}.pem" for number in range(5)}
    assert sweep.coverage.gaps == []
    assert sweep.coverage.counters["directories"] == 7


def test_a_link_in_the_scouts_part_follows_its_target(machine: Machine) -> None:
    link = machine.tree / "theirs/link.pem"
    link.unlink()
    link.symlink_to("1/theirs1.pem")
    machine.sweep()
    row = machine.state.connection.execute(
        "SELECT row FROM place WHERE path = ?", (os.fsencode(link),)
    ).fetchone()[0]
    assert b"1/theirs1.pem" in row


def test_a_scout_that_dies_is_made_up_for(machine: Machine) -> None:
    machine.write("theirs/new/new.pem")
    (machine.tree / "theirs/2/theirs2.pem").unlink()
    sweep = machine.sweep(kill=True)
    assert sweep.complete
    assert machine.names() == machine.on_disk()


def test_a_scout_sends_directories_and_gaps(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/secret").mkdir()
    task = Task((os.fsencode(tmp_path / "a"),), ("secret",), (), network=False)
    scout = Scout(task)
    news = list(scout.finish())
    scout.close()
    paths = {os.fsdecode(item.path) for item in news if isinstance(item, Scouted)}
    assert paths == {str(tmp_path / "a"), str(tmp_path / "a/b")}
    gaps = [item for item in news if isinstance(item, Gap)]
    assert [(gap.prefix, gap.reason) for gap in gaps] == [
        (os.fsencode(tmp_path / "a/secret"), "excluded")
    ]


def test_a_scout_that_breaks_off_is_told_from_one_that_is_through(tmp_path: Path) -> None:
    scout = Scout(Task((os.fsencode(tmp_path),), (), (), network=False))
    scout._process.kill()
    with pytest.raises(ScoutError):
        list(scout.finish())
    scout.close()


def fill(state: State, sizes: dict[bytes, int]) -> None:
    with state.transaction() as connection:
        connection.executemany(
            "INSERT INTO directory VALUES (?, x'00', x'01', ?)",
            [(order_key(path), size) for path, size in sizes.items()],
        )
        remember_division(state, len(sizes))


def test_the_disk_is_divided_into_halves_that_do_not_overlap() -> None:
    state = State.in_memory()
    sizes = {b"/": 10, b"/usr": 100, b"/srv": 10, b"/srv/only": 300_000}
    for name in (b"lib", b"share", b"bin", b"libexec"):
        sizes[b"/usr/" + name] = 1000
        for number in range(20):
            sizes[b"/usr/%s/%d" % (name, number)] = 20_000
    fill(state, sizes)
    roots = recall_division(state)
    weight = sum(
        size
        for path, size in sizes.items()
        if any(path == root or path.startswith(root + b"/") for root in roots)
    )
    assert 0.35 < weight / sum(sizes.values()) < 0.65
    for one in roots:
        assert not any(other.startswith(one + b"/") for other in roots)
    state.close()


def test_a_small_disk_is_not_divided() -> None:
    state = State.in_memory()
    fill(state, {b"/": 10, b"/etc": 1000})
    assert recall_division(state) == ()
    state.close()


def test_the_disk_is_divided_again_when_changes_have_added_up() -> None:
    state = State.in_memory()
    fill(state, {b"/": 10, **{b"/%03d" % number: 20_000 for number in range(128)}})
    before = recall_division(state)
    with state.transaction() as connection:
        connection.execute("UPDATE directory SET weight = 400000 WHERE path = ?", (before[0][1:],))
        remember_division(state, 1)
    assert recall_division(state) == before
    with state.transaction():
        remember_division(state, 2)
    assert recall_division(state) != before
    state.close()
