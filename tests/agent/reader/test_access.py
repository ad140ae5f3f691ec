from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from keycensus_agent.reader.access import Access
from keycensus_agent.reader.facts import file_facts

NAMES = {1000: "web", 1001: "ops", 1002: "with blank"}
NOBODY = 0xFFFFFFFF
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 1, 2, 4, 8, 16, 32

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")


def acl(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def access(root: Path) -> Access:
    def name(number: int) -> str:
        return NAMES.get(number, "")

    return Access(os.fsencode(root), name, name)


def readers(root: Path, path: str, list_: bytes = b"") -> str:
    file = root / path
    return access(root).readable_by(b"/" + path.encode(), file_facts(file.stat()), list_)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "private/host/key.pem"
    file.parent.mkdir(parents=True)
    file.touch()
    return file


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o644, "world"), (0o640, "group"), (0o600, "owner"), (0o604, "world")]
)
def test_where_all_may_pass_the_mode_tells(key: Path, mode: int, expected: str) -> None:
    key.chmod(mode)
    assert readers(key.parents[2], "private/host/key.pem") == expected


def test_behind_a_closed_directory_nobody_reads(key: Path) -> None:
    key.chmod(0o644)
    key.parents[1].chmod(0o700)
    assert readers(key.parents[2], "private/host/key.pem") == "owner"


def test_what_closes_the_way_to_the_root_does_not_count(key: Path) -> None:
    key.chmod(0o644)
    key.parents[2].chmod(0o700)
    assert readers(key.parents[2], "private/host/key.pem") == "world"


def test_those_whom_the_directory_lets_pass_read(key: Path) -> None:
    key.chmod(0o644)
    os.chown(key.parents[1], 0, 1001)
    key.parents[1].chmod(0o710)
    assert readers(key.parents[2], "private/host/key.pem") == "group:ops"
    os.chown(key.parents[1], 1000, 4242)
    assert readers(key.parents[2], "private/host/key.pem") == "user:web group:4242"
    key.parent.chmod(0o700)
    assert readers(key.parents[2], "private/host/key.pem") == "owner"


def test_the_files_group_must_be_let_pass_too(key: Path) -> None:
    os.chown(key, 0, 1000)
    key.chmod(0o640)
    key.parent.chmod(0o750)
    assert readers(key.parents[2], "private/host/key.pem") == "owner"
    os.chown(key.parent, 0, 1000)
    assert readers(key.parents[2], "private/host/key.pem") == "group"
    key.parent.chmod(0o705)  # the group is shut out, all others are not
    assert readers(key.parents[2], "private/host/key.pem") == "owner"


def test_an_access_list_names_readers_within_its_mask(key: Path) -> None:
    key.chmod(0o640)
    names = ((USER, 4, 1000), (USER, 4, 1002), (GROUP, 6, 1001), (GROUP, 0, 7))
    base = ((USER_OBJ, 6, NOBODY), (GROUP_OBJ, 0, NOBODY), (OTHER, 0, NOBODY))
    path = "private/host/key.pem"
    granted = acl(*base, *names, (MASK, 4, NOBODY))
    assert readers(key.parents[2], path, granted) == "user:web user:1002 group:ops"
    assert readers(key.parents[2], path, acl(*base, *names, (MASK, 0, NOBODY))) == "owner"
    own_group = acl((USER_OBJ, 6, NOBODY), (GROUP_OBJ, 4, NOBODY), (MASK, 4, NOBODY), base[2])
    assert readers(key.parents[2], path, own_group) == "group"
    key.parent.chmod(0o700)
    assert readers(key.parents[2], path, granted) == "owner"


def test_a_broken_list_leaves_the_mode(key: Path) -> None:
    key.chmod(0o640)
    assert readers(key.parents[2], "private/host/key.pem", b"\x02\0\0\0abc") == "group"


def test_a_list_of_a_directory_lets_one_person_pass(key: Path) -> None:
    key.chmod(0o644)
    key.parent.chmod(0o700)
    list_ = acl(
        (USER_OBJ, 7, NOBODY), (USER, 1, 1000), (GROUP_OBJ, 0, NOBODY), (MASK, 1, NOBODY), (OTHER, 0, NOBODY)
    )  # fmt: skip
    os.setxattr(key.parent, "system.posix_acl_access", list_)
    assert readers(key.parents[2], "private/host/key.pem") == "user:web"


def test_a_default_list_says_nothing_of_who_passes(key: Path) -> None:
    key.chmod(0o644)
    key.parent.chmod(0o700)
    list_ = acl(
        (USER_OBJ, 7, NOBODY), (USER, 5, 1000), (GROUP_OBJ, 5, NOBODY), (MASK, 5, NOBODY), (OTHER, 5, NOBODY)
    )  # fmt: skip
    os.setxattr(key.parent, "system.posix_acl_default", list_)
    assert readers(key.parents[2], "private/host/key.pem") == "owner"


def test_barriers_differ_when_the_way_is_opened_or_closed(key: Path) -> None:
    root = key.parents[2]

    def barriers() -> list[bytes]:
        return list(access(root).barriers([b"/private/host", b"/private", b"/"]))

    assert barriers() == []
    key.parents[1].chmod(0o750)
    closed = barriers()
    assert closed != []
    os.chown(key.parents[1], 0, 1001)
    assert barriers() != closed
    key.parents[1].chmod(0o755)
    assert barriers() == []


def test_a_directory_that_is_gone_leaves_the_files_own_mode(key: Path) -> None:
    facts = file_facts(key.stat())
    assert access(key.parents[2]).readable_by(b"/gone/key.pem", facts, b"") == "world"


def test_a_long_list_is_cut_so_that_a_row_can_hold_it(key: Path) -> None:
    key.chmod(0o640)
    names = tuple((USER, 4, number) for number in range(2000, 2100))
    base = ((USER_OBJ, 6, NOBODY), (GROUP_OBJ, 0, NOBODY), (MASK, 4, NOBODY), (OTHER, 0, NOBODY))
    text = readers(key.parents[2], "private/host/key.pem", acl(*base, *names))
    assert text.split() == [*(f"user:{number}" for number in range(2000, 2008)), "more"]
