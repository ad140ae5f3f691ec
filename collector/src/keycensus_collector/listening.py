"""The three ports: how gRPC serves two of them, binding, and saying clearly why one can't be bound."""

from __future__ import annotations

import errno
import socket

import grpc

from keycensus_collector.config import Address
from keycensus_collector.errors import AddressError

_BACKLOG = 1024
_RECEIVE_BYTES = 4 * 1024 * 1024
# Connections beyond are closed before TLS, so that strangers fill neither memory nor descriptors. On the
# port of reports so many are left beside the streams: who is refused one holds a connection for a
# moment, and so does a handshake.
_MOST_CONNECTIONS = "grpc.max_allowed_incoming_connections"
_SPARE_CONNECTIONS = 2_000

_Options = tuple[tuple[str, int], ...]

# A dead peer is noticed within 80 s; agents may ping every 20 s without being sent away.
_OPTIONS: _Options = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _RECEIVE_BYTES),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 20_000),
    ("grpc.http2.max_ping_strikes", 4),
    ("grpc.max_concurrent_streams", 16),
    ("grpc.server_handshake_timeout_ms", 10_000),
)


def report_options(streams: int) -> _Options:
    """Return gRPC's options for the port of reports, which serves so many streams at once."""
    return (*_OPTIONS, (_MOST_CONNECTIONS, streams + _SPARE_CONNECTIONS))


def enrol_options() -> _Options:
    """Return gRPC's options for the port of enrolment: nobody may hold a connection there."""
    return (
        *_OPTIONS,
        ("grpc.max_connection_idle_ms", 60_000),
        (_MOST_CONNECTIONS, _SPARE_CONNECTIONS),
    )


def bind_grpc(
    server: grpc.aio.Server, address: Address, credentials: grpc.ServerCredentials, key: str
) -> Address:
    """Add a TLS port to a gRPC server; `key` names it in the configuration.

    Returns the address with its real port. Raises AddressError.
    """
    try:
        port = server.add_secure_port(_target(address), credentials)
    except RuntimeError:
        port = 0
    if port == 0:
        # gRPC does not say why: ask the kernel ourselves.
        bind_tcp(address, key).close()
        raise AddressError(f"{address} ({key}) can't be bound; see: ss -ltnp")
    return Address(address.host, port)


def bind_tcp(address: Address, key: str) -> socket.socket:
    """Return a listening TCP socket; AddressError says why there can be none.

    What it accepts sends at once. The kernel would keep the end of an answer until the browser has told that its
    beginning is there, which that does 40 ms late; and asyncio changes that on sockets of its own alone.
    """
    listener = _listener(address, key)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _listener(address: Address, key: str) -> socket.socket:
    try:
        if not address.host and socket.has_dualstack_ipv6():
            return socket.create_server(
                ("", address.port),
                family=socket.AF_INET6,
                dualstack_ipv6=True,
                backlog=_BACKLOG,
            )
        host = address.host or "0.0.0.0"  # noqa: S104 - an empty host asks for every interface
        family, _, _, _, place = socket.getaddrinfo(
            host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(place[:2], family=family, backlog=_BACKLOG)
    except OSError as error:
        raise AddressError(_why(address, key, error)) from None


def _why(address: Address, key: str, error: OSError) -> str:
    start = f"{address} ({key}) can't be bound"
    if error.errno == errno.EADDRINUSE:
        return (
            f"{start}: another program listens there. Find it with: ss -ltnp 'sport = "
            f":{address.port}'; stop it, or set {key} in the configuration to another port"
        )
    if error.errno == errno.EACCES:
        return f"{start}: ports below 1024 need a privilege; set {key} to a higher port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{start}: this machine does not have that address; see: ip address; set {key}"
    return f"{start}: {error.strerror or error}; set {key} to an address of this machine"


def _target(address: Address) -> str:
    return str(Address(address.host or "::", address.port))
