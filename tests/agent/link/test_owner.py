from __future__ import annotations

import os
from pathlib import Path

import pytest
from fakes.unprivileged import as_nobody, open_directory

from keycensus_agent.errors import StorageError
from keycensus_agent.link import owner
from keycensus_agent.link.owner import as_owner_of
from keycensus_agent.link.secret_directory import SecretDirectory

NOBODY = 65534
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be someone else")


@pytest.fixture(autouse=True)
def _nobody_is_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owner, "LINK_USER", "nobody")


def who() -> tuple[int, int, list[int]]:
    return os.geteuid(), os.getegid(), os.getgroups()


@root_only
def test_root_works_as_the_link_s_user_in_that_user_s_directory() -> None:
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
        assert SecretDirectory(identity).read("key.pem") == {"key.pem": b"x"}
        aside = SecretDirectory(identity).put_aside("old", ["key.pem"])
        assert aside.with_name(f"{aside.name}key.pem").stat().st_uid == NOBODY
        SecretDirectory(identity).open()
        SecretDirectory(identity).remove_all()
        assert list(above.iterdir()) == []


@root_only
def test_root_is_not_led_anywhere_by_what_the_link_planted() -> None:
    with open_directory() as above, open_directory() as of_root:
        of_root.chmod(0o700)
        os.chown(above, NOBODY, NOBODY)
        (of_root / "secret").touch(mode=0o600)
        (above / "identity").symlink_to(of_root)
        with pytest.raises(StorageError, match="Permission denied"):
            SecretDirectory(above / "identity").remove_all()
        assert (of_root / "secret").exists()


@root_only
def test_rights_come_back_after_an_error_too() -> None:
    before = who()
    with open_directory() as above:
        os.chown(above, NOBODY, NOBODY)
        with pytest.raises(KeyError), as_owner_of(above / "identity"):
            raise KeyError
    assert who() == before


@pytest.mark.parametrize("link", ["nobody", "no-such-user"])
def test_elsewhere_root_stays_root(
    link: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "LINK_USER", link)
    before = who()
    for directory in (tmp_path / "not" / "there", tmp_path):
        with as_owner_of(directory):
            assert who() == before


@root_only
def test_whoever_is_not_root_stays_who_they_are() -> None:
    with open_directory() as above:
        os.chown(above, NOBODY, NOBODY)
        with as_nobody():
            before = who()
            with as_owner_of(above / "identity"):
                assert who() == before
