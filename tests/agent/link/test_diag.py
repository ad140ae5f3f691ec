"""What the kernel says of listening sockets and of its own addresses."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from keycensus_agent.inquiry import Listener
from keycensus_agent.link import diag


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


def test_a_listening_socket_is_listed_with_owner_and_control_group(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    (found,) = [each for each in diag.listeners() if each.port == port]
    assert (found.address, found.uid, found.v6only) == ("127.0.0.1", os.geteuid(), False)
    # From Linux 5.7; the machine that runs this is newer.
    assert found.cgroup > 0


def test_a_connected_socket_does_not_listen(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as connected:
        port = connected.getsockname()[1]
        assert not [each for each in diag.listeners() if each.port == port]


def test_a_socket_of_ipv6_says_whether_it_takes_ipv4_too() -> None:
    for only in (0, 1):
        with socket.socket(socket.AF_INET6) as listener:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            listener.bind(("::", 0))
            listener.listen()
            port = listener.getsockname()[1]
            (found,) = [each for each in diag.listeners() if each.port == port]
            assert found == Listener("::", port, os.geteuid(), found.cgroup, bool(only))


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("192.0.2.1", False),
        ("8.8.8.8", False),
        ("2001:db8::1", False),
        ("0.0.0.0", False),  # noqa: S104 - is refused
        ("::", False),
        ("224.0.0.1", False),
        ("fe80::1%1", False),
        ("::ffff:8.8.8.8", False),
    ],
)
def test_only_the_hosts_own_addresses_are_its_own(address: str, own: bool) -> None:  # noqa: FBT001 - a parameter
    assert diag.is_own(address) is own


def test_an_address_of_an_interface_is_the_hosts_own() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probing:
        try:
            # Sends nothing: it makes the kernel choose a source address.
            probing.connect(("192.0.2.1", 9))
            address = probing.getsockname()[0]
        except OSError:
            address = "127.0.0.1"  # a machine without a network
    assert diag.is_own(address)


def test_a_kernel_that_says_no_owns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "netlink")

    monkeypatch.setattr("keycensus_agent.link.diag.socket.socket", refused)
    assert not diag.is_own("192.0.2.1")
    assert diag.is_own("127.0.0.1")


def test_messages_that_are_cut_or_lie_end_the_list() -> None:
    assert list(diag._messages(b"\1")) == []
    assert list(diag._messages(bytes(16))) == []
    assert list(diag._attributes(b"\0\0\1\0")) == []
    assert list(diag._attributes(b"\5\0\1\0x\0\0\0\6\0\2\0yz")) == [(1, b"x"), (2, b"yz")]
