"""The words before TLS, by protocol: up to where a handshake begins, and never a login.

Runs in the link. Sources: RFC 3207 (SMTP), RFC 9051 (IMAP), RFC 2595 (POP3), RFC 4511 section 4.14
(LDAP), PostgreSQL's "Message Formats" (SSLRequest), MySQL's "Connection Phase" (Protocol::SSLRequest).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

_LINES = 100
_POSTGRESQL_REQUEST = bytes.fromhex("0000000804d2162f")
_MYSQL_SSL = 0x800
# Capabilities of a client that asks for TLS: LONG_PASSWORD, PROTOCOL_41, SSL, SECURE_CONNECTION.
_MYSQL_CAPABILITIES = 0x8A01
_MYSQL_PACKET = 1 << 16
_MYSQL_UTF8 = 45
_LDAP_REQUEST = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + b"1.3.6.1.4.1.1466.20037"
_LDAP_ANSWER = 4096


class NoTlsError(Exception):
    """The other side speaks the protocol, but offers no TLS, or does not speak it."""


_Reader = asyncio.StreamReader
_Writer = asyncio.StreamWriter
Prelude = Callable[[_Reader, _Writer], Awaitable[None]]


async def _nothing(_reader: _Reader, _writer: _Writer) -> None:
    """TLS begins at once."""


async def _smtp(reader: _Reader, writer: _Writer) -> None:
    await _smtp_answer(reader, b"220")
    writer.write(b"EHLO localhost\r\n")
    words = await _smtp_answer(reader, b"250")
    if not any(line[4:].strip().upper() == b"STARTTLS" for line in words):
        raise NoTlsError("offers no STARTTLS")
    writer.write(b"STARTTLS\r\n")
    await _smtp_answer(reader, b"220")


async def _smtp_answer(reader: _Reader, code: bytes) -> list[bytes]:
    lines: list[bytes] = []
    while len(lines) < _LINES:
        lines.append(await reader.readline())
        if not lines[-1].startswith(code):
            raise NoTlsError("gives no answer of SMTP")
        if lines[-1][3:4] != b"-":
            return lines
    raise NoTlsError("gives an answer without end")


async def _imap(reader: _Reader, writer: _Writer) -> None:
    if not (await reader.readline()).upper().startswith(b"* OK"):
        raise NoTlsError("gives no answer of IMAP")
    writer.write(b"a STARTTLS\r\n")
    for _ in range(_LINES):
        line = await reader.readline()
        if line.startswith(b"a "):
            if line[2:4].upper() != b"OK":
                break
            return
        if not line:
            break
    raise NoTlsError("offers no STARTTLS")


async def _pop3(reader: _Reader, writer: _Writer) -> None:
    if not (await reader.readline()).startswith(b"+OK"):
        raise NoTlsError("gives no answer of POP3")
    writer.write(b"STLS\r\n")
    if not (await reader.readline()).startswith(b"+OK"):
        raise NoTlsError("offers no STLS")


async def _ldap(reader: _Reader, writer: _Writer) -> None:
    writer.write(_LDAP_REQUEST)
    head = await reader.readexactly(2)
    if head[0] != 0x30 or head[1] > 0x84 or head[1] == 0x80:
        raise NoTlsError("gives no answer of LDAP")
    length = head[1]
    if length > 0x80:
        length = int.from_bytes(await reader.readexactly(length - 0x80), "big")
    if length > _LDAP_ANSWER:
        raise NoTlsError("gives an answer without end")
    # resultCode is the first ENUMERATED of the answer; 0 is success.
    answer = await reader.readexactly(length)
    at = answer.find(b"\x0a\x01")
    if at < 0 or answer[at + 2 : at + 3] != b"\0":
        raise NoTlsError("offers no StartTLS")


async def _postgresql(reader: _Reader, writer: _Writer) -> None:
    writer.write(_POSTGRESQL_REQUEST)
    if await reader.readexactly(1) != b"S":
        raise NoTlsError("offers no TLS")


async def _mysql(reader: _Reader, writer: _Writer) -> None:
    head = await reader.readexactly(4)
    length = int.from_bytes(head[:3], "little")
    if not 0 < length <= _MYSQL_PACKET:
        raise NoTlsError("gives no greeting of MySQL")
    greeting = await reader.readexactly(length)
    # Protocol 10, version up to NUL, thread id (4), salt (8), filler (1), lower capabilities (2).
    at = greeting.find(b"\0", 1) + 1 + 4 + 8 + 1
    if greeting[0] != 10 or at + 2 > length:
        raise NoTlsError("gives no greeting of MySQL")
    if not int.from_bytes(greeting[at : at + 2], "little") & _MYSQL_SSL:
        raise NoTlsError("offers no TLS")
    body = (
        _MYSQL_CAPABILITIES.to_bytes(4, "little")
        + (1 << 24).to_bytes(4, "little")
        + bytes([_MYSQL_UTF8])
        + bytes(23)
    )
    writer.write(len(body).to_bytes(3, "little") + b"\1" + body)


PRELUDES: Mapping[str, Prelude] = {
    "tls": _nothing,
    "starttls-smtp": _smtp,
    "starttls-imap": _imap,
    "starttls-pop3": _pop3,
    "starttls-ldap": _ldap,
    "starttls-postgresql": _postgresql,
    "starttls-mysql": _mysql,
}
