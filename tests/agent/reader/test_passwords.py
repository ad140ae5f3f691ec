from __future__ import annotations

import os
from pathlib import Path

import pytest

from keycensus_agent.errors import ConfigurationError
from keycensus_agent.reader.passwords import (
    DEFAULT_PASSWORDS,
    PasswordFile,
    candidate_passwords,
    read_password_file,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "passwords"


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def test_each_path_gets_the_passwords_of_the_patterns_that_match_it(path: Path) -> None:
    text = "# comment\n\n/opt/*.jks:one: two \r\n*\tthree\n/opt/a.jks\tthree\n/srv/x:four\n"
    passwords = read_password_file(write(path, text))
    assert passwords.passwords_for(b"/opt/deep/a.jks") == ("one: two ", "three")
    assert passwords.passwords_for(b"/opt/a.jks") == ("one: two ", "three")
    assert passwords.passwords_for(b"/srv/\xff") == ("three",)
    assert PasswordFile().passwords_for(b"/opt/a.jks") == ()


def test_defaults_are_tried_only_if_wanted_after_the_others_and_each_once(path: Path) -> None:
    write(path, "/opt/*:own\n/opt/*:changeit\n" + "".join(f"/many:p{n}\n" for n in range(50)))
    assert candidate_passwords(None, try_defaults=False).passwords_for(b"/x") == ()
    assert candidate_passwords(path, try_defaults=False).passwords_for(b"/x") == ()
    wanted = candidate_passwords(path, try_defaults=True)
    assert wanted.passwords_for(b"/x") == DEFAULT_PASSWORDS
    assert wanted.passwords_for(b"/opt/x") == ("own", *DEFAULT_PASSWORDS)
    assert len(wanted.passwords_for(b"/many")) == 16 + len(DEFAULT_PASSWORDS)
    assert candidate_passwords(None, try_defaults=True).passwords_for(b"/x") == DEFAULT_PASSWORDS


def test_only_so_many_candidates_are_tried(path: Path) -> None:
    lines = "".join(f"*:p{number}\n" for number in range(50))
    assert len(read_password_file(write(path, lines)).passwords_for(b"/x")) == 16


def test_all_mistakes_are_told_together_and_no_password_is_quoted(path: Path) -> None:
    text = b"/opt/a.jks hunter2\nrelative:hunter2\n/x:\xffhunter2\n/fine:hunter2\n"
    with pytest.raises(ConfigurationError) as caught:
        read_password_file(write(path, text))
    assert [f":{number}:" in str(caught.value) for number in (1, 2, 3, 4)] == [True] * 3 + [False]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_file_that_others_can_reach_is_refused(path: Path, mode: int) -> None:
    with pytest.raises(ConfigurationError, match="chmod 600"):
        read_password_file(write(path, "*:x\n", mode))


def test_a_missing_file_a_directory_a_pipe_and_a_huge_file_are_refused(
    path: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_password_file(path)
    with pytest.raises(ConfigurationError, match="not a regular file"):
        read_password_file(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        read_password_file(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match="split it"):
        read_password_file(write(path, b"\n" * (1024 * 1024 + 1)))


def test_a_file_of_somebody_else_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, "*:x\n")
    if os.geteuid() == 0:
        os.chown(path, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(ConfigurationError, match="chown it to root"):
        read_password_file(path)


def test_passwords_are_not_shown(path: Path) -> None:
    assert "hunter2" not in repr(read_password_file(write(path, "*:hunter2\n")))
