from __future__ import annotations

import pytest

from keycensus_agent.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("collector.example.com", "collector.example.com", 8441, "collector.example.com:8441"),
        ("collector:99", "collector", 99, "collector:99"),
        ("192.0.2.1:8440", "192.0.2.1", 8440, "192.0.2.1:8440"),
        ("[2001:db8::1]:8440", "2001:db8::1", 8440, "[2001:db8::1]:8440"),
        ("[2001:db8::1]", "2001:db8::1", 8441, "[2001:db8::1]:8441"),
        ("2001:db8::1", "2001:db8::1", 8441, "[2001:db8::1]:8441"),
        ("my_host.lan.", "my_host.lan.", 8441, "my_host.lan.:8441"),
    ],
)
def test_an_address_is_read_as_people_write_it(text: str, host: str, port: int, shown: str) -> None:
    address = parse_address(text, 8441)
    assert address == Address(host, port)
    assert str(address) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":8440",
        "https://x",
        "x:0",
        "x:65536",
        "x:port",
        "a b",
        "[x]:1",
        "[::1",
        "x/y",
        "-x",
        "x\n",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        parse_address(text, 8441)


def test_an_empty_host_means_the_one_just_used_where_there_is_one() -> None:
    assert parse_address(":8440", 1, default_host="collector") == Address("collector", 8440)
