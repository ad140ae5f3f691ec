from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from keycensus_agent.errors import IdentityError, StorageError, StorageFullError
from keycensus_agent.link.secret_directory import SecretDirectory

FILES = {"a": b"old a", "b": b"old b"}
NEW = {"a": b"new a", "b": b"new b"}


@pytest.fixture
def directory(tmp_path: Path) -> SecretDirectory:
    made = SecretDirectory(tmp_path / "state" / "identity")
    made.create()
    made.write(FILES)
    return made


@pytest.mark.parametrize(
    ("name", "mode", "right"), [("", 0o750, "0700"), ("a", 0o640, "0600"), ("b", 0o604, "0600")]
)
def test_what_others_could_read_is_refused_with_the_mode_to_set(
    directory: SecretDirectory, name: str, mode: int, right: str
) -> None:
    (directory.path / name).chmod(mode)
    with pytest.raises(IdentityError, match=f"chmod {right}"):
        directory.open()


def test_a_link_in_place_of_a_file_is_refused(directory: SecretDirectory, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"x")
    (directory.path / "c").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IdentityError, match="not a regular file"):
        directory.open()
    with pytest.raises(StorageError):
        directory.read("c")


def test_another_users_files_are_refused(
    directory: SecretDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = directory.path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(IdentityError, match=f"belongs to user {owner}"):
        directory.open()


CRASH = """
import os, sys
from pathlib import Path
from keycensus_agent.link import secret_directory
step, real = [int(sys.argv[2])], Path.rename
def crash():
    step[0] -= 1
    if step[0] == 0:
        os._exit(9)
def rename(self, target):
    crash(); result = real(self, target); crash(); return result
Path.rename = rename
secret_directory.SecretDirectory(Path(sys.argv[1])).write({"a": b"new a", "b": b"new b"})
"""


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6])
def test_a_crash_at_any_step_leaves_all_old_or_all_new(
    directory: SecretDirectory, step: int
) -> None:
    crashed = subprocess.run(
        [sys.executable, "-c", CRASH, str(directory.path), str(step)], check=False
    )
    assert crashed.returncode == 9

    directory.open()
    found = directory.read("a", "b")
    assert found == (FILES if step == 1 else NEW)
    assert not (directory.path / "journal.json").exists()


def test_a_full_disk_leaves_the_old_files_and_says_so(
    directory: SecretDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageFullError, match="is full"):
            directory.write(NEW)
    directory.open()
    assert directory.read("a", "b") == FILES


def test_a_damaged_journal_is_a_clear_error(directory: SecretDirectory) -> None:
    journal = directory.path / "journal.json"
    journal.write_bytes(b"{")
    journal.chmod(0o600)
    with pytest.raises(StorageError, match="is damaged"):
        directory.open()


def test_two_changes_at_once_are_refused_and_reading_goes_on(directory: SecretDirectory) -> None:
    other = SecretDirectory(directory.path)
    with directory.changing():
        with pytest.raises(StorageError, match="another keycensus-agent"), other.changing():
            pass
        assert other.read("a") == {"a": b"old a"}
    with other.changing():
        pass


def test_removing_takes_the_directory_and_nothing_else(directory: SecretDirectory) -> None:
    directory.remove("a")
    directory.remove("a")
    assert set(directory.read("a", "b")) == {"b"}
    directory.remove_all()
    directory.remove_all()
    assert not directory.path.exists()
    assert directory.path.parent.exists()
