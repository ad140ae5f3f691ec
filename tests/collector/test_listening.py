"""The port for people: what it accepts sends at once."""

from __future__ import annotations

import socket

import pytest

from keycensus_collector.config import Address
from keycensus_collector.listening import bind_tcp


@pytest.mark.parametrize("host", ["127.0.0.1", ""])
def test_an_answer_waits_for_no_word_of_its_beginning(host: str) -> None:
    with bind_tcp(Address(host, 0), "listen.web") as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
