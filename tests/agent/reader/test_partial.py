"""Looks at parts of the disk: what changed there is noted, and the rest stays as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.certificates import Leaf

from keycensus_agent.config import Config, ScanSettings, StateSettings
from keycensus_agent.model import Cause, RowClass
from keycensus_agent.reader.convert import gap_of, place_of
from keycensus_agent.reader.partial import Parts
from keycensus_agent.reader.service import Look, ReaderService
from keycensus_agent.reader.state import State


class Machine:
    """A root directory that was swept once, with an agent's state beside it."""

    def __init__(self, work: Path, roots: tuple[bytes, ...] = (b"/",)) -> None:
        self.root = work / "root"
        (self.root / "srv").mkdir(parents=True)
        config = Config(
            scan=ScanSettings(root=os.fsencode(self.root), roots=roots, exclude=(b"*.bak",)),
            state=StateSettings(directory=work / "agent"),
        )
        self.state = State.open(config.state_database)
        self.service = ReaderService(config, self.state)

    def write(self, path: str, content: bytes = b"") -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content or Leaf(path).pem)
        return file

    def settle(self) -> None:
        assert self.service.sweep().complete
        self.state.connection.execute("DELETE FROM outbox")

    def look(
        self, *shallow: str, deep: tuple[str, ...] = (), watched: tuple[str, ...] = ()
    ) -> Look:
        return self.service.look(
            Parts(
                tuple(map(os.fsencode, shallow)),
                tuple(map(os.fsencode, deep)),
                tuple(map(os.fsencode, watched)),
            )
        )

    def places(self) -> dict[str, str]:
        """Each place with what it leads to, if it is a link."""
        return {
            os.fsdecode(path): os.fsdecode(place_of(row).target)
            for path, row in self.state.connection.execute("SELECT path, row FROM place")
        }

    def gaps(self) -> set[tuple[str, str]]:
        rows = self.state.connection.execute("SELECT row FROM gap").fetchall()
        gaps = [gap_of(row) for (row,) in rows]
        return {(os.fsdecode(gap.prefix), gap.reason) for gap in gaps}


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.state.close()


def test_what_changed_in_a_directory_is_noted_and_the_rest_is_not_looked_at(
    machine: Machine,
) -> None:
    machine.write("srv/a/one.pem")
    machine.write("srv/b/two.pem")
    machine.settle()
    machine.write("srv/a/three.pem")
    (machine.root / "srv/a/one.pem").unlink()
    machine.write("srv/b/four.pem")
    look = machine.look("/srv/a")
    assert set(machine.places()) == {"/srv/a/three.pem", "/srv/b/two.pem"}
    assert look.changes == 2
    assert look.changed == {b"/srv/a"}
    pending = machine.service.outbox.next_pending(0, batch_bytes=1 << 19)
    assert pending is not None
    assert {change.cause for change in pending.changes} == {Cause.CONTENT}
    assert not machine.look("/srv/a").changed


def test_a_directory_that_is_new_in_one_is_looked_at_with_all_that_is_below(
    machine: Machine,
) -> None:
    machine.settle()
    machine.write("srv/new/deep/er/key.pem")
    machine.look("/srv")
    assert set(machine.places()) == {"/srv/new/deep/er/key.pem"}


def test_new_directories_are_entered_before_they_are_listed(machine: Machine) -> None:
    machine.settle()
    machine.write("srv/new/one.pem")
    entered: list[bytes] = []

    def enter(path: bytes) -> None:
        # What comes now is heard by who enters; what was there before is found.
        entered.append(path)
        if path == b"/srv/new/below":
            machine.write("srv/new/below/late.pem")

    (machine.root / "srv/new/below").mkdir()
    machine.service.look(Parts(deep=(b"/srv/new",)), entering=enter)
    assert entered == [b"/srv/new", b"/srv/new/below"]
    assert set(machine.places()) == {"/srv/new/one.pem", "/srv/new/below/late.pem"}


def test_a_directory_that_was_there_for_a_moment_leaves_no_ghost(machine: Machine) -> None:
    machine.settle()
    machine.write("srv/moment/one.pem")
    # The directory itself has its turn before the one above it, in which it never was, then.
    machine.look(deep=("/srv/moment",))
    shutil.rmtree(machine.root / "srv/moment")
    machine.look("/srv")
    assert machine.places() == {}
    (machine.root / "srv/again").mkdir()

    def go(path: bytes) -> None:
        # It goes while it is walked.
        if path == b"/srv/again/below":
            (machine.root / "srv/again").rename(machine.root / "srv/other")

    machine.write("srv/again/below/two.pem")
    machine.service.look(Parts(deep=(b"/srv/again",)), entering=go)
    machine.look("/srv")
    machine.service.sweep()
    assert set(machine.places()) == {"/srv/other/below/two.pem"}


@pytest.mark.parametrize("how", ["shallow", "deep"])
def test_of_a_directory_that_is_gone_the_one_above_tells(machine: Machine, how: str) -> None:
    machine.write("srv/gone/below/one.pem")
    machine.write("srv/stays.pem")
    machine.settle()
    shutil.rmtree(machine.root / "srv/gone")
    gone = "/srv/gone/below"
    machine.look(*[gone] * (how == "shallow"), deep=(gone,) * (how == "deep"))
    assert set(machine.places()) == {"/srv/stays.pem"}


def test_a_link_elsewhere_follows_what_it_leads_to(machine: Machine) -> None:
    target = machine.write("srv/a/one.pem")
    (machine.root / "etc").mkdir()
    (machine.root / "etc/link.pem").symlink_to("../srv/a/one.pem")
    machine.settle()
    target.chmod(0o640)
    assert machine.look("/srv/a").changes == 2
    target.unlink()
    machine.look("/srv/a")
    assert machine.places() == {}


def test_a_swap_of_a_directory_link_is_seen_in_its_own_directory(machine: Machine) -> None:
    for version in ("1", "2"):
        machine.write(f"srv/pod/..{version}/tls.pem", Leaf(version).pem)
    pod = machine.root / "srv/pod"
    (pod / "..data").symlink_to("..1")
    (pod / "tls.pem").symlink_to("..data/tls.pem")
    machine.settle()
    (pod / "..data_tmp").symlink_to("..2")
    (pod / "..data_tmp").rename(pod / "..data")
    assert machine.look("/srv/pod").changes == 1
    assert machine.places()["/srv/pod/tls.pem"] == "/srv/pod/..2/tls.pem"


def test_a_link_that_led_nowhere_is_a_place_when_its_file_comes(machine: Machine) -> None:
    (machine.root / "etc").mkdir()
    (machine.root / "etc/link.pem").symlink_to("../srv/a.pem")
    machine.settle()
    machine.write("srv/a.pem")
    machine.look("/srv", watched=("/etc", "/never-listed"))
    assert machine.places() == {"/srv/a.pem": "", "/etc/link.pem": "/srv/a.pem"}


def test_a_link_that_was_removed_elsewhere_is_left_to_its_own_directory(machine: Machine) -> None:
    machine.write("srv/a.pem")
    (machine.root / "etc").mkdir()
    (machine.root / "etc/link.pem").symlink_to("../srv/a.pem")
    machine.settle()
    (machine.root / "etc/link.pem").unlink()
    machine.look("/srv")
    assert set(machine.places()) == {"/srv/a.pem", "/etc/link.pem"}
    machine.look("/etc")
    assert set(machine.places()) == {"/srv/a.pem"}


@pytest.mark.parametrize(
    "before", [b"", b"no certificate, but a text as long as one would be\n" * 3]
)
def test_a_file_that_changed_is_looked_at_under_its_other_names(
    machine: Machine, before: bytes
) -> None:
    file = machine.write("srv/a/one.pem", before)
    for place in ("srv/b", "etc"):
        (machine.root / place).mkdir()
        (machine.root / place / "twin.pem").hardlink_to(file)
    machine.settle()
    leaf = Leaf("new.example")
    file.write_bytes(leaf.pem)
    changes = machine.look("/srv/a", watched=("/etc", "/srv/b")).changes
    assert changes == 3
    assert set(machine.places()) == {"/srv/a/one.pem", "/srv/b/twin.pem", "/etc/twin.pem"}
    assert machine.service.sweep().changes == 0


def test_gaps_come_and_go_with_what_shows_them_and_others_stay(machine: Machine) -> None:
    machine.write("srv/old.bak")
    machine.write("etc/old.bak")
    machine.settle()
    assert machine.gaps() == {("/srv/old.bak", "excluded"), ("/etc/old.bak", "excluded")}
    machine.write("srv/new/other.bak")
    machine.look(deep=("/srv/new",))
    assert ("/srv/new/other.bak", "excluded") in machine.gaps()
    (machine.root / "srv/new/other.bak").unlink()
    machine.look(deep=("/srv/new",))
    assert machine.gaps() == {("/srv/old.bak", "excluded"), ("/etc/old.bak", "excluded")}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_a_file_system_that_goes_is_a_gap_until_it_is_back(machine: Machine) -> None:
    def mount() -> None:
        subprocess.run(["mount", "-t", "tmpfs", "here", machine.root / "mnt"], check=True)

    (machine.root / "mnt").mkdir()
    mount()
    try:
        machine.write("mnt/one.pem")
        machine.settle()
        subprocess.run(["umount", machine.root / "mnt"], check=True)
        machine.look(deep=("/mnt",))
        assert machine.gaps() == {("/mnt", "unmounted")}
        assert set(machine.places()) == {"/mnt/one.pem"}
        mount()
        machine.look(deep=("/mnt",))
        assert machine.gaps() == set()
        assert machine.places() == {}
    finally:
        subprocess.run(["umount", machine.root / "mnt"], check=True)


def test_nothing_outside_of_what_is_searched_is_looked_at(tmp_path: Path) -> None:
    machine = Machine(tmp_path, roots=(b"/srv",))
    machine.settle()
    machine.write("etc/one.pem")
    shutil.rmtree(machine.root / "srv")
    machine.look("/etc", "/srv", deep=("/etc",))
    assert machine.places() == {}
    machine.state.close()


def test_a_look_in_the_middle_of_a_sweep_harms_neither(machine: Machine) -> None:
    machine.write("srv/a/one.pem")
    machine.write("srv/b/two.pem")
    machine.settle()
    machine.write("srv/a/three.pem")
    looked: list[Look] = []

    def pause() -> None:
        if not looked:
            (machine.root / "srv/b/two.pem").unlink()
            machine.write("srv/b/four.pem")
            looked.append(machine.look("/srv/b"))

    result = machine.service.sweep(pause)
    assert result.complete
    assert looked[0].changes == 2
    expected = {"/srv/a/one.pem", "/srv/a/three.pem", "/srv/b/four.pem"}
    assert set(machine.places()) == expected
    rows = machine.state.connection.execute("SELECT class FROM outbox").fetchall()
    assert rows.count((RowClass.PLACE.value,)) == 3
    assert machine.service.sweep().changes == 0
