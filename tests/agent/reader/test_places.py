from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from keycensus_agent.model import Entry, EntryKind, FileFacts, Parsed, Role, Status, Use
from keycensus_agent.reader.facts import file_facts
from keycensus_agent.reader.places import PlaceBuilder

KEY = Parsed("pem", Status.READ, entries=(Entry(EntryKind.PRIVATE_KEY, b"k" * 32),), manifest=b"m")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_bytes(
        b"root:x:0:0:root:/root:/bin/sh\nweb:x:1000:5::/:\nweb2:x:1000:5::/:\n\xff:x:7:7::/:\n"
        b"broken\n:\n::x\nhuge:x:99999999999999999999:1::/:\n"
    )
    (tmp_path / "etc/group").write_bytes(b"root:x:0:\ntls:x:5:web\n")
    return tmp_path


def facts(uid: int = 0, gid: int = 0, **other: int) -> FileFacts:
    values = {"device": 1, "inode": 2, "mode": 0o100640, "size": 3, "mtime_ns": 4, "ctime_ns": 5}
    return FileFacts(uid=uid, gid=gid, link_count=1, **{**values, **other})


def builder(root: Path) -> PlaceBuilder:
    return PlaceBuilder(b"salt", os.fsencode(root))


def test_names_of_owner_and_group_come_from_the_same_root(root: Path) -> None:
    place = builder(root).build(b"/x", facts(1000, 5), KEY)
    assert (place.owner, place.group) == ("web", "tls")
    assert builder(root).build(b"/x", facts(4242, 4242), KEY).owner == ""
    assert builder(root).build(b"/x", facts(7, 0), KEY).owner == "\\xff"


def test_account_files_are_read_again_when_they_change(root: Path) -> None:
    places = builder(root)
    assert places.build(b"/x", facts(2000), KEY).owner == ""
    (root / "etc/passwd").write_bytes(b"new:x:2000:1::/:\n")
    assert places.build(b"/x", facts(2000), KEY).owner == "new"
    (root / "etc/passwd").unlink()
    assert places.build(b"/x", facts(2000), KEY).owner == ""


@pytest.mark.timeout(20)
def test_account_files_that_are_none_do_no_harm(root: Path) -> None:
    (root / "etc/passwd").unlink()
    os.mkfifo(root / "etc/passwd")
    (root / "etc/group").unlink()
    (root / "etc/group").mkdir()
    place = builder(root).build(b"/x", facts(1000, 5), KEY)
    assert (place.owner, place.group) == ("", "")


def test_facts_and_result_are_taken_over(root: Path) -> None:
    parsed = Parsed("jks", Status.LOCKED, "password-needed", manifest=b"m" * 32)
    place = builder(root).build(b"/etc/nginx/a.jks", facts(mode=0o100604), parsed)
    assert (place.status, place.reason, place.format) == (Status.LOCKED, "password-needed", "jks")
    assert (place.manifest, place.role, place.use) == (b"m" * 32, Role.SERVER, Use.LIVE)
    assert place.readable_by == "world"
    assert (place.target, place.acl, place.selinux_label) == (b"", b"", "")


def test_places_that_share_a_file_have_one_identity_on_one_host(root: Path) -> None:
    places = builder(root)
    one = places.build(b"/a", facts(), KEY).file_id
    assert one == places.build(b"/b", facts(size=9), KEY).file_id
    assert one != places.build(b"/a", facts(inode=3), KEY).file_id
    assert one != PlaceBuilder(b"other", os.fsencode(root)).build(b"/a", facts(), KEY).file_id
    assert len(one) == 16


def test_an_access_list_is_reported_as_the_kernel_keeps_it(root: Path) -> None:
    file = root / "key.pem"
    file.touch(0o640)
    entries = [
        (1, 6, 0xFFFFFFFF),
        (2, 4, 1000),
        (4, 4, 0xFFFFFFFF),
        (16, 4, 0xFFFFFFFF),
        (32, 0, 0xFFFFFFFF),
    ]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(file, "system.posix_acl_access", acl)
    place = builder(root).build(b"/key.pem", file_facts(file.stat()), KEY)
    assert place.acl == acl


def test_a_link_is_a_place_of_its_own_that_shares_the_file(root: Path) -> None:
    places = builder(root)
    path = b"/etc/letsencrypt/archive/a/privkey3.pem"
    target = places.build(path, facts(), KEY)
    assert target.use is Use.RETAINED
    link = places.for_link(b"/etc/letsencrypt/live/a/privkey.pem", path, target)
    assert (link.use, link.role, link.target) == (Use.LIVE, Role.SERVER, path)
    assert (link.file_id, link.manifest, link.facts) == (
        target.file_id,
        target.manifest,
        target.facts,
    )


def test_a_key_does_not_become_trusted_by_a_link_among_roots(root: Path) -> None:
    places = builder(root)
    target = places.build(b"/srv/a.pem", facts(), KEY)
    link = places.for_link(b"/etc/ssl/certs/a.pem", b"/srv/a.pem", target)
    assert link.role is Role.UNKNOWN


def test_a_superseded_kubernetes_volume_is_retained(root: Path) -> None:
    old, new = "..2024_05_01_10_00_00.1", "..2024_05_02_10_00_00.2"
    for version in (old, new):
        (root / "vol" / version).mkdir(parents=True)
    (root / "vol/..data").symlink_to(new)
    places = builder(root)
    uses = [places.build(f"/vol/{name}/tls.key".encode(), facts(), KEY).use for name in (old, new)]
    assert uses == [Use.RETAINED, Use.LIVE]
    (root / "vol/..data").unlink()
    assert places.build(f"/vol/{old}/tls.key".encode(), facts(), KEY).use is Use.LIVE


def test_account_files_of_a_root_are_followed_within_it(root: Path) -> None:
    (root / "usr").mkdir()
    (root / "etc/passwd").rename(root / "usr/passwd")
    (root / "etc/passwd").symlink_to("/usr/passwd")
    (root / "etc/group").unlink()
    (root / "etc/group").symlink_to("/etc/hostname")
    place = builder(root).build(b"/x", facts(1000, 0), KEY)
    assert (place.owner, place.group) == ("web", "")
