"""Where the token comes from, and that it goes nowhere else."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from keycensus_client.credentials import (
    Credentials,
    checked_token,
    checked_url,
    configuration_directory,
    load,
    read_token,
    save,
)
from keycensus_client.errors import NotLoggedInError, UsageError

TOKEN = "kcu_0123456789abcdef_" + "a" * 64
LOGIN = Credentials("https://census:8443", TOKEN, "/ca.pem")


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    environment = {"KEYCENSUS_CONFIG": str(tmp_path / "new")}
    path = save(environment, LOGIN)
    save(environment, LOGIN)
    assert load(environment) == LOGIN
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert TOKEN not in repr(LOGIN)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://census", "https://census"),
        ("census.example.com:8443", "https://census.example.com:8443"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("HTTPS://Census/", "https://census"),
    ],
)
def test_addresses_are_made_plain(text: str, url: str) -> None:
    assert checked_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "http://census",
        "https://",
        "https://u:p@census",
        "https://census:x",
        "https://c/?q",
        "ftp://c",
    ],
)
def test_what_is_no_safe_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="https://"):
        checked_url(text)


def test_the_directory_follows_the_environment() -> None:
    assert configuration_directory({"KEYCENSUS_CONFIG": "/a"}) == Path("/a")
    assert configuration_directory({"XDG_CONFIG_HOME": "/x"}) == Path("/x/keycensus")
    assert configuration_directory({}).parts[-2:] == (".config", "keycensus")


def test_a_stored_token_is_not_sent_to_another_collector(tmp_path: Path) -> None:
    environment = {"KEYCENSUS_CONFIG": str(tmp_path)}
    save(environment, LOGIN)
    with pytest.raises(NotLoggedInError, match="KEYCENSUS_TOKEN_FILE too"):
        load(environment | {"KEYCENSUS_URL": "https://other"})
    (tmp_path / "token").write_text(TOKEN)
    own = environment | {
        "KEYCENSUS_URL": "https://other",
        "KEYCENSUS_TOKEN_FILE": str(tmp_path / "token"),
    }
    assert load(own).url == "https://other"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"url": 5}'])
def test_damaged_credentials_say_so(tmp_path: Path, content: str) -> None:
    path = tmp_path / "credentials.json"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(NotLoggedInError, match="damaged"):
        load({"KEYCENSUS_CONFIG": str(tmp_path)})


def test_credentials_that_can_not_be_used_say_why(tmp_path: Path) -> None:
    environment = {"KEYCENSUS_CONFIG": str(tmp_path)}
    with pytest.raises(NotLoggedInError, match="keycensus login URL"):
        load(environment)
    (tmp_path / "credentials.json").mkdir()
    (tmp_path / "credentials.json").chmod(0o700)
    with pytest.raises(NotLoggedInError, match=r"can't be read|damaged"):
        load(environment)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="KEYCENSUS_CONFIG"):
        save({"KEYCENSUS_CONFIG": str(tmp_path / "file")}, LOGIN)


@pytest.mark.parametrize("text", ["", "  \n", "two words", "é", "x" * 5000, "a\x1bb"])
def test_what_is_no_token_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        checked_token(text, "the file")
    assert not text.strip() or text not in str(caught.value)
    path = tmp_path / "token"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_token(path)
