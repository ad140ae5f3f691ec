from __future__ import annotations

from pathlib import Path

import pytest

from keycensus_collector.config import (
    Address,
    Configuration,
    check_name,
    load,
    parse,
    parse_address,
)
from keycensus_collector.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


def test_an_empty_file_means_the_defaults() -> None:
    assert parse("", "f") == Configuration()
    assert Configuration().database_url == ("sqlite:////var/lib/keycensus-collector/keycensus.db")


def test_the_sample_file_says_the_defaults() -> None:
    sample = ROOT / "packaging" / "collector.toml"
    uncommented = "\n".join(
        line.removeprefix("#") if line.startswith("#") and " = " in line else line
        for line in sample.read_text().splitlines()
    )
    assert parse(uncommented, "sample") == Configuration()
    assert load(sample) == Configuration()


def test_the_database_follows_the_state_directory() -> None:
    configuration = parse('[state]\ndirectory = "/srv/kc"', "f")
    assert configuration.database_url == "sqlite:////srv/kc/keycensus.db"


def test_every_mistake_is_told_at_once_with_key_and_what_would_be_right() -> None:
    text = """
    nonsense = 1
    [listen]
    enrol = "8441"
    report = 8440
    wbe = ":8443"
    [limits]
    streams = 0
    batch_credit = true
    [names]
    public = ["good.example", "bad name"]
    [log]
    level = "loud"
    [database]
    url = "mysql://x"
    [state]
    directory = "relative"
    """
    with pytest.raises(ConfigurationError) as raised:
        parse(text, "/etc/c.toml")
    lines = str(raised.value).splitlines()
    assert all(line.startswith("/etc/c.toml: ") for line in lines)
    told = "\n".join(lines)
    assert len(lines) == 10
    for piece in (
        "listen.enrol: '8441' is no address",
        "listen.report: write an address as text",
        "listen.wbe: there is no such key; did you mean listen.web?",
        "limits.streams: write a whole number from 1",
        "limits.batch_credit: write a whole number",
        "names.public: 'bad name' is neither",
        "log.level: write one of: debug, info",
        'database.url: write "sqlite:////absolute/path" or "postgresql://USER@HOST/DATABASE"',
        "state.directory: write an absolute path",
        "nonsense: there is no such key; known here: audit, database",
    ):
        assert piece in told


def test_a_section_that_is_no_table_is_a_mistake() -> None:
    with pytest.raises(ConfigurationError, match=r"log: write it as a table \[log\]"):
        parse("log = 1", "f")


def test_control_characters_of_a_key_are_escaped() -> None:
    with pytest.raises(ConfigurationError) as raised:
        parse('"a\\u001b[31m" = 1', "f")
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8441", Address("", 8441)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]:8441", Address("::1", 8441)),
        ("collector.example:65535", Address("collector.example", 65535)),
    ],
)
def test_an_address_reads_back_as_written(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "host", "host:", "host:65536", "host:-1", "::1:80", "a b:1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no address|is neither"):
        parse_address(text)


@pytest.mark.parametrize("name", ["localhost", "a.b-c.example", "10.0.0.1", "::1"])
def test_names_are_dns_names_and_addresses(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a..b", "-a", "a" * 64, "*.example.com", "a/b", "é.example"])
def test_other_text_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="neither a DNS name nor an IP address"):
        check_name(name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "keycensus-collector init"),
        (b"[listen", "not valid TOML"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_can_not_be_read_is_named(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "collector.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=message) as raised:
        load(file)
    assert str(file) in str(raised.value)


def test_a_directory_in_place_of_the_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        load(tmp_path)
