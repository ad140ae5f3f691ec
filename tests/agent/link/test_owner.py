from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.unprivileged import as_nobody, open_directory

from keycensus_agent.errors import StorageError
from keycensus_agent.link.owner import as_owner_of
from keycensus_agent.link.secret_directory import SecretDirectory

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be someone else")


def who() -> tuple[int, int, list[int]]:
    return os.geteuid(), os.getegid(), os.getgroups()


@root_only
def test_root_works_as_the_owner_of_the_directory_above_the_identity() -> None:
    before = who()
    with open_directory() as above:
        os.chown(above, NOBODY, NOBODY)
        identity = above / "identity"
        with as_owner_of(identity):
            assert who() == (NOBODY, NOBODY, [NOBODY])
        assert who() == before
        SecretDirectory(identity).create()
        SecretDirectory(identity).write({"key.pem": b"x"})
        assert {path.stat().st_uid for path in (identity, identity / "key.pem")} == {NOBODY}
        # What is there already says whose it is, whoever the parent belongs to.
        os.chown(above, 0, 0)
        SecretDirectory(identity).open()
        assert SecretDirectory(identity).read("key.pem") == {"key.pem": b"x"}


@root_only
def test_root_removes_or_puts_aside_an_identity_in_a_directory_of_roots() -> None:
    with open_directory() as above:
        for end in (SecretDirectory.remove_all, lambda it: it.put_aside("old")):
            identity = above / "identity"
            identity.mkdir(mode=0o700)
            os.chown(identity, NOBODY, NOBODY)
            SecretDirectory(identity).write({"key.pem": b"x"})
            end(SecretDirectory(identity))
            assert not identity.exists()
        assert (above / "identity.old" / "key.pem").exists()


@root_only
def test_root_is_not_led_anywhere_by_what_the_owner_planted() -> None:
    with open_directory() as above, open_directory() as of_root:
        of_root.chmod(0o700)
        os.chown(above, NOBODY, NOBODY)
        (of_root / "secret").touch(mode=0o600)
        (above / "identity").symlink_to(of_root)
        os.chown(above / "identity", NOBODY, NOBODY, follow_symlinks=False)
        with pytest.raises(StorageError, match="Permission denied"):
            SecretDirectory(above / "identity").remove_all()
        assert (of_root / "secret").exists()


@root_only
def test_rights_come_back_after_an_error_too() -> None:
    before = who()
    with open_directory() as above:
        os.chown(above, NOBODY, NOBODY)
        with pytest.raises(KeyError), as_owner_of(above):
            raise KeyError
    assert who() == before


def test_in_a_directory_of_ones_own_one_stays_who_one_is(tmp_path: Path) -> None:
    before = who()
    with as_owner_of(tmp_path / "not" / "there"):
        assert who() == before


@root_only
def test_whoever_is_not_root_stays_who_they_are() -> None:
    with open_directory() as above, as_nobody():
        before = who()
        with as_owner_of(above / "identity"):
            assert who() == before
