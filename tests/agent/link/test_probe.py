"""One handshake with a listener: what it presents comes back, whatever else it does."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from fakes.pki import issue
from fakes.tls_listener import listening, server_context

from keycensus_agent.inquiry import Presented, Question
from keycensus_agent.link import probe as probing
from keycensus_agent.link.probe import chain_of, probe

ROOT = issue("Example Root", is_ca=True)
LEAF = issue("www.example.com", issuer=ROOT, sans=("www.example.com",))
OTHER = issue("shop.example.com", issuer=ROOT, sans=("shop.example.com",))
RSA = issue("www.example.com", key=rsa.generate_private_key(65537, 2048))
EXPIRED = issue("old.example.com", days=-5)


def ask(port: int, seconds: float = 10.0, **fields: str) -> Presented:
    question = Question("127.0.0.1", port, **fields)
    return asyncio.run(probe(question, seconds=seconds))


def test_the_whole_chain_is_seen_as_it_was_presented() -> None:
    with listening(server_context([LEAF, ROOT])) as port:
        presented = ask(port, server_name="www.example.com")
    assert presented.chain == (LEAF.der, ROOT.der)
    assert (presented.tls_version, presented.error) == ("TLSv1.3", "")
    assert presented.cipher.startswith("TLS_")


def test_nothing_is_verified() -> None:
    with listening(server_context([EXPIRED])) as port:
        assert ask(port, server_name="another.example.com").chain == (EXPIRED.der,)


def test_the_name_that_is_asked_for_decides() -> None:
    context = server_context([LEAF])
    shop = server_context([OTHER])

    def choose(tls: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name == "shop.example.com":
            tls.context = shop

    context.sni_callback = choose
    with listening(context) as port:
        assert ask(port, server_name="shop.example.com").chain[0] == OTHER.der
        assert ask(port).chain[0] == LEAF.der


def test_each_kind_of_signature_is_seen_where_there_are_two() -> None:
    with listening(server_context([LEAF], [RSA])) as port:
        assert ask(port, family="rsa").chain[0] == RSA.der
        assert ask(port, family="ecdsa").chain[0] == LEAF.der
    with listening(server_context([LEAF])) as port:
        presented = ask(port, family="rsa")
    assert presented.chain == ()
    assert "handshake failure" in presented.error


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_that_wants_a_certificate_is_not_given_one(version: ssl.TLSVersion) -> None:
    context = server_context([LEAF, ROOT])
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    with listening(context) as port:
        assert ask(port).chain == (LEAF.der, ROOT.der)


def test_old_versions_are_seen_too() -> None:
    context = server_context([LEAF])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with listening(context) as port:
        assert ask(port).tls_version == "TLSv1.2"


def answering(data: bytes) -> Callable[[socket.socket], None]:
    def before(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(data)

    return before


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        b"\x16\x03\x03\x40\x00" + b"\x02\x00\x3f\xfc" * 5000,
    ],
)
def test_what_is_no_tls_is_told_and_nothing_more(data: bytes) -> None:
    with listening(None, answering(data)) as port:
        presented = ask(port)
    assert presented.error
    assert presented == Presented(error=presented.error)


def test_a_silent_listener_and_a_closed_port_end_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        assert ask(port, seconds=0.1).error == "no answer in 0 s"
    assert ask(port).error == "Connection refused"


def test_a_flood_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probing, "_BYTES", 1000)
    chain = [replace(LEAF), *[ROOT] * 4]
    with listening(server_context(chain)) as port:
        presented = ask(port)
    assert presented.error == "a handshake without end"


# --- how the chain is had ------------------------------------------------------------------------


def test_this_pythons_own_way_to_the_chain_is_there() -> None:
    """If it goes, only leaves are seen: this test says so before a fleet does."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(
        ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="a"
    )
    below = getattr(tls, "_sslobj", None)
    assert hasattr(tls, "get_unverified_chain") or hasattr(below, "get_unverified_chain")
    assert chain_of(tls) == []


class _New:
    def get_unverified_chain(self) -> list[bytes]:
        return [b"leaf", b"root"]


class _Bare:
    def __init__(self, leaf: bytes | None) -> None:
        self.leaf = leaf

    def getpeercert(self, *, binary_form: bool) -> bytes | None:
        assert binary_form
        if self.leaf is None:
            raise ValueError("handshake not done yet")
        return self.leaf


def test_without_it_the_public_way_or_the_leaf_alone_is_taken() -> None:
    assert chain_of(_New()) == [b"leaf", b"root"]  # type: ignore[arg-type]
    assert chain_of(_Bare(b"leaf")) == [b"leaf"]  # type: ignore[arg-type]
    assert chain_of(_Bare(b"")) == []  # type: ignore[arg-type]
    assert chain_of(_Bare(None)) == []  # type: ignore[arg-type]
