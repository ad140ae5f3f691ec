from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.unprivileged import open_descriptors

from keycensus_agent.reader.discovery.links import (
    Resolved,
    Resolver,
    Unresolved,
    kernels_target,
)
from keycensus_agent.reader.discovery.mounts import MountTable

EMPTY = MountTable.parse(b"1 0 0:1 / / rw - ext4 /dev/vda rw\n")


@pytest.fixture
def root_fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def resolve(root_fd: int, path: bytes, mounts: MountTable = EMPTY) -> Resolved | Unresolved:
    return Resolver(root_fd, mounts).resolve(path)


def test_a_link_leads_to_its_file_within_the_root(tmp_path: Path, root_fd: int) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/real.pem").write_bytes(b"x" * 9)
    (tmp_path / "absolute").symlink_to("/etc/real.pem")
    (tmp_path / "etc/relative").symlink_to("../absolute")
    (tmp_path / "etc/outside").symlink_to("../../../../etc/real.pem")
    for path in (b"/absolute", b"/etc/relative", b"/etc/outside", b"//etc/./../etc/real.pem"):
        found = resolve(root_fd, path)
        assert isinstance(found, Resolved), path
        assert found.path == b"/etc/real.pem"
        assert found.facts.st_size == 9


def test_a_linked_directory_on_the_way_is_followed(tmp_path: Path, root_fd: int) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").touch()
    (tmp_path / "d").symlink_to("a/b/")
    found = resolve(root_fd, b"/d/f")
    assert found.path == b"/a/b/f"
    assert resolve(root_fd, b"/d/../..").path == b"/"


def test_the_last_link_can_be_the_answer_itself(tmp_path: Path, root_fd: int) -> None:
    (tmp_path / "l").symlink_to("nowhere")
    found = Resolver(root_fd, EMPTY).resolve(b"/l", follow_last=False)
    assert isinstance(found, Resolved)
    assert found.path == b"/l"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (b"/absent", "ENOENT"),
        (b"/file/below", "ENOTDIR"),
        (b"/round", "ELOOP"),
        (b"/dangling", "ENOENT"),
    ],
)
def test_a_path_that_leads_nowhere_says_why(
    tmp_path: Path, root_fd: int, path: bytes, reason: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "round").symlink_to("round2")
    (tmp_path / "round2").symlink_to("round")
    (tmp_path / "dangling").symlink_to("gone/away")
    found = resolve(root_fd, path)
    assert isinstance(found, Unresolved)
    assert found.reason == reason


def test_forty_links_are_followed_and_no_more(tmp_path: Path, root_fd: int) -> None:
    (tmp_path / "0").touch()
    for number in range(1, 42):
        (tmp_path / str(number)).symlink_to(str(number - 1))
    assert isinstance(resolve(root_fd, b"/40"), Resolved)
    assert resolve(root_fd, b"/41") == Unresolved(b"/1", "ELOOP")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (b"proc", "pseudo-file-system"),
        (b"nfs4", "network-file-system"),
        (b"autofs", "automount"),
        (b"fuse.sshfs", "network-file-system"),
    ],
)
def test_no_link_leads_onto_ground_that_is_not_safe(
    tmp_path: Path, root_fd: int, kind: bytes, reason: str
) -> None:
    (tmp_path / "mnt").mkdir()
    (tmp_path / "mnt/key.pem").touch()
    (tmp_path / "link").symlink_to("mnt/key.pem")
    mounts = MountTable.parse(
        b"1 0 0:1 / / rw - ext4 /dev/vda rw\n2 1 0:2 / /mnt rw - " + kind + b" x rw\n"
    )
    assert resolve(root_fd, b"/link", mounts) == Unresolved(b"/mnt", reason)
    if reason == "network-file-system":
        allowed = Resolver(root_fd, mounts, network=True).resolve(b"/link")
        assert allowed.path == b"/mnt/key.pem"


def test_a_path_of_thousands_of_components_ends(tmp_path: Path, root_fd: int) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/up").symlink_to("../d/" * 700)
    found = resolve(root_fd, b"/d/up")
    assert isinstance(found, Resolved)
    assert found.path == b"/d"


def test_no_descriptor_is_left_open(tmp_path: Path, root_fd: int) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("/d/../d/x")
    before = open_descriptors()
    for path in (b"/l", b"/d", b"/d/../../..", b"/absent/x"):
        resolve(root_fd, path)
    assert open_descriptors() == before


def test_a_directory_swapped_for_a_link_is_not_entered(tmp_path: Path, root_fd: int) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "d").symlink_to("other")
    with pytest.raises(NotADirectoryError):
        Resolver(root_fd, EMPTY).open_parent(b"/d/file")


def test_the_kernel_says_where_a_path_ends_or_nothing(tmp_path: Path) -> None:
    base = os.fsencode(tmp_path.resolve())
    (tmp_path / "d").mkdir()
    (tmp_path / "d/real.pem").write_bytes(b"x")
    (tmp_path / "way").symlink_to("d")
    (tmp_path / "link").symlink_to("way/real.pem")
    (tmp_path / "nowhere").symlink_to("gone")
    (tmp_path / "circle").symlink_to("circle")
    before = open_descriptors()
    assert kernels_target(base + b"/link") == base + b"/d/real.pem"
    assert kernels_target(base + b"/nowhere") == b""
    assert kernels_target(base + b"/circle") == b""
    (tmp_path / "d/real (deleted)").write_bytes(b"x")
    assert kernels_target(base + b"/d/real (deleted)") == b""
    assert open_descriptors() == before
