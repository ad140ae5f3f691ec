from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path

import pytest
from fakes.collector_stub import ThrowAwayAuthority, running_collector
from fakes.tcp_servers import (
    free_port,
    hangs_up,
    says_nothing,
    speaks_http,
    tcp_server,
    tls_handler,
)

from keycensus_agent.address import Address
from keycensus_agent.errors import LinkError
from keycensus_agent.link.handshake import explain, presented_chain


def probe(port: int) -> list[bytes]:
    return presented_chain(Address("127.0.0.1", port), None, timeout=1)


async def test_a_server_presents_its_chain_with_the_root() -> None:
    async with running_collector() as stub:
        chain = await asyncio.to_thread(probe, stub.enrolment_port)
    assert len(chain) == 2
    assert chain[1] == stub.authority.der


def test_the_whole_chain_is_had_by_public_api_or_by_the_private_method_before_it() -> None:
    # Before Python 3.13 the only way is private: if it goes, this says so before enrolment does.
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(
        ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="collector.test"
    )
    public = hasattr(ssl.SSLSocket, "get_unverified_chain")
    private = hasattr(getattr(tls, "_sslobj"), "get_unverified_chain")  # noqa: B009 - as the module
    assert public or private


def test_a_refused_connection_says_that_nothing_listens() -> None:
    with pytest.raises(LinkError, match="nothing listens on port"):
        probe(free_port())


def test_an_unknown_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(LinkError, match=r'the name "nowhere.invalid" is not known') as caught:
        presented_chain(Address("nowhere.invalid", 8441), None, timeout=1)
    assert caught.value.reason == "unreachable"


@pytest.mark.parametrize("handler", [speaks_http, hangs_up])
def test_a_server_that_speaks_no_tls_is_told_from_a_collector(handler: object) -> None:
    with tcp_server(handler) as port, pytest.raises(LinkError, match="not speak TLS") as caught:  # type: ignore[arg-type]
        probe(port)
    assert caught.value.reason == "tls"


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with tcp_server(says_nothing) as port, pytest.raises(LinkError, match="did not answer"):
        probe(port)


def test_a_server_with_old_tls_only_is_refused_and_told_so(tmp_path: Path) -> None:
    handler = tls_handler(*ThrowAwayAuthority().issue_server("x.test"), tmp_path, old=True)
    with tcp_server(handler) as port, pytest.raises(LinkError, match=r"older than 1\.2") as caught:
        probe(port)
    assert caught.value.reason == "tls"


def test_a_tls_server_that_hangs_up_afterwards_is_explained(tmp_path: Path) -> None:
    authority = ThrowAwayAuthority()
    handler = tls_handler(*authority.issue_server("x.test"), tmp_path)
    with tcp_server(handler) as port:
        error = explain(Address("127.0.0.1", port), None, authority.pem, None, timeout=1)
    assert "after the TLS handshake" in str(error)


async def test_a_collector_that_wants_a_certificate_is_explained() -> None:
    async with running_collector() as stub:
        error = await asyncio.to_thread(
            explain,
            Address("127.0.0.1", stub.report_port),
            None,
            stub.authority.pem,
            None,
            timeout=2,
        )
    assert error.reason == "tls"
    assert "take this agent's certificate" in str(error)


async def test_a_collector_that_is_fine_by_now_says_try_again() -> None:
    async with running_collector() as stub:
        error = await asyncio.to_thread(
            explain,
            Address("127.0.0.1", stub.enrolment_port),
            None,
            stub.authority.pem,
            None,
            timeout=2,
        )
    assert error.reason == "unreachable"
    assert "can be reached now" in str(error)
