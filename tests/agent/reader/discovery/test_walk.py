from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from fakes.unprivileged import as_nobody, open_descriptors, open_directory

from keycensus_agent.model import Gap
from keycensus_agent.reader.discovery import frames as frames_module
from keycensus_agent.reader.discovery import walk as walk_module
from keycensus_agent.reader.discovery.directory import NOT_ASKED, Directory
from keycensus_agent.reader.discovery.exclude import Exclude
from keycensus_agent.reader.discovery.mounts import MountTable
from keycensus_agent.reader.discovery.walk import walk

ROOT_LINE = b"1 0 0:1 / / rw - ext4 /dev/vda rw\n"
LOCAL = MountTable.parse(ROOT_LINE)


def walked(
    root: Path,
    *roots: bytes,
    exclude: Exclude | None = None,
    mounts: MountTable = LOCAL,
    network: bool = False,
    part: int = 0,
    facts: bool = True,
) -> tuple[list[Directory], list[Gap]]:
    items = list(
        walk(
            roots or (b"/",),
            root=os.fsencode(root),
            exclude=exclude,
            mounts=mounts,
            network=network,
            part=part,
            facts=facts,
        )
    )
    directories = [item for item in items if isinstance(item, Directory)]
    gaps = [item for item in items if isinstance(item, Gap)]
    gaps += [gap for directory in directories for _, gap in directory.pruned if gap is not None]
    return directories, gaps


def files_of(directories: list[Directory]) -> set[bytes]:
    return {
        directory.path.rstrip(b"/") + b"/" + os.fsencode(name)
        for directory in directories
        for name, *_ in directory.files
    }


def mounted(*lines: bytes) -> MountTable:
    return MountTable.parse(ROOT_LINE + b"".join(line + b"\n" for line in lines))


def test_every_directory_comes_once_with_its_names_and_facts(tmp_path: Path) -> None:
    (tmp_path / "b/c").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "b/file").write_bytes(b"12345")
    (tmp_path / "b/link").symlink_to("file")
    directories, gaps = walked(tmp_path)
    assert [directory.path for directory in directories] == [b"/", b"/a", b"/b", b"/b/c"]
    assert not gaps
    b = directories[2]
    assert [(name, size) for name, _, _, size in b.files] == [("file", 5)]
    assert (b.links, b.children, b.listed) == (["link"], ["c"], True)
    assert b.mount.type == "ext4"


def test_the_descriptor_is_open_until_the_walk_goes_on(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"x")
    for item in walk([b"/"], root=os.fsencode(tmp_path), mounts=LOCAL):
        assert isinstance(item, Directory)
        for name, inode, ctime_ns, _ in item.files:
            facts = os.stat(name, dir_fd=item.fd)
            assert (facts.st_ino, facts.st_ctime_ns) == (inode, ctime_ns)


def test_files_that_are_never_opened_are_not_asked_for_their_state(tmp_path: Path) -> None:
    directory = tmp_path / "usr/share/doc/x"
    directory.mkdir(parents=True)
    for name in ("index.html", "README", "key.pem"):
        (directory / name).write_bytes(b"12345")
    directories, _ = walked(tmp_path, part=1)
    marks = {name: mark for each in directories for name, *mark in each.files}
    assert marks.pop("index.html") == list(NOT_ASKED)
    assert sorted(marks) == ["README", "key.pem"]
    assert [size for *_, size in marks.values()] == [5, 5]
    assert all(len(each.files) <= 1 for each in directories)


def test_children_come_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    names = [b"b", b"\xff", "ü".encode(), "\N{LOCK}".encode(), b"B", b"a b"]
    for name in names:
        (tmp_path / os.fsdecode(name)).mkdir()
    directories, _ = walked(tmp_path)
    assert [each.path[1:] for each in directories[1:]] == sorted(names)


def test_special_files_are_neither_files_nor_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pem")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.pem"))
        (tmp_path / "file").touch()
        directories, gaps = walked(tmp_path)
    assert files_of(directories) == {b"/file"}
    assert not gaps


def test_names_are_bytes_whatever_they_hold(tmp_path: Path) -> None:
    names = [b"new\nline", b"\x1b]0;x\a", b"\xff\xfe", "ü".encode(), b"-rf", b" "]
    for name in names:
        os.close(os.open(os.fsencode(tmp_path) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    (tmp_path / os.fsdecode(b"\xff\ndir")).mkdir()
    directories, _ = walked(tmp_path)
    assert files_of(directories) == {b"/" + name for name in names}
    assert directories[1].path == b"/\xff\ndir"


def test_links_to_directories_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/loop").symlink_to("..")
    (tmp_path / "out").symlink_to("/etc")
    directories, gaps = walked(tmp_path)
    assert [directory.path for directory in directories] == [b"/", b"/d"]
    assert not gaps


@pytest.fixture
def deep() -> Iterator[Path]:
    """Give a chain of 5,000 directories, each with a sister that is entered on the way back."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of our own in it; removing is slow on a disk
    top = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    fd = os.open(top, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("a", dir_fd=fd)
        os.mkdir("b", dir_fd=fd)
        inner = os.open("a", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(os.open("deep.pem", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    yield top
    subprocess.run(["rm", "-rf", top], check=True)  # shutil.rmtree would recurse too deep


def test_five_thousand_levels_need_few_descriptors(deep: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        directories, gaps = walked(deep)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(directories) == 10_001
    assert not gaps
    assert files_of(directories) == {b"/" + b"a/" * 5000 + b"deep.pem"}


def test_a_directory_that_was_moved_away_meanwhile_is_a_gap(tmp_path: Path) -> None:
    depth = frames_module.OPEN_FRAMES + 20
    (tmp_path / ("a/" * depth)).mkdir(parents=True)
    for level in range(depth):
        (tmp_path / ("a/" * level + "b")).mkdir()
    gaps = []
    for item in walk([b"/"], root=os.fsencode(tmp_path), mounts=LOCAL):
        if isinstance(item, Gap):
            gaps.append(item)
        elif item.path == b"/" + b"/".join([b"a"] * depth):
            # The outermost directories have given up their descriptors by now.
            (tmp_path / "a/a").rename(tmp_path / "moved")
            (tmp_path / "a/a").mkdir()
    assert {gap.reason for gap in gaps} == {"changed-while-read"}
    assert b"/a/a" in {gap.prefix for gap in gaps}


def test_a_directory_swapped_for_another_thing_is_a_gap(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/secret").touch()
    found: list[Directory | Gap] = []
    for item in walk([b"/"], root=os.fsencode(tmp_path), mounts=LOCAL):
        found.append(item)
        if isinstance(item, Directory) and item.path == b"/":
            (tmp_path / "d").rename(tmp_path / "e")
            (tmp_path / "d").symlink_to("e")
    assert found[1:] == [Gap(b"/d", "changed-while-read", "replaced")]


def test_a_directory_that_vanished_meanwhile_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    found: list[Directory | Gap] = []
    for item in walk([b"/"], root=os.fsencode(tmp_path), mounts=LOCAL):
        found.append(item)
        shutil.rmtree(tmp_path / "d", ignore_errors=True)
    assert len(found) == 1


def test_a_name_taken_out_of_the_children_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    paths = []
    for item in walk([b"/"], root=os.fsencode(tmp_path), mounts=LOCAL):
        assert isinstance(item, Directory)
        paths.append(item.path)
        if "a" in item.children:
            item.children.remove("a")
    assert paths == [b"/", b"/b"]


def test_what_must_not_be_touched_is_pruned_with_its_gap(tmp_path: Path) -> None:
    for name in ("proc", "nfs", "auto", "state", "cache", ".snapshots", "keep", "srv/x"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "key.pem").touch()
    (tmp_path / "bound.pem").touch()
    mounts = mounted(
        b"2 1 0:2 / /proc rw - proc proc rw",
        b"3 1 0:3 / /nfs rw - nfs4 host:/x rw",
        b"4 1 0:4 / /auto rw - autofs systemd-1 rw",
        b"5 1 0:5 / /keep rw - tmpfs tmpfs rw",
        b"6 1 0:6 / /bound.pem rw - nfs4 host:/f rw",
    )
    exclude = Exclude(("/cache", "x"), own=frozenset({b"/state"}))
    directories, gaps = walked(tmp_path, exclude=exclude, mounts=mounts)
    assert files_of(directories) == {b"/keep/key.pem"}
    assert dict(directories[0].pruned).keys() == {
        "proc",
        "nfs",
        "auto",
        "state",
        "cache",
        ".snapshots",
        "bound.pem",
    }
    assert {(gap.prefix, gap.reason, gap.detail) for gap in gaps} == {
        (b"/nfs", "network-file-system", "nfs4"),
        (b"/bound.pem", "network-file-system", "nfs4"),
        (b"/auto", "unmounted", "automount"),
        (b"/cache", "excluded", "pattern"),
        (b"/srv/x", "excluded", "pattern"),
        (b"/.snapshots", "excluded", "snapshot"),
    }
    assert [d.mount.type for d in directories if d.path == b"/keep"] == ["tmpfs"]


def test_network_file_systems_are_entered_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "nfs").mkdir()
    (tmp_path / "nfs/key.pem").touch()
    mounts = mounted(b"3 1 0:3 / /nfs rw - nfs4 host:/x rw")
    directories, gaps = walked(tmp_path, mounts=mounts, network=True)
    assert files_of(directories) == {b"/nfs/key.pem"}
    assert not gaps


def test_an_empty_mount_point_is_a_directory_on_its_own_mount(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    mounts = mounted(b"3 1 0:3 / /data rw - xfs /dev/vdb rw")
    there, _ = walked(tmp_path, mounts=mounts)
    absent, _ = walked(tmp_path)
    assert there[1].path == absent[1].path == b"/data"
    assert there[1].mount.key != absent[1].mount.key


def test_memory_file_systems_in_dev_are_walked(tmp_path: Path) -> None:
    (tmp_path / "dev/shm").mkdir(parents=True)
    (tmp_path / "dev/shm/key.pem").touch()
    (tmp_path / "dev/null").touch()
    mounts = mounted(
        b"2 1 0:2 / /dev rw - devtmpfs devtmpfs rw", b"3 2 0:3 / /dev/shm rw - tmpfs tmpfs rw"
    )
    for roots in ([b"/"], [b"/dev/shm"]):
        directories, gaps = walked(tmp_path, *roots, mounts=mounts)
        assert files_of(directories) == {b"/dev/shm/key.pem"}
        assert not gaps


def test_a_root_that_is_a_file_gives_that_name_only(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/a.pem").touch()
    (tmp_path / "d/b.pem").touch()
    (tmp_path / "l").symlink_to("d/a.pem")
    directories, gaps = walked(tmp_path, b"/d/a.pem", b"/l", b"/d/a.pem")
    assert [(d.path, [name for name, *_ in d.files], d.links) for d in directories] == [
        (b"/d", ["a.pem"], []),
        (b"/", [], ["l"]),
    ]
    assert not any(directory.listed for directory in directories)
    assert not gaps


def test_roots_inside_each_other_are_walked_once(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").touch()
    (tmp_path / "l").symlink_to("a")
    directories, _ = walked(tmp_path, b"/a/b", b"/a", b"/l", b"/a/b/f")
    assert [directory.path for directory in directories] == [b"/a", b"/a/b"]


def test_a_root_that_cannot_be_reached_is_a_gap(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "cache").mkdir()
    mounts = mounted(
        b"2 1 0:2 / /proc rw - proc proc rw",
        b"3 1 0:3 / /nfs rw - nfs4 host:/x rw",
        b"4 1 0:4 / /auto rw - autofs systemd-1 rw",
    )
    roots = [b"/absent", b"/fifo", b"/proc/1", b"/nfs/x", b"/auto", b"/cache"]
    directories, gaps = walked(tmp_path, *roots, mounts=mounts, exclude=Exclude(("cache",)))
    assert not directories
    assert gaps == [
        Gap(b"/absent", "unlisted", "ENOENT"),
        Gap(b"/fifo", "unreadable", "not-a-file"),
        Gap(b"/proc/1", "excluded", "pseudo-file-system"),
        Gap(b"/nfs/x", "network-file-system"),
        Gap(b"/auto", "unmounted", "automount"),
        Gap(b"/cache", "excluded", "pattern"),
    ]


def test_directories_that_may_not_be_read_are_gaps_with_their_reason() -> None:
    with open_directory() as root:
        for name, mode in (("closed", 0o000), ("listable", 0o444), ("searchable", 0o311)):
            (root / name / "inner").mkdir(parents=True)
            (root / name / "key.pem").touch()
            (root / name).chmod(mode)
        with as_nobody():
            directories, gaps = walked(root)
        for name in ("closed", "listable", "searchable"):
            (root / name).chmod(0o755)
    assert Gap(b"/closed", "unlisted", "EACCES") in gaps
    assert Gap(b"/searchable", "unlisted", "EACCES") in gaps
    # Names can be seen here, but not what they are.
    assert Gap(b"/listable", "unlisted", "EACCES") in gaps
    assert [d.listed for d in directories if d.path == b"/listable"] == [False]
    assert files_of(directories) == set()


def test_a_root_below_a_directory_that_may_only_be_passed_is_walked() -> None:
    with open_directory() as root:
        (root / "home/me").mkdir(parents=True)
        (root / "home/me/key.pem").touch()
        (root / "home").chmod(0o111)
        with as_nobody():
            directories, gaps = walked(root, b"/home/me")
            single, _ = walked(root, b"/home/me/key.pem")
        (root / "home").chmod(0o755)
    assert files_of(directories) == files_of(single) == {b"/home/me/key.pem"}
    assert not gaps


def test_a_large_directory_can_come_in_parts(tmp_path: Path) -> None:
    for number in range(25):
        (tmp_path / f"{number:02}").touch()
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("x")
    directories, _ = walked(tmp_path, part=10)
    parts = [directory for directory in directories if directory.path == b"/"]
    assert [len(part.files) for part in parts] == [10, 10, 5]
    assert [part.listed for part in parts] == [False, False, True]
    assert [part.children for part in parts] == [[], [], ["d"]]
    assert [part.links for part in parts] == [[], [], ["l"]]
    assert len(files_of(parts)) == 25


def test_names_can_be_had_without_their_facts(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}").touch()
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").touch()
    directories, _ = walked(tmp_path, part=4, facts=False)
    assert [(d.path, len(d.names), d.files) for d in directories] == [
        (b"/", 4, []),
        (b"/", 1, []),
        (b"/d", 1, []),
    ]
    (single,), _ = walked(tmp_path, b"/d/f", facts=False)
    assert single.names == ["f"]


def test_a_path_that_is_too_long_is_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_module, "PATH_LIMIT", 20)
    (tmp_path / "a123456789/b123456789/c").mkdir(parents=True)
    directories, gaps = walked(tmp_path)
    assert gaps == [Gap(b"/a123456789/b123456789", "too-deep")]
    assert len(directories) == 2


def test_a_walk_that_is_left_early_closes_its_descriptors(tmp_path: Path) -> None:
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/d").mkdir()
    before = open_descriptors()
    with closing(walk([b"/"], root=os.fsencode(tmp_path), mounts=LOCAL)) as steps:
        for _ in range(3):
            next(steps)
    assert open_descriptors() == before
