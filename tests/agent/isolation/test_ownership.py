"""Root gives the agent's directories away, and nothing that was smuggled into them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from keycensus_agent.errors import ConfigurationError
from keycensus_agent.isolation import users
from keycensus_agent.isolation.ownership import give, prepare_state
from keycensus_agent.isolation.users import NOBODY, UNNAMED_READER, User

ROOT = os.geteuid() == 0


def owner(path: Path) -> int:
    return path.lstat().st_uid


def test_the_state_is_the_readers_and_the_identity_the_links(tmp_path: Path) -> None:
    state = tmp_path / "agent"
    (state / "identity").mkdir(parents=True, mode=0o700)
    (state / "identity" / "key.pem").write_bytes(b"x")
    prepare_state(state)
    (state / "state").mkdir(exist_ok=True)
    (state / "state" / "state.db").write_bytes(b"x")
    prepare_state(state)
    own = os.geteuid()
    reader = users.reader_user().uid if ROOT else own
    link = users.link_user().uid if ROOT else own
    assert {owner(state), owner(state / "state"), owner(state / "state/state.db")} == {reader}
    assert {owner(state / "identity"), owner(state / "identity/key.pem")} == {link}


def test_a_second_name_of_a_file_and_a_link_are_not_given_away(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"x")
    directory = tmp_path / "directory"
    directory.mkdir()
    os.link(precious, directory / "second-name")
    (directory / "link").symlink_to(precious)
    (tmp_path / "to-directory").symlink_to(directory)
    give(tmp_path / "to-directory", User(4711, 4711))
    assert owner(directory) == os.geteuid()
    give(directory, User(4711, 4711))
    assert owner(directory) == (4711 if ROOT else os.geteuid())
    assert owner(precious) == os.geteuid()


@pytest.mark.skipif(not ROOT, reason="only root gives away")
def test_a_directory_with_other_files_is_given_to_nobody(tmp_path: Path) -> None:
    (tmp_path / "payroll.db").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=r"payroll\.db"):
        prepare_state(tmp_path)
    assert owner(tmp_path) == 0


@pytest.mark.skipif(not ROOT, reason="only root gives away")
def test_what_belongs_to_someone_else_stays_theirs(tmp_path: Path) -> None:
    for name, uid in (("theirs", 1234), ("formerly", UNNAMED_READER.uid), ("roots", 0)):
        (tmp_path / name).write_bytes(b"x")
        os.chown(tmp_path / name, uid, uid)
    give(tmp_path, User(4711, 4711))
    owners = {name: owner(tmp_path / name) for name in ("theirs", "formerly", "roots")}
    assert owners == {"theirs": 1234, "formerly": 4711, "roots": 4711}


def test_users_are_those_of_the_package_or_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = tmp_path / "passwd"
    monkeypatch.setattr(users, "_ACCOUNTS", str(accounts))
    assert users.reader_user() == UNNAMED_READER
    assert users.parser_user() == users.link_user() == NOBODY
    accounts.write_text(
        "root:x:0:0::/root:/bin/sh\nbroken\nkeycensus-agent:x:980:979::/:/bin/false\n"
        "keycensus-agent-link:x:981:978::/:/bin/false\n"
    )
    assert users.reader_user() == users.parser_user() == User(980, 979)
    assert users.link_user() == User(981, 978)


@pytest.mark.parametrize("fields", ["0:0", "0:980", "980:0", "x:980", ""])
def test_an_account_with_roots_rights_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: str
) -> None:
    accounts = tmp_path / "passwd"
    accounts.write_text(f"keycensus-agent-link:x:{fields}:\n")
    monkeypatch.setattr(users, "_ACCOUNTS", str(accounts))
    assert users.link_user() == NOBODY
