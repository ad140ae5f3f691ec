from __future__ import annotations

from pathlib import Path

import pytest
from fakes.collector_stub import running_collector
from fakes.enrolled_agent import config_in, enrol_at
from fakes.tcp_servers import connect_proxy, free_port, hangs_up, tcp_server

from keycensus_agent.address import Address
from keycensus_agent.errors import LinkError
from keycensus_agent.link.proxy import choose_proxy, connect

COLLECTOR = Address("collector.example.com", 8440)


async def test_enrolment_goes_through_a_connect_proxy_whole(tmp_path: Path) -> None:
    seen: list[bytes] = []
    with tcp_server(connect_proxy(seen)) as port:
        async with running_collector() as stub:
            config = config_in(tmp_path, proxy=f"http://user:p%40ss@127.0.0.1:{port}")
            outcome = await enrol_at(stub, config)

    assert outcome.changed
    # The probe for the anchor, and gRPC's own connection.
    assert len(seen) == 2
    for head in seen:
        assert head.startswith(f"CONNECT {stub.enrolment_address} ".encode())
        assert b"basic dxnlcjpwqhnz" in head.lower()


def test_the_environment_names_the_proxy_in_grpcs_order() -> None:
    environment = {"http_proxy": "http://c:3", "https_proxy": "http://b:2"}
    chosen = choose_proxy(COLLECTOR, "", environment)
    assert chosen is not None
    assert chosen.address == Address("b", 2)
    chosen = choose_proxy(COLLECTOR, "", environment | {"grpc_proxy": "a:1"})
    assert chosen is not None
    assert chosen.address == Address("a", 1)


@pytest.mark.parametrize(
    ("host", "bypass", "through"),
    [
        ("collector.example.com", "example.com", False),
        ("collector.example.com", ".example.com,other", False),
        ("collector.example.com", "example.org", True),
        ("192.0.2.7", "192.0.2.0/24", False),
        ("192.0.2.7", "198.51.100.0/24", True),
        ("collector.example.com", "*", False),
    ],
)
def test_no_proxy_is_heeded(host: str, bypass: str, through: bool) -> None:  # noqa: FBT001 - a table
    environment = {"https_proxy": "http://b:2", "no_proxy": bypass}
    assert bool(choose_proxy(Address(host, 8440), "", environment)) is through


def test_the_setting_wins_over_the_environment_and_none_means_none() -> None:
    environment = {"https_proxy": "http://b:2"}
    chosen = choose_proxy(COLLECTOR, "http://a:1", environment)
    assert chosen is not None
    assert chosen.address.host == "a"
    assert choose_proxy(COLLECTOR, "none", environment) is None


def test_a_proxys_password_is_in_no_repr_and_no_error() -> None:
    chosen = choose_proxy(COLLECTOR, "http://user:hunter2@127.0.0.1:1", {})
    assert "hunter2" not in repr(chosen)
    with pytest.raises(LinkError) as caught:
        choose_proxy(COLLECTOR, "socks5://user:hunter2@proxy:1", {})
    assert "hunter2" not in str(caught.value)


def test_a_proxy_that_refuses_is_quoted() -> None:
    handler = connect_proxy([], b"HTTP/1.1 403 Forbidden \x1b[31m\r\n\r\n")
    with tcp_server(handler) as port:
        proxy = choose_proxy(COLLECTOR, f"http://127.0.0.1:{port}", {})
        with pytest.raises(LinkError, match=r"403 Forbidden \\x1b") as caught:
            connect(COLLECTOR, proxy, 2)
    assert "does not let us through to collector.example.com:8440" in str(caught.value)


def test_a_proxy_that_is_not_there_or_hangs_up_is_named() -> None:
    proxy = choose_proxy(COLLECTOR, f"http://127.0.0.1:{free_port()}", {})
    with pytest.raises(LinkError, match=r"the proxy 127\.0\.0\.1"):
        connect(COLLECTOR, proxy, 2)
    with tcp_server(hangs_up) as port:
        proxy = choose_proxy(COLLECTOR, f"http://127.0.0.1:{port}", {})
        with pytest.raises(LinkError, match=r"the proxy 127\.0\.0\.1"):
            connect(COLLECTOR, proxy, 2)
