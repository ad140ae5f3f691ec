from __future__ import annotations

from pathlib import Path

import pytest

from keycensus_agent.reader.discovery import mounts
from keycensus_agent.reader.discovery.mounts import MountTable, Territory, territory

ROOT = b"27 1 254:0 / / rw - ext4 /dev/vda rw"


def table(*lines: bytes, root: bytes = b"/") -> MountTable:
    return MountTable.parse(b"\n".join([ROOT, *lines]) + b"\n", root)


def test_the_deepest_mount_over_a_path_is_found() -> None:
    found = table(
        b"30 27 0:30 / /srv rw,relatime shared:5 master:2 - xfs /dev/vdb rw",
        b"31 30 0:31 / /srv/data rw - tmpfs tmpfs rw",
    )
    assert found.at(b"/srv/data/x").type == "tmpfs"
    assert found.at(b"/srv/database").type == "xfs"
    assert found.at(b"/etc").type == "ext4"
    assert found.at(b"/").mount_point == b"/"
    assert found.points == {b"/srv", b"/srv/data"}
    assert found.parents == {b"/", b"/srv"}


def test_octal_escapes_are_bytes_again() -> None:
    found = table(rb"30 27 0:30 / /mnt/a\040b\134\012\377 rw - nfs4 host:/x\040y rw")
    mount = found.at(b"/mnt/a b\\\n\xff/file")
    assert (mount.type, mount.source) == ("nfs4", b"host:/x y")


def test_the_last_of_several_mounts_over_one_point_wins() -> None:
    found = table(
        b"30 27 0:30 / /mnt rw - ext4 /dev/vdb rw",
        b"31 30 0:31 / /mnt rw - nfs host:/x rw",
    )
    assert found.at(b"/mnt/file").type == "nfs"


def test_a_mount_that_a_later_one_covers_is_not_there() -> None:
    found = table(
        b"30 27 0:30 / /mnt/deep rw - nfs host:/x rw",
        b"31 27 0:31 / /mnt rw - tmpfs tmpfs rw",
    )
    assert found.at(b"/mnt/deep/file").type == "tmpfs"
    assert found.points == {b"/mnt"}
    assert not found.has_remote


def test_the_view_of_a_chroot_has_no_mount_for_its_root() -> None:
    found = MountTable.parse(b"31 5 0:31 / /data rw - tmpfs tmpfs rw\n")
    assert found.at(b"/data/x").type == "tmpfs"
    assert found.at(b"/etc").type == ""


@pytest.mark.parametrize(
    "text", [b"", b"rubbish\n", b"1 2 3\n- - -\n", b"27 27 0:1 / / rw - ext4\n"]
)
def test_text_that_is_no_mountinfo_is_one_local_mount(text: bytes) -> None:
    found = MountTable.parse(text)
    assert territory(found.at(b"/anything").type) is Territory.LOCAL
    assert found.points == frozenset()


def test_a_table_whose_parents_loop_ends() -> None:
    text = b"1 2 0:1 / / rw - ext4 a rw\n2 1 0:2 / / rw - ext4 b rw\n3 3 0:3 / /x rw - tmpfs c rw\n"
    MountTable.parse(text).at(b"/x/y")


def test_a_root_of_its_own_sees_its_mounts_from_there() -> None:
    found = table(
        b"30 27 0:30 / /host rw - xfs /dev/vdb rw",
        b"31 30 0:31 / /host/etc rw - tmpfs tmpfs rw",
        b"32 27 0:32 / /hostile rw - nfs host:/x rw",
        root=b"/host",
    )
    assert found.points == {b"/etc"}
    assert found.at(b"/etc/x").type == "tmpfs"
    assert found.at(b"/var").type == "xfs"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ext4", Territory.LOCAL),
        ("tmpfs", Territory.LOCAL),
        ("overlay", Territory.LOCAL),
        ("squashfs", Territory.LOCAL),
        ("fuseblk", Territory.LOCAL),
        ("fuse.fuse-overlayfs", Territory.LOCAL),
        ("a-file-system-of-2030", Territory.LOCAL),
        ("nfs4", Territory.NETWORK),
        ("cifs", Territory.NETWORK),
        ("9p", Territory.NETWORK),
        ("fuse.sshfs", Territory.NETWORK),
        ("fuse.anything", Territory.NETWORK),
        ("proc", Territory.PSEUDO),
        ("cgroup2", Territory.PSEUDO),
        ("fuse.lxcfs", Territory.PSEUDO),
        ("autofs", Territory.AUTOMATIC),
    ],
)
def test_file_systems_are_told_apart_by_type(name: str, expected: Territory) -> None:
    assert territory(name) is expected


def test_local_file_systems_in_pseudo_ones_are_islands() -> None:
    found = table(
        b"30 27 0:30 / /dev rw - devtmpfs devtmpfs rw",
        b"31 30 0:31 / /dev/shm rw - tmpfs tmpfs rw",
        b"32 30 0:32 / /dev/pts rw - devpts devpts rw",
        b"33 31 0:33 / /dev/shm/x rw - ext4 /dev/vdb rw",
    )
    assert found.islands(b"/dev") == [b"/dev/shm"]


def test_the_key_of_a_mount_does_not_depend_on_device_numbers() -> None:
    before = table(b"30 27 0:30 / /srv rw - xfs /dev/vdb rw").at(b"/srv")
    after = table(b"99 27 8:99 / /srv ro,noatime - xfs /dev/vdb ro").at(b"/srv")
    other = table(b"30 27 0:30 / /srv rw - xfs /dev/vdc rw").at(b"/srv")
    assert before.key == after.key
    assert before.key != other.key
    assert len(before.key) == 16


def test_without_proc_everything_is_one_local_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNTINFO", tmp_path / "absent")
    assert MountTable.read().points == frozenset()


def test_this_machine_has_a_proc() -> None:
    assert territory(MountTable.read().at(b"/proc").type) is Territory.PSEUDO
