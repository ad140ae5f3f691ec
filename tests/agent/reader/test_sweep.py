"""Sweeps over real trees: what changed is noted, what can't be seen is never taken for gone."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.certificates import Leaf

from keycensus_agent.config import Config, ScanSettings, StateSettings
from keycensus_agent.errors import ConfigurationError
from keycensus_agent.model import Cause, Place, RowClass
from keycensus_agent.reader import sweep
from keycensus_agent.reader.convert import place_of
from keycensus_agent.reader.partial import Parts
from keycensus_agent.reader.places import PlaceBuilder
from keycensus_agent.reader.report.convert import Change
from keycensus_agent.reader.service import ReaderService, SweepResult
from keycensus_agent.reader.state import State

# Root that is stopped by permissions like everybody else; without root, one is anyway.
WITHOUT_PRIVILEGE = (
    ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
)


class Machine:
    """A root directory with an agent's state beside it."""

    def __init__(self, work: Path) -> None:
        self.root = work / "root"
        (self.root / "etc").mkdir(parents=True)
        self.config = Config(
            scan=ScanSettings(root=os.fsencode(self.root)),
            state=StateSettings(directory=work / "agent"),
        )
        self.state = State.open(self.config.state_database)
        self.service = ReaderService(self.config, self.state)

    def write(self, path: str, content: bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def sweep(self, should_stop: Callable[[], bool] = lambda: False) -> SweepResult:
        self.service.should_stop = should_stop
        return self.service.sweep()

    def places(self) -> dict[str, Place]:
        return {
            path.decode(): place_of(row)
            for path, row in self.state.connection.execute("SELECT path, row FROM place")
        }

    def take_changes(self) -> list[Change]:
        """Return what the outbox holds of places, and empty it as an acknowledgement would."""
        pending = self.service.outbox.next_pending(0, batch_bytes=1 << 19)
        changes = [] if pending is None else list(pending.changes)
        self.state.connection.execute("DELETE FROM outbox")
        return [change for change in changes if change.row_class is RowClass.PLACE]

    def settle(self) -> None:
        """Sweep until everything is known and nothing waits."""
        assert self.sweep().complete
        self.take_changes()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    yield machine
    machine.state.close()


def paths(changes: list[Change]) -> set[str]:
    return {place_of(change.row).path.decode() for change in changes if change.row is not None}


def test_a_first_sweep_finds_what_is_there(machine: Machine) -> None:
    leaf = Leaf("a.example")
    machine.write("etc/ssl/a.pem", leaf.pem)
    machine.write("etc/ssl/a.key", leaf.key_pem).chmod(0o640)
    machine.write("etc/motd", b"nothing to see here, at all, in this text\n")
    result = machine.sweep()
    assert result.complete
    assert set(machine.places()) == {"/etc/ssl/a.pem", "/etc/ssl/a.key"}
    assert machine.places()["/etc/ssl/a.key"].facts.mode == 0o640
    assert {change.cause for change in machine.take_changes()} == {Cause.FIRST}


def test_a_sweep_without_change_opens_nothing_and_reports_nothing(machine: Machine) -> None:
    for number in range(20):
        machine.write(f"srv/{number}/site.pem", Leaf(f"{number}.example").pem)
        machine.write(f"srv/{number}/readme.txt", b"hello, this is a text without a marker\n" * 9)
    machine.settle()
    result = machine.sweep()
    assert result.coverage.counters.get("files-opened", 0) == 0
    assert result.coverage.counters["files"] == 40
    assert result.changes == 0
    assert machine.service.outbox.count() == 0


def test_what_appears_changes_and_goes_is_noted(machine: Machine) -> None:
    first, second = Leaf("first.example"), Leaf("second.example")
    file = machine.write("etc/ssl/site.pem", first.pem)
    other = machine.write("etc/ssl/other.pem", second.pem)
    machine.settle()
    file.write_bytes(second.pem)
    other.unlink()
    machine.write("opt/new/app.pem", first.pem)
    machine.sweep()
    changes = machine.take_changes()
    assert paths(changes) == {"/etc/ssl/site.pem", "/opt/new/app.pem"}
    assert [change.gone_reason for change in changes if change.row is None] == ["removed"]
    assert set(machine.places()) == {"/etc/ssl/site.pem", "/opt/new/app.pem"}


def test_a_change_of_mode_is_a_change_of_facts(machine: Machine) -> None:
    file = machine.write("etc/ssl/site.key", Leaf("a.example").key_pem)
    file.chmod(0o600)
    machine.settle()
    file.chmod(0o644)
    machine.sweep()
    changes = machine.take_changes()
    assert [change.cause for change in changes] == [Cause.FACTS]
    assert machine.places()["/etc/ssl/site.key"].facts.mode == 0o644


def test_a_file_that_no_longer_holds_anything_is_gone(machine: Machine) -> None:
    file = machine.write("etc/ssl/site.pem", Leaf("a.example").pem)
    machine.settle()
    file.write_bytes(b"the certificate moved to another place, see the wiki\n" * 3)
    machine.sweep()
    assert [change.gone_reason for change in machine.take_changes()] == ["holds-nothing"]
    assert machine.places() == {}


def test_a_removed_tree_takes_its_places_with_it(machine: Machine) -> None:
    machine.write("srv/a/b/c/site.pem", Leaf("a.example").pem)
    machine.write("srv/a/b/site.pem", Leaf("b.example").pem)
    machine.write("srv/ab/site.pem", Leaf("c.example").pem)
    machine.settle()
    shutil.rmtree(machine.root / "srv/a")
    machine.sweep()
    assert set(machine.places()) == {"/srv/ab/site.pem"}
    assert len(machine.take_changes()) == 2


def test_a_renamed_tree_moves_its_places(machine: Machine) -> None:
    machine.write("srv/old/x/site.pem", Leaf("a.example").pem)
    machine.settle()
    (machine.root / "srv/old").rename(machine.root / "srv/new")
    machine.sweep()
    assert set(machine.places()) == {"/srv/new/x/site.pem"}


def renew(machine: Machine, leaf: Leaf, number: int) -> None:
    machine.write(f"etc/letsencrypt/archive/a.example/fullchain{number}.pem", leaf.pem)
    machine.write(f"etc/letsencrypt/archive/a.example/privkey{number}.pem", leaf.key_pem)
    live = machine.root / "etc/letsencrypt/live/a.example"
    live.mkdir(parents=True, exist_ok=True)
    for name in ("fullchain", "privkey"):
        fresh = live / f"{name}.new"
        fresh.symlink_to(f"../../archive/a.example/{name}{number}.pem")
        fresh.rename(live / f"{name}.pem")


def test_a_certbot_renewal_is_one_change_at_the_live_place(machine: Machine) -> None:
    renew(machine, Leaf("a.example"), 1)
    machine.settle()
    renew(machine, Leaf("a.example"), 2)
    machine.sweep()
    live = "/etc/letsencrypt/live/a.example/fullchain.pem"
    changes = [
        place_of(change.row)
        for change in machine.take_changes()
        if change.row is not None and place_of(change.row).path.decode() == live
    ]
    assert len(changes) == 1
    assert changes[0].target == b"/etc/letsencrypt/archive/a.example/fullchain2.pem"
    places = machine.places()
    assert places[live].use == "live"
    assert places["/etc/letsencrypt/archive/a.example/fullchain1.pem"].use == "retained"
    assert places[live].manifest != (
        places["/etc/letsencrypt/archive/a.example/fullchain1.pem"].manifest
    )


def test_a_swap_of_a_directory_link_changes_what_leaf_links_lead_to(machine: Machine) -> None:
    for number in (1, 2):
        machine.write(f"vol/..2026_0{number}/tls.crt", Leaf(f"{number}.example").pem)
    (machine.root / "vol/..data").symlink_to("..2026_01")
    (machine.root / "vol/tls.crt").symlink_to("..data/tls.crt")
    machine.settle()
    before = machine.places()["/vol/tls.crt"]
    (machine.root / "vol/..new").symlink_to("..2026_02")
    (machine.root / "vol/..new").rename(machine.root / "vol/..data")
    machine.sweep()
    after = machine.places()["/vol/tls.crt"]
    assert after.manifest != before.manifest
    assert after.target == b"/vol/..2026_02/tls.crt"


def test_a_link_that_leads_nowhere_any_more_is_gone(machine: Machine) -> None:
    target = machine.write("srv/real.pem", Leaf("a.example").pem)
    (machine.root / "etc/link.pem").symlink_to("../srv/real.pem")
    machine.settle()
    assert set(machine.places()) == {"/srv/real.pem", "/etc/link.pem"}
    target.unlink()
    machine.sweep()
    assert machine.places() == {}


def test_what_is_never_opened_is_counted_as_such_and_its_changes_are_nobodys(
    machine: Machine,
) -> None:
    page = machine.write("usr/share/doc/x/index.html", b"<p>")
    counters = machine.sweep().coverage.counters
    assert counters["documentation-skipped"] == 1
    assert "too-small" not in counters
    page.write_bytes(Leaf("a.example").pem)
    counters = machine.sweep().coverage.counters
    assert (counters["files"], counters.get("files-opened")) == (1, None)
    page.rename(page.with_suffix(".pem"))
    machine.sweep()
    assert set(machine.places()) == {"/usr/share/doc/x/index.pem"}


def test_a_link_follows_a_target_that_a_sweep_stored_before_it_broke_off(machine: Machine) -> None:
    target = machine.write("srv/a.pem", Leaf("a.example").pem)
    (machine.root / "etc/l.pem").symlink_to("../srv/a.pem")
    machine.settle()
    machine.settle()
    before = machine.places()["/etc/l.pem"].manifest
    target.write_bytes(Leaf("b.example").pem)
    broken_off = machine.sweep(
        should_stop=lambda: machine.places()["/srv/a.pem"].manifest != before
    )
    assert not broken_off.complete
    assert machine.places()["/etc/l.pem"].manifest == before
    machine.sweep()
    places = machine.places()
    assert places["/etc/l.pem"].manifest == places["/srv/a.pem"].manifest != before


def test_a_link_turned_to_another_name_of_the_same_file_leads_there(machine: Machine) -> None:
    target = machine.write("srv/a.pem", Leaf("a.example").pem)
    (machine.root / "srv/b.pem").hardlink_to(target)
    link = machine.root / "etc/l.pem"
    link.symlink_to("../srv/a.pem")
    machine.settle()
    machine.settle()
    link.unlink()
    link.symlink_to("../srv/b.pem")
    machine.sweep()
    assert machine.places()["/etc/l.pem"].target == b"/srv/b.pem"


def test_a_link_turned_to_a_name_of_the_same_file_where_nobody_looks_is_no_place(
    machine: Machine,
) -> None:
    target = machine.write("srv/a.pem", Leaf("a.example").pem)
    machine.write("other/b.pem", b"").unlink()
    (machine.root / "other/b.pem").hardlink_to(target)
    link = machine.root / "etc/l.pem"
    link.symlink_to("../srv/a.pem")
    reconfigure(machine, roots=(b"/srv", b"/etc"))
    machine.settle()
    machine.settle()
    link.unlink()
    link.symlink_to("../other/b.pem")
    machine.sweep()
    assert set(machine.places()) == {"/srv/a.pem"}


@pytest.mark.parametrize("turned", [False, True])
def test_a_link_to_a_file_that_was_made_when_its_directory_had_been_seen_is_not_gone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, *, turned: bool
) -> None:
    monkeypatch.setattr(sweep, "DIRECTORIES_PER_TRANSACTION", 1)
    old = machine.write("archive/cert1.pem", Leaf("a.example").pem)
    link = machine.write("live/cert.pem", b"")
    link.unlink()
    link.symlink_to("../archive/cert1.pem")
    machine.settle()
    machine.settle()
    before = machine.places()["/live/cert.pem"].manifest
    steps = iter(range(100))

    def renew_behind_the_sweep() -> None:
        if next(steps) == 2:  # /, /archive and /etc were seen
            fresh = machine.write("archive/cert2.pem", Leaf("b.example").pem)
            if turned:
                link.unlink()
                link.symlink_to("../archive/cert2.pem")
            else:
                fresh.rename(old)

    assert machine.service.sweep(renew_behind_the_sweep).complete
    assert machine.places()["/live/cert.pem"].manifest == before
    assert machine.take_changes() == []
    machine.sweep()
    assert machine.places()["/live/cert.pem"].manifest != before


def test_a_file_that_took_a_links_place_behind_the_sweep_is_no_link_to_itself(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "DIRECTORIES_PER_TRANSACTION", 1)
    machine.write("srv/a.pem", Leaf("a.example").pem)
    link = machine.root / "etc/l.pem"
    link.symlink_to("../srv/a.pem")
    machine.settle()
    steps = iter(range(100))

    def replace_behind_the_sweep() -> None:
        if next(steps) == 1:  # / and /etc were seen
            machine.write("etc/new", Leaf("b.example").pem).rename(link)
            machine.service.look(Parts((b"/etc",)))

    assert machine.service.sweep(replace_behind_the_sweep).complete
    assert machine.places()["/etc/l.pem"].target == b""


def test_a_link_that_was_met_in_a_directory_that_is_elsewhere_now_is_no_place(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "DIRECTORIES_PER_TRANSACTION", 1)
    machine.write("srv/a.pem", Leaf("a.example").pem)
    (machine.root / "etc/l.pem").symlink_to("../srv/a.pem")
    machine.settle()
    steps = iter(range(100))

    def move_behind_the_sweep() -> None:
        if next(steps) == 1:  # / and /etc were seen
            (machine.root / "etc").rename(machine.root / "moved")
            (machine.root / "etc").symlink_to("moved")
            machine.service.look(Parts((b"/",)))

    assert machine.service.sweep(move_behind_the_sweep).complete
    assert set(machine.places()) == {"/moved/l.pem", "/srv/a.pem"}


def test_a_link_to_a_file_that_was_seen_and_holds_nothing_is_gone(machine: Machine) -> None:
    machine.write("srv/a.pem", Leaf("a.example").pem)
    machine.write("srv/text", b"nothing to see here, at all, in this text\n")
    link = machine.root / "etc/l.pem"
    link.symlink_to("../srv/a.pem")
    machine.settle()
    link.unlink()
    link.symlink_to("../srv/text")
    machine.sweep()
    assert set(machine.places()) == {"/srv/a.pem"}


def test_links_are_not_made_anew_where_nothing_changed(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.write("srv/a.pem", Leaf("a.example").pem)
    (machine.root / "etc/l.pem").symlink_to("../srv/a.pem")
    machine.settle()
    machine.settle()
    made: list[bytes] = []
    for_link = PlaceBuilder.for_link

    def noted(builder: PlaceBuilder, path: bytes, target_path: bytes, target: Place) -> Place:
        made.append(path)
        return for_link(builder, path, target_path, target)

    monkeypatch.setattr(PlaceBuilder, "for_link", noted)
    machine.sweep()
    assert made == []
    assert set(machine.places()) == {"/srv/a.pem", "/etc/l.pem"}
    machine.write("srv/b.pem", Leaf("b.example").pem)
    machine.sweep()
    assert made == [b"/etc/l.pem"]


def test_a_link_never_leads_out_of_the_root(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "outside.pem").write_bytes(Leaf("outside.example").pem)
    (machine.root / "etc/link.pem").symlink_to(tmp_path / "outside.pem")
    (machine.root / "etc/up.pem").symlink_to("../../outside.pem")
    machine.sweep()
    assert machine.places() == {}


def test_hard_links_are_two_places_of_one_file(machine: Machine) -> None:
    file = machine.write("srv/a.pem", Leaf("a.example").pem)
    (machine.root / "srv/b.pem").hardlink_to(file)
    machine.sweep()
    first, second = machine.places()["/srv/a.pem"], machine.places()["/srv/b.pem"]
    assert first.file_id == second.file_id
    assert first.manifest == second.manifest


def test_a_sweep_that_is_stopped_takes_nothing_for_gone(machine: Machine) -> None:
    for number in range(30):
        machine.write(f"srv/{number:02}/site.pem", Leaf("a.example").pem)
    machine.settle()
    steps = iter(range(100))
    result = machine.sweep(should_stop=lambda: next(steps) > 10)
    assert not result.complete
    assert len(machine.places()) == 30
    assert machine.take_changes() == []


def test_a_first_sweep_that_is_stopped_is_not_complete_and_goes_on_later(machine: Machine) -> None:
    for number in range(30):
        machine.write(f"srv/{number:02}/site.pem", Leaf(f"{number}.example").pem)
    steps = iter(range(100))
    assert not machine.sweep(should_stop=lambda: next(steps) > 10).complete
    assert machine.state.get_number("complete") == 0
    assert 0 < len(machine.places()) < 30
    machine.sweep()
    assert machine.state.get_number("complete") == 1
    assert len(machine.places()) == 30


def test_an_exclude_that_is_new_is_a_gap_and_nothing_is_gone(machine: Machine) -> None:
    machine.write("srv/secret/site.pem", Leaf("a.example").pem)
    machine.settle()
    excluding = Config(
        scan=ScanSettings(root=os.fsencode(machine.root), exclude=(b"/srv/secret",)),
        state=machine.config.state,
    )
    machine.service.config = excluding
    result = machine.sweep()
    assert [gap.prefix for gap in result.coverage.gaps] == [b"/srv/secret"]
    assert set(machine.places()) == {"/srv/secret/site.pem"}
    assert machine.take_changes() == []


@pytest.fixture
def mounted(machine: Machine) -> Iterator[Path]:
    """Mount a file system of its own on a directory of the machine."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    point = machine.root / "data"
    point.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "keycensus-test", str(point)], check=True)
    yield point
    subprocess.run(["umount", str(point)], check=False, capture_output=True)


def test_an_unmounted_file_system_is_a_gap_and_nothing_is_gone(
    machine: Machine, mounted: Path
) -> None:
    machine.write("data/tls/site.pem", Leaf("a.example").pem)
    (machine.root / "etc/link.pem").symlink_to("../data/tls/site.pem")
    machine.settle()
    assert len(machine.places()) == 2
    subprocess.run(["umount", str(mounted)], check=True)
    for _ in range(2):
        result = machine.sweep()
        assert [(gap.prefix, gap.reason) for gap in result.coverage.gaps] == [
            (b"/data", "unmounted")
        ]
        assert len(machine.places()) == 2
        assert machine.take_changes() == []


def test_a_mount_point_that_was_removed_takes_nothing_with_it(
    machine: Machine, mounted: Path
) -> None:
    machine.write("data/tls/site.pem", Leaf("a.example").pem)
    machine.settle()
    subprocess.run(["umount", str(mounted)], check=True)
    mounted.rmdir()
    machine.sweep()
    assert set(machine.places()) == {"/data/tls/site.pem"}


def test_places_that_a_mount_covers_are_not_gone(machine: Machine) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    machine.write("data/site.pem", Leaf("a.example").pem)
    machine.settle()
    point = machine.root / "data"
    subprocess.run(["mount", "-t", "tmpfs", "keycensus-test", str(point)], check=True)
    try:
        result = machine.sweep()
    finally:
        subprocess.run(["umount", str(point)], check=True)
    assert [gap.reason for gap in result.coverage.gaps] == ["unmounted"]
    assert set(machine.places()) == {"/data/site.pem"}
    machine.sweep()
    assert machine.take_changes() == []


def test_a_file_that_was_written_while_it_was_read_is_read_again(machine: Machine) -> None:
    file = machine.write("srv/site.pem", Leaf("old.example").pem)
    stamp = file.stat().st_mtime_ns
    machine.sweep()
    fresh = Leaf("new.example").pem
    file.write_bytes(fresh[: len(file.read_bytes())].ljust(len(file.read_bytes()), b"\n"))
    os.utime(file, ns=(stamp, stamp))
    machine.take_changes()
    machine.sweep()
    assert len(machine.take_changes()) == 1


def test_what_could_be_read_once_keeps_its_content_when_it_can_not_be_read(
    machine: Machine,
) -> None:
    leaf = Leaf("a.example")
    file = machine.write("srv/site.pem", leaf.pem)
    machine.settle()
    manifest = machine.places()["/srv/site.pem"].manifest
    file.chmod(0o000)
    machine.state.close()
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from keycensus_agent.config import Config, ScanSettings, StateSettings\n"
        "from keycensus_agent.reader.service import ReaderService\n"
        "from keycensus_agent.reader.state import State\n"
        "config = Config(scan=ScanSettings(root=sys.argv[1].encode()),"
        " state=StateSettings(directory=Path(sys.argv[2])))\n"
        "state = State.open(config.state_database)\n"
        "print(ReaderService(config, state).sweep().complete)\n"
        "state.close()\n"
    )
    done = subprocess.run(
        [
            *WITHOUT_PRIVILEGE,
            *(sys.executable, "-c", script),
            *(str(machine.root), str(machine.config.state.directory)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "True", done.stderr
    machine.state = State.open(machine.config.state_database)
    place = machine.places()["/srv/site.pem"]
    assert (place.status, place.reason) == ("unreadable", "EACCES")
    assert place.manifest == manifest


def reconfigure(machine: Machine, **scan: object) -> None:
    """Change what is scanned, as a new configuration would."""
    settings = dataclasses.replace(machine.config.scan, **scan)  # type: ignore[arg-type]
    machine.config = dataclasses.replace(machine.config, scan=settings)
    machine.service.config = machine.config


def test_an_exclude_of_files_is_a_gap_and_nothing_is_gone(machine: Machine) -> None:
    machine.write("etc/a.pem", Leaf("a.example").pem)
    (machine.root / "etc/l.crt").symlink_to("a.pem")
    machine.settle()
    reconfigure(machine, exclude=(b"*.pem",))
    result = machine.sweep()
    assert [gap.prefix for gap in result.coverage.gaps] == [b"/etc/a.pem"]
    assert machine.take_changes() == []
    assert set(machine.places()) == {"/etc/a.pem", "/etc/l.crt"}


def test_a_root_that_is_asked_for_no_more_is_a_gap(machine: Machine) -> None:
    machine.write("etc/a.pem", Leaf("a.example").pem)
    machine.write("srv/b.pem", Leaf("b.example").pem)
    reconfigure(machine, roots=(b"/etc", b"/srv"))
    machine.settle()
    reconfigure(machine, roots=(b"/etc",))
    for _ in range(2):
        result = machine.sweep()
        assert [(gap.prefix, gap.reason) for gap in result.coverage.gaps] == [(b"/srv", "excluded")]
        assert machine.take_changes() == []


def test_a_root_that_is_a_file_stays_that_file(machine: Machine) -> None:
    machine.write("etc/a.pem", Leaf("a.example").pem)
    machine.write("etc/b.pem", Leaf("b.example").pem)
    reconfigure(machine, roots=(b"/etc/a.pem",))
    machine.sweep()
    assert set(machine.places()) == {"/etc/a.pem"}


def test_a_file_system_unmounted_in_mid_sweep_takes_nothing_with_it(
    machine: Machine, mounted: Path
) -> None:
    machine.write("data/sub/a.pem", Leaf("a.example").pem)
    machine.write("data/b.pem", Leaf("b.example").pem)
    machine.settle()
    asked: list[int] = []

    def unmount_at_first() -> bool:
        if not asked:
            subprocess.run(["umount", str(mounted)], check=True)
        asked.append(1)
        return False

    result = machine.sweep(should_stop=unmount_at_first)
    assert [gap.reason for gap in result.coverage.gaps] == ["unmounted"]
    assert machine.take_changes() == []
    assert len(machine.places()) == 2


def test_what_went_while_a_file_system_was_away_is_gone_when_it_is_back(
    machine: Machine, tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    (tmp_path / "volume/sub").mkdir(parents=True)
    (tmp_path / "volume/sub/a.pem").write_bytes(Leaf("a.example").pem)
    point = machine.root / "data"
    point.mkdir()
    mount = ["mount", "--bind", str(tmp_path / "volume"), str(point)]
    subprocess.run(mount, check=True)
    try:
        machine.settle()
        assert set(machine.places()) == {"/data/sub/a.pem"}
        subprocess.run(["umount", str(point)], check=True)
        machine.sweep()
        machine.take_changes()
        shutil.rmtree(tmp_path / "volume/sub")
        subprocess.run(mount, check=True)
        machine.sweep()
        assert machine.places() == {}
    finally:
        subprocess.run(["umount", str(point)], check=False, capture_output=True)


def test_links_stay_when_device_numbers_change(machine: Machine) -> None:
    machine.write("srv/a.pem", Leaf("a.example").pem)
    (machine.root / "etc/l.pem").symlink_to("../srv/a.pem")
    machine.settle()
    machine.state.connection.execute("UPDATE place SET device = device + 1")
    machine.sweep()
    assert machine.take_changes() == []
    assert "/etc/l.pem" in machine.places()


def test_a_file_replaced_by_a_link_to_nothing_is_gone(machine: Machine) -> None:
    file = machine.write("srv/a.pem", Leaf("a.example").pem)
    machine.settle()
    file.unlink()
    file.symlink_to("/nowhere")
    machine.sweep()
    assert machine.places() == {}


def test_a_link_turned_to_where_the_agent_may_not_look_stays(machine: Machine) -> None:
    machine.write("srv/a.pem", Leaf("a.example").pem)
    machine.write("secret/b.pem", Leaf("b.example").pem)
    link = machine.root / "etc/l.pem"
    link.symlink_to("../srv/a.pem")
    reconfigure(machine, exclude=(b"/secret",))
    machine.settle()
    link.unlink()
    link.symlink_to("../secret/b.pem")
    machine.sweep()
    assert "/etc/l.pem" in machine.places()


def test_a_time_that_no_clock_shows_does_not_stop_the_sweep(machine: Machine) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        file = Path(memory) / "a.pem"
        file.write_bytes(Leaf("a.example").pem)
        os.utime(file, ns=(10**22, 10**22))
        reconfigure(machine, root=os.fsencode(memory))
        assert machine.sweep().complete
        assert set(machine.places()) == {"/a.pem"}


def test_a_lease_hides_a_file_only_while_it_lasts(machine: Machine) -> None:
    file = machine.write("srv/a.pem", Leaf("a.example").pem)
    machine.settle()
    file.write_bytes(Leaf("b.example").pem)
    holder = (
        "import fcntl, os, signal, sys, time\n"
        "signal.signal(signal.SIGIO, signal.SIG_IGN)\n"
        "fcntl.fcntl(os.open(sys.argv[1], os.O_RDWR), fcntl.F_SETLEASE, fcntl.F_WRLCK)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(file)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        machine.sweep()
        assert set(machine.places()) == {"/srv/a.pem"}
        process.kill()
    machine.take_changes()
    machine.sweep()
    assert [change.cause for change in machine.take_changes()] == [Cause.CONTENT]


def test_a_directory_to_scan_that_is_not_there_is_a_mistake_of_the_configuration(
    machine: Machine,
) -> None:
    reconfigure(machine, root=b"/no/such/place")
    with pytest.raises(ConfigurationError, match="/no/such/place"):
        machine.sweep()


def test_what_was_there_and_is_seen_only_now_is_no_news(machine: Machine) -> None:
    machine.write("srv/hidden/a.pem", Leaf("a.example").pem)
    seeing = machine.service.config
    scan = dataclasses.replace(seeing.scan, exclude=(b"/srv/hidden",))
    machine.service.config = dataclasses.replace(seeing, scan=scan)
    machine.settle()
    machine.service.config = seeing
    machine.write("srv/new.pem", Leaf("b.example").pem)
    machine.sweep()
    causes = {
        place_of(change.row).path: change.cause for change in machine.take_changes() if change.row
    }
    assert causes == {b"/srv/hidden/a.pem": Cause.COVERAGE, b"/srv/new.pem": Cause.CONTENT}
    # From then on it is a place like any other.
    machine.write("srv/hidden/a.pem", Leaf("c.example").pem)
    machine.sweep()
    assert [change.cause for change in machine.take_changes()] == [Cause.CONTENT]


def test_a_new_root_below_a_former_one_reports_news_as_news(machine: Machine) -> None:
    machine.write("srv/a.pem", Leaf("a.example").pem)
    machine.write("opt/a.pem", Leaf("a.example").pem)
    machine.settle()
    scan = dataclasses.replace(machine.service.config.scan, roots=(b"/opt",))
    machine.service.config = dataclasses.replace(machine.service.config, scan=scan)
    machine.settle()
    machine.write("opt/b.pem", Leaf("b.example").pem)
    machine.sweep()
    assert [change.cause for change in machine.take_changes()] == [Cause.CONTENT]


def package_list(machine: Machine, name: str, *paths: str) -> Path:
    text = "".join(f"{path}\n" for path in paths).encode()
    return machine.write(f"var/lib/dpkg/info/{name}.list", text)


def owned(machine: Machine) -> dict[str, str]:
    return {path: place.package.name for path, place in machine.places().items() if place.package}


def test_a_place_says_which_package_owns_it_from_the_first_row_on(machine: Machine) -> None:
    machine.write("usr/share/ca/root.crt", Leaf("a.example").pem)
    machine.write("etc/own.pem", Leaf("b.example").pem)
    (machine.root / "etc/link.pem").symlink_to("../usr/share/ca/root.crt")
    package_list(machine, "roots", "/usr/share/ca", "/usr/share/ca/root.crt")
    package_list(machine, "linker", "/etc/link.pem")
    machine.sweep()
    expected = {"/usr/share/ca/root.crt": "roots", "/etc/link.pem": "linker"}
    assert owned(machine) == expected
    changes = machine.take_changes()
    assert len(changes) == 3
    reported = [place_of(change.row).package for change in changes if change.row]
    assert {package.name for package in reported if package} == {"roots", "linker"}
    assert machine.sweep().changes == 0
    assert owned(machine) == expected


def test_a_package_that_comes_or_goes_is_a_fact_and_no_news_of_the_file(machine: Machine) -> None:
    file = machine.write("usr/share/ca/root.crt", Leaf("a.example").pem)
    machine.settle()
    listed = package_list(machine, "roots", "/usr/share/ca/root.crt")
    machine.sweep()
    (change,) = machine.take_changes()
    assert change.cause == Cause.FACTS
    assert owned(machine) == {"/usr/share/ca/root.crt": "roots"}
    file.write_bytes(Leaf("changed.example").pem)
    machine.sweep()
    (change,) = machine.take_changes()
    assert change.cause == Cause.CONTENT
    assert owned(machine) == {"/usr/share/ca/root.crt": "roots"}
    listed.unlink()
    machine.sweep()
    assert [change.cause for change in machine.take_changes()] == [Cause.FACTS]
    assert owned(machine) == {}


def test_a_database_that_can_not_be_read_takes_nothing_back(machine: Machine) -> None:
    machine.write("usr/share/ca/root.crt", Leaf("a.example").pem)
    package_list(machine, "roots", "/usr/share/ca/root.crt")
    machine.settle()
    shutil.rmtree(machine.root / "var/lib/dpkg/info")
    machine.write("var/lib/dpkg/info", b"damaged")
    result = machine.sweep()
    assert result.coverage.counters["dpkg-database-unread"] == 1
    assert owned(machine) == {"/usr/share/ca/root.crt": "roots"}


def test_a_directory_that_is_closed_or_opened_changes_who_can_read(machine: Machine) -> None:
    key = machine.write("srv/private/host.key", Leaf("a.example").key_pem)
    key.chmod(0o644)
    (machine.root / "etc/host.key").symlink_to("../srv/private/host.key")
    machine.settle()
    key.parent.chmod(0o700)
    machine.sweep()
    changes = machine.take_changes()
    assert paths(changes) == {"/srv/private/host.key", "/etc/host.key"}
    assert {change.cause for change in changes} == {Cause.FACTS}
    assert {place.readable_by for place in machine.places().values()} == {"owner"}
    key.parent.chmod(0o755)
    machine.sweep()
    assert {place.readable_by for place in machine.places().values()} == {"world"}
    machine.take_changes()
    assert machine.sweep().changes == 0
