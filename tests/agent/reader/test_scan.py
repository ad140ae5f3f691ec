from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest
from fakes.certificates import Leaf
from fakes.parser_stub import ParserStub

from keycensus_agent.model import Gap, Status, Use
from keycensus_agent.reader.discovery.exclude import Exclude
from keycensus_agent.reader.discovery.mounts import MountTable
from keycensus_agent.reader.parser_client import ParserClient
from keycensus_agent.reader.scan import (
    Progress,
    ScanRequest,
    ScanResult,
    certificates_by_key,
    scan,
)

PEM = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
LOCAL = MountTable.parse(b"1 0 0:1 / / rw - ext4 /dev/vda rw\n")


def scanned(root: Path, *roots: bytes, exclude: Exclude | None = None) -> ScanResult:
    request = ScanRequest(roots or (b"/",), os.fsencode(root), exclude or Exclude())
    return scan(request, ParserStub(), salt=b"s", mounts=LOCAL)


def paths(result: ScanResult) -> list[bytes]:
    return [finding.place.path for finding in result.findings]


def test_a_real_tree_is_scanned_with_the_real_parser(tmp_path: Path) -> None:
    leaf = Leaf("www.example.com")
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/cert.pem").write_bytes(leaf.pem)
    (tmp_path / "tls/cert.der").write_bytes(leaf.der)
    (tmp_path / "tls/key.pem").write_bytes(leaf.key_pem)
    (tmp_path / "words.txt").write_text("nothing to see here, " * 20)
    with ParserClient(details=True) as parser:
        result = scan(ScanRequest(root=os.fsencode(tmp_path)), parser, salt=b"s", mounts=LOCAL)
    assert paths(result) == [b"/tls/cert.der", b"/tls/cert.pem", b"/tls/key.pem"]
    assert {f.parsed.entries[0].artifact for f in result.findings[:2]} == {leaf.sha256}
    key_id = result.findings[2].parsed.entries[0].artifact
    assert certificates_by_key(result.findings) == {key_id: [leaf.sha256]}
    assert result.coverage.counters["files"] == 4
    assert result.coverage.counters["directories"] == 2
    assert result.coverage.gaps == []


def test_links_are_places_when_their_file_holds_something(tmp_path: Path) -> None:
    archive, live = tmp_path / "archive/a", tmp_path / "live/a"
    archive.mkdir(parents=True)
    live.mkdir(parents=True)
    (archive / "cert1.pem").write_bytes(PEM)
    (live / "cert.pem").symlink_to("../../archive/a/cert1.pem")
    (live / "again.pem").symlink_to("cert.pem")
    (live / "dangling.pem").symlink_to("gone.pem")
    (live / "directory").symlink_to("../../archive")
    (tmp_path / "words").write_text("words " * 50)
    (live / "words").symlink_to("../../words")
    result = scanned(tmp_path)
    assert paths(result) == [b"/archive/a/cert1.pem", b"/live/a/again.pem", b"/live/a/cert.pem"]
    file, *links = (finding.place for finding in result.findings)
    assert {link.target for link in links} == {b"/archive/a/cert1.pem"}
    assert {link.file_id for link in links} == {file.file_id}
    assert file.use is Use.RETAINED
    assert {link.use for link in links} == {Use.LIVE}


def test_a_link_out_of_the_scanned_directories_is_read_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/a.pem").write_bytes(PEM)
    (tmp_path / "srv/b.txt").write_text("words " * 50)
    (tmp_path / "etc/a.pem").symlink_to("/srv/a.pem")
    (tmp_path / "etc/a2.pem").symlink_to("../srv/a.pem")
    (tmp_path / "etc/b.txt").symlink_to("/srv/b.txt")
    result = scanned(tmp_path, b"/etc")
    assert [(f.place.path, f.place.target) for f in result.findings] == [
        (b"/etc/a.pem", b"/srv/a.pem"),
        (b"/etc/a2.pem", b"/srv/a.pem"),
    ]
    assert paths(scanned(tmp_path, b"/etc/a.pem")) == [b"/etc/a.pem"]


def test_a_link_into_what_is_excluded_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/a.pem").write_bytes(PEM)
    (tmp_path / "etc/a.pem").symlink_to("/srv/a.pem")
    for roots in ((b"/",), (b"/etc",)):
        assert paths(scanned(tmp_path, *roots, exclude=Exclude(("/srv",)))) == []


def test_a_link_never_leads_out_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "outside.pem").write_bytes(PEM)
    root = tmp_path / "root"
    root.mkdir()
    (root / "up.pem").symlink_to("../outside.pem")
    (root / "absolute.pem").symlink_to(tmp_path / "outside.pem")
    assert paths(scanned(root)) == []


def test_a_planted_name_of_anothers_key_is_told_as_the_keys_owners(tmp_path: Path) -> None:
    """T25: who plants a link in a directory of their own learns nothing that the file is not theirs for."""
    key, planted = tmp_path / "root/key.pem", tmp_path / "home/eve"
    key.parent.mkdir()
    planted.mkdir(parents=True)
    key.write_bytes(Leaf("a.example").key_pem)
    key.chmod(0o600)
    key.parent.chmod(0o700)
    (planted / "hard.pem").hardlink_to(key)
    (planted / "soft.pem").symlink_to("../../root/key.pem")
    if os.geteuid() == 0:
        os.chown(planted, 65534, 65534)
        os.chown(planted / "soft.pem", 65534, 65534, follow_symlinks=False)
    with ParserClient(details=True) as parser:
        result = scan(ScanRequest(root=os.fsencode(tmp_path)), parser, salt=b"s", mounts=LOCAL)
    places = [finding.place for finding in result.findings]
    assert [place.path for place in places] == [
        b"/home/eve/hard.pem",
        b"/home/eve/soft.pem",
        b"/root/key.pem",
    ]
    for place in places:
        facts = (place.facts.mode & 0o777, place.facts.uid, place.facts.link_count)
        assert facts == (0o600, key.stat().st_uid, 2)
        assert place.readable_by == "owner"
    assert len({place.file_id for place in places}) == 1


def test_a_scanned_link_to_a_directory_is_walked_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv/a.pem").write_bytes(PEM)
    (tmp_path / "etc").symlink_to("srv")
    assert paths(scanned(tmp_path, b"/etc")) == [b"/srv/a.pem"]


def test_one_file_and_an_unpromising_one_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(PEM)
    (tmp_path / "b.pem").write_bytes(PEM + b"b")
    assert paths(scanned(tmp_path, b"/a.pem")) == [b"/a.pem"]


def test_gaps_are_collected_from_the_walk_and_what_it_pruned(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    result = scanned(tmp_path, b"/", b"/absent", exclude=Exclude(("cache",)))
    assert result.coverage.gaps == [
        Gap(b"/absent", "unlisted", "ENOENT"),
        Gap(b"/cache", "excluded", "pattern"),
    ]


def test_progress_counts_up(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.pem").write_bytes(PEM)
    seen: list[Progress] = []
    request = ScanRequest(root=os.fsencode(tmp_path))
    scan(request, ParserStub(), salt=b"s", mounts=LOCAL, progress=seen.append)
    assert seen == [Progress(1, 0, 0), Progress(2, 1, 1)]


def test_a_root_without_read_rights_is_told_by_its_caller(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scanned(tmp_path / "absent")


def test_equal_bundles_are_held_once(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}.pem").write_bytes(PEM)
    result = scanned(tmp_path)
    assert len({id(finding.parsed) for finding in result.findings}) == 1


@pytest.mark.long
def test_memory_does_not_grow_with_files_that_hold_nothing(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        root = tmp_path / str(count)
        root.mkdir()
        for number in range(count):
            (root / f"file{number}").touch()
        tracemalloc.start()
        scanned(root)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(10)
    # A part of a directory is held at a time, not all of it.
    assert peak(24_000) < peak(9_000) * 1.2


@pytest.mark.parametrize("seed", range(3))
def test_a_tree_that_changes_while_it_is_scanned_gives_no_error(tmp_path: Path, seed: int) -> None:
    for number in range(40):
        (tmp_path / f"d{number % 5}").mkdir(exist_ok=True)
        (tmp_path / f"d{number % 5}/f{number}.pem").write_bytes(PEM)

    def disturb(progress: Progress) -> None:
        number = (progress.directories * 7 + seed) % 40
        victim = tmp_path / f"d{number % 5}/f{number}.pem"
        victim.unlink(missing_ok=True)
        (tmp_path / f"d{(number + 1) % 5}/f{number + 1}.pem").write_bytes(b"x")

    request = ScanRequest(root=os.fsencode(tmp_path))
    result = scan(request, ParserStub(), salt=b"s", mounts=LOCAL, progress=disturb)
    assert all(finding.place.status is Status.READ for finding in result.findings)
    assert len(result.findings) >= 30
