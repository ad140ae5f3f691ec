"""A sweep that was broken off is gone on with, and in the end all was seen as by one."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.certificates import Leaf
from hypothesis import given
from hypothesis import strategies as st

from keycensus_agent.config import Config, ScanSettings, StateSettings
from keycensus_agent.reader import progress as module
from keycensus_agent.reader.convert import place_of
from keycensus_agent.reader.progress import Progress, recall
from keycensus_agent.reader.service import ReaderService, SweepResult
from keycensus_agent.reader.state import State

TREES = ("etc/a", "etc/a/deep", "etc/b", "home/x", "opt", "srv/a-b", "srv/a/c", "var/z")
LEAVES = {tree: Leaf(tree).pem for tree in TREES}


class Machine:
    """A root with places, links across it, and an excluded file."""

    def __init__(self, work: Path) -> None:
        self.root = work / "root"
        for tree in TREES:
            (self.root / tree).mkdir(parents=True, exist_ok=True)
            (self.root / tree / "file.pem").write_bytes(LEAVES[tree])
        (self.root / "etc/a/early.pem").symlink_to("../../var/z/file.pem")
        (self.root / "var/z/late.pem").symlink_to("../../etc/b/file.pem")
        (self.root / "etc/a/old.bak").write_bytes(b"x")
        scan = ScanSettings(root=os.fsencode(self.root), exclude=(b"*.bak",))
        self.config = Config(scan=scan, state=StateSettings(directory=work / "agent"))
        self.state = State.open(self.config.state_database)
        self.restart()

    def restart(self) -> None:
        self.service = ReaderService(self.config, self.state)

    def sweep(self, *, stop_after: int = 1_000_000) -> SweepResult:
        """Sweep as the daemon does, and be asked to stop at the so many-th directory."""
        asked = 0

        def should_stop() -> bool:
            nonlocal asked
            asked += 1
            return asked > stop_after

        self.service.should_stop = should_stop
        result = self.service.sweep(go_on=True)
        self.restart()
        return result

    def places(self) -> dict[str, str]:
        return {
            os.fsdecode(path): os.fsdecode(place_of(row).target)
            for path, row in self.state.connection.execute("SELECT path, row FROM place")
        }

    def expected(self) -> dict[str, str]:
        files = dict.fromkeys((f"/{tree}/file.pem" for tree in TREES), "")
        return files | {
            "/etc/a/early.pem": "/var/z/file.pem",
            "/var/z/late.pem": "/etc/b/file.pem",
        }


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.state.close()


@pytest.mark.parametrize("stop_after", [1, 4, 8, 13])
def test_wherever_it_was_broken_off_it_goes_on_there_and_sees_all(
    machine: Machine, stop_after: int
) -> None:
    broken_off = machine.sweep(stop_after=stop_after)
    assert not broken_off.complete
    seen = recall(machine.state)
    assert seen is not None
    result = machine.sweep()
    assert result.complete
    assert machine.places() == machine.expected()
    # Nothing was seen twice, nothing left out.
    assert result.coverage.counters["directories"] == 14
    assert result.coverage.counters["files"] == len(TREES)
    assert [(gap.prefix, gap.reason) for gap in result.coverage.gaps] == [
        (b"/etc/a/old.bak", "excluded")
    ]
    assert recall(machine.state) is None
    assert machine.state.complete
    assert machine.sweep().changes == 0


def test_it_may_be_broken_off_again_and_again(machine: Machine) -> None:
    for _ in range(30):
        if machine.sweep(stop_after=2).complete:
            break
    assert machine.sweep(stop_after=1_000).complete
    assert machine.places() == machine.expected()


def test_what_was_seen_is_not_looked_at_again(machine: Machine) -> None:
    machine.sweep(stop_after=8)
    reached = recall(machine.state)
    assert reached is not None
    assert reached.path == b"/opt"
    result = machine.sweep()
    assert result.coverage.counters["files-opened"] == len(TREES)
    machine.sweep(stop_after=8)
    (machine.root / "etc/b/file.pem").unlink()
    assert machine.sweep().complete
    assert "/etc/b/file.pem" in machine.places()
    machine.sweep()
    assert "/etc/b/file.pem" not in machine.places()


def test_other_rules_and_old_beginnings_start_over(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.sweep(stop_after=8)
    machine.config = dataclasses.replace(
        machine.config, scan=dataclasses.replace(machine.config.scan, exclude=())
    )
    machine.restart()
    (machine.root / "etc/b/file.pem").unlink()
    machine.sweep()
    assert "/etc/b/file.pem" not in machine.places()
    machine.sweep(stop_after=8)
    (machine.root / "etc/a/file.pem").unlink()
    monkeypatch.setattr(module, "LONGEST_MS", -1)
    machine.sweep()
    assert "/etc/a/file.pem" not in machine.places()


def test_a_sweep_by_hand_starts_over(machine: Machine) -> None:
    machine.sweep(stop_after=8)
    (machine.root / "etc/b/file.pem").unlink()
    assert machine.service.sweep().complete
    assert "/etc/b/file.pem" not in machine.places()
    assert recall(machine.state) is None


def test_what_was_written_by_somebody_else_is_no_progress(machine: Machine) -> None:
    for document in (b"{}", b'{"rules": 1}', b'{"rules": "", "path": 7}', b"[]"):
        machine.state.put("sweep_progress", document)
        assert recall(machine.state) is None


NAMES = st.lists(st.sampled_from([b"a", b"a-b", b"b", b"\x01"]), max_size=4)


@given(NAMES, NAMES)
def test_a_directory_is_done_or_leads_on_or_is_on_the_way(
    left: list[bytes], right: list[bytes]
) -> None:
    path, other = b"/" + b"/".join(left), b"/" + b"/".join(right)
    progress = Progress("", path, 0, 0, 0)
    below = path.rstrip(b"/").startswith(other.rstrip(b"/") + b"/") or path == other
    if not progress.is_done(other):
        assert progress.leads_on(other)
    elif progress.leads_on(other):
        assert below
