"""TLS that begins after a word in another protocol, each by a server of a few lines."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
from fakes.pki import issue
from fakes.tls_listener import listening, server_context

from keycensus_agent.inquiry import PROTOCOLS, Presented, Question
from keycensus_agent.link.probe import probe
from keycensus_agent.link.starttls import PRELUDES

LEAF = issue("mail.example.com")
CONTEXT = server_context([LEAF])
MYSQL = b"\x0a8.0.36\0" + bytes(4) + b"saltsalt\0" + (0x0800).to_bytes(2, "little") + bytes(20)
Script = list[tuple[str, bytes]]

# What a server says, and what of the client it waits for: "<" says, ">" waits.
GOOD: dict[str, Script] = {
    "starttls-smtp": [
        ("<", b"220-mail\r\n220 ESMTP\r\n"),
        (">", b"EHLO localhost\r\n"),
        ("<", b"250-mail\r\n250-STARTTLS\r\n250 SIZE\r\n"),
        (">", b"STARTTLS\r\n"),
        ("<", b"220 go\r\n"),
    ],
    "starttls-imap": [
        ("<", b"* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n"),
        (">", b"a STARTTLS\r\n"),
        ("<", b"* note\r\na OK go\r\n"),
    ],
    "starttls-pop3": [("<", b"+OK\r\n"), (">", b"STLS\r\n"), ("<", b"+OK go\r\n")],
    "starttls-ldap": [
        (">", b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
        ("<", b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"),
    ],
    "starttls-postgresql": [(">", bytes.fromhex("0000000804d2162f")), ("<", b"S")],
    "starttls-mysql": [
        ("<", len(MYSQL).to_bytes(3, "little") + b"\0" + MYSQL),
        (">", b"\x20\x00\x00\x01\x01\x8a\x00\x00\x00\x00\x00\x01\x2d" + bytes(23)),
    ],
}
NO_TLS = MYSQL.replace((0x0800).to_bytes(2, "little"), b"\0\0", 1)
BAD: list[tuple[str, Script, str]] = [
    ("starttls-smtp", [("<", b"554 no\r\n")], "gives no answer of SMTP"),
    ("starttls-smtp", [("<", b"220-x\r\n" * 200)], "gives an answer without end"),
    (
        "starttls-smtp",
        [("<", b"220 x\r\n"), (">", b"EHLO localhost\r\n"), ("<", b"250 x\r\n")],
        "offers no STARTTLS",
    ),
    ("starttls-imap", [("<", b"* BYE\r\n")], "gives no answer of IMAP"),
    (
        "starttls-imap",
        [("<", b"* OK\r\n"), (">", b"a STARTTLS\r\n"), ("<", b"a BAD\r\n")],
        "offers no STARTTLS",
    ),
    ("starttls-imap", [("<", b"* OK\r\n"), (">", b"a STARTTLS\r\n")], "offers no STARTTLS"),
    ("starttls-imap", [("<", b"* OK\r\n" + b"* x\r\n" * 200)], "offers no STARTTLS"),
    ("starttls-pop3", [("<", b"-ERR\r\n")], "gives no answer of POP3"),
    (
        "starttls-pop3",
        [("<", b"+OK\r\n"), (">", b"STLS\r\n"), ("<", b"-ERR\r\n")],
        "offers no STLS",
    ),
    ("starttls-ldap", [("<", b"HTTP")], "gives no answer of LDAP"),
    ("starttls-ldap", [("<", b"\x30\x84\x7f\xff\xff\xff")], "gives an answer without end"),
    (
        "starttls-ldap",
        [("<", b"\x30\x81\x0c\x02\x01\x01\x78\x07\x0a\x01\x35\x04\x00\x04\x00")],
        "offers no StartTLS",
    ),
    ("starttls-postgresql", [("<", b"N")], "offers no TLS"),
    ("starttls-postgresql", [], "does not speak this protocol"),
    ("starttls-mysql", [("<", b"\0\0\0\0")], "gives no greeting of MySQL"),
    ("starttls-mysql", [("<", b"\5\0\0\0\xffabcd")], "gives no greeting of MySQL"),
    (
        "starttls-mysql",
        [("<", len(NO_TLS).to_bytes(3, "little") + b"\0" + NO_TLS)],
        "offers no TLS",
    ),
    ("starttls-smtp", [("<", b"220 " + b"x" * 20_000)], "does not speak this protocol"),
]


def playing(script: Script) -> Callable[[socket.socket], None]:
    def before(connection: socket.socket) -> None:
        for kind, data in script:
            if kind == "<":
                connection.sendall(data)
            else:
                heard = b""
                while len(heard) < len(data):
                    heard += connection.recv(len(data) - len(heard))
                assert heard == data

    return before


def ask(port: int, protocol: str) -> Presented:
    return asyncio.run(probe(Question("127.0.0.1", port, protocol=protocol), seconds=10))


def test_every_protocol_that_may_be_asked_has_its_words() -> None:
    assert set(PRELUDES) == set(PROTOCOLS)
    assert set(GOOD) == set(PROTOCOLS) - {"tls"}


@pytest.mark.parametrize("protocol", GOOD)
def test_the_handshake_comes_after_the_word(protocol: str) -> None:
    with listening(CONTEXT, playing(GOOD[protocol])) as port:
        presented = ask(port, protocol)
    assert (presented.chain, presented.error) == ((LEAF.der,), "")


@pytest.mark.parametrize(("protocol", "script", "error"), BAD)
def test_what_offers_no_tls_says_so(protocol: str, script: Script, error: str) -> None:
    with listening(None, playing(script)) as port:
        presented = ask(port, protocol)
    assert presented.chain == ()
    assert presented.error in {error, "Connection reset by peer"}
