"""Make bindings of what a configuration says: paths as a walk knows them, addresses in one spelling."""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.sources import Sources, shown

# Host names are shorter (RFC 1035, 2.3.4), and no row takes more of them than this.
_NAME_LIMIT = 255
_NAMES_LIMIT = 1_000
_LISTEN_LIMIT = 100
_ANY = frozenset({"", "*", "0.0.0.0"})  # noqa: S104 - to be recognised, not to be bound
_PORT_RANGE_LIMIT = 20


@dataclass(frozen=True, slots=True)
class Server:
    """What a directive is said for: a service, and the names and listeners that it has there."""

    service: str
    unit: str = ""
    server_names: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    protocol: str = ""


def bind(
    sources: Sources,
    server: Server,
    at: tuple[str, int],
    directive: str,
    *paths: str,
    password_source: str = "",
) -> Binding:
    """Return the binding that a directive at `at` (file, line) makes; without listeners, no protocol."""
    names = dict.fromkeys(map(shown, server.server_names))
    listen = [one for one in dict.fromkeys(map(shown, server.listen)) if len(one) <= _NAME_LIMIT]
    return Binding(
        service=server.service,
        unit=shown(server.unit),
        configuration=sources.place(at[0]),
        line=at[1],
        directive=directive,
        paths=tuple(dict.fromkeys(map(sources.place, paths))),
        server_names=tuple(one for one in names if 0 < len(one) <= _NAME_LIMIT)[:_NAMES_LIMIT],
        listen=tuple(listen[:_LISTEN_LIMIT]),
        protocol=server.protocol if listen else "",
        password_source=password_source,
    )


def addresses(host: str, ports: str) -> list[str]:
    """Return "address:port" for a host as written ("", "*", "::1", "[::]") and a port, or range of such."""
    host = host.strip("[]")
    host = "*" if host in _ANY else f"[{host}]" if ":" in host else host
    first, dash, last = ports.partition("-")
    if dash and first.isascii() and first.isdigit() and last.isascii() and last.isdigit():
        low, high = int(first[:6]), int(last[:6])
        return [f"{host}:{port}" for port in range(low, min(high, low + _PORT_RANGE_LIMIT - 1) + 1)]
    return [f"{host}:{ports}"] if ports.isascii() and ports.isdigit() else []


def split_address(text: str) -> tuple[str, str]:
    """Split "host:port", "[::1]:port", "port" or "host" into host and port; what is not there is ""."""
    if text.isascii() and text.isdigit():
        return "", text
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return f"[{host}]", rest.lstrip(":")
    host, colon, port = text.rpartition(":")
    return (host, port) if colon else (text, "")
