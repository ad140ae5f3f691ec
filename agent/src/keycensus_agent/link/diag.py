"""Which TCP sockets listen on this host, and which addresses are its own: asked of the kernel.

Runs in the link, which may use AF_NETLINK; no privilege is needed for either. Sources: sock_diag(7),
linux/inet_diag.h, rtnetlink(7), linux/rtnetlink.h.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

from keycensus_agent.inquiry import LISTENERS, Listener

_SOCK_DIAG, _ROUTE = 4, 0
_SOCK_DIAG_BY_FAMILY, _GET_ROUTE, _NEW_ROUTE = 20, 26, 24
_REQUEST, _DUMP = 1, 0x300
_ERROR, _DONE = 2, 3
_HEADER = struct.Struct("=IHHII")
# inet_diag_req_v2 without its inet_diag_sockid, which is zeros.
_DIAG_REQUEST = struct.Struct("=BBBxI48x")
_LISTEN = 1 << 10
# inet_diag_msg: family, ports, source address; after expires and two queues: uid.
_DIAG_MESSAGE = 72
_V6_ONLY, _CGROUP_ID = 11, 21
_ATTRIBUTE = struct.Struct("=HH")
_ROUTE_MESSAGE = struct.Struct("=BBBBBBBBI")
_RTA_DST = 1
_LOCAL = 2
_RECEIVE_BYTES = 1 << 18
_TIMEOUT_SECONDS = 2.0

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def listeners() -> list[Listener]:
    """Return listening TCP sockets of this network namespace; OSError if the kernel does not say."""
    found: dict[Listener, None] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        request = _DIAG_REQUEST.pack(family, socket.IPPROTO_TCP, 0, _LISTEN)
        for kind, body in _ask(_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _DUMP, request):
            if kind == _SOCK_DIAG_BY_FAMILY and len(body) >= _DIAG_MESSAGE:
                found[_listener(body)] = None
            if len(found) >= LISTENERS:
                return list(found)
    return list(found)


def _listener(body: bytes) -> Listener:
    family = body[0]
    length = 4 if family == socket.AF_INET else 16
    (port,) = struct.unpack_from("!H", body, 4)
    (uid,) = struct.unpack_from("=I", body, 64)
    attributes = dict(_attributes(body[_DIAG_MESSAGE:]))
    cgroup = attributes.get(_CGROUP_ID, b"")
    return Listener(
        address=str(ipaddress.ip_address(body[8 : 8 + length])),
        port=port,
        uid=uid,
        cgroup=int.from_bytes(cgroup[:8], "little") if len(cgroup) >= 8 else 0,
        v6only=attributes.get(_V6_ONLY, b"\0")[:1] == b"\1",
    )


def is_own(address: str) -> bool:
    """Whether an address is loopback or one of this host's own, by the kernel's own routes."""
    parsed = ipaddress.ip_address(address)
    if parsed.is_unspecified or parsed.is_multicast or getattr(parsed, "scope_id", None):
        return False
    if parsed.is_loopback:
        return True
    try:
        return _is_local_route(parsed)
    except OSError:
        return False


def _is_local_route(address: _Address) -> bool:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    packed = address.packed
    message = _ROUTE_MESSAGE.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    attribute = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _RTA_DST) + packed
    for kind, body in _ask(_ROUTE, _GET_ROUTE, 0, message + attribute):
        if kind == _NEW_ROUTE and len(body) >= _ROUTE_MESSAGE.size:
            return body[7] == _LOCAL
    return False


def _ask(protocol: int, kind: int, flags: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    """Send one request and yield (type, body) of each message of the answer; OSError if refused."""
    request = _HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as asked:
        asked.settimeout(_TIMEOUT_SECONDS)
        asked.bind((0, 0))
        asked.sendto(request, (0, 0))
        while True:
            data, sender = asked.recvfrom(_RECEIVE_BYTES)
            if sender[0] != 0:
                continue  # not the kernel's
            for found, content in _messages(data):
                if found == _DONE:
                    return
                if found == _ERROR:
                    number = -int.from_bytes(content[:4], "little", signed=True)
                    raise OSError(number, "netlink")
                yield found, content
            if not flags & _DUMP:
                return


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, at)
        if length < _HEADER.size:
            return
        yield kind, data[at + _HEADER.size : at + length]
        at += (length + 3) & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            return
        yield kind, data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
