"""Redis and Valkey: tls-* of the server's and the sentinel's configuration.

Runs in the reader. Source: redis.conf as shipped (TLS/SSL, INCLUDES, NETWORK), config.c (order, quoting, `dir`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, addresses, bind
from keycensus_agent.context.sources import INCLUDE_DEPTH, Sources, absolute
from keycensus_agent.context.systemd import Units, words

_MAINS = (
    *(
        "/etc/redis/redis.conf",
        "/etc/redis/redis-*.conf",
        "/etc/redis/sentinel.conf",
        "/etc/redis.conf",
    ),
    *(
        "/etc/redis-sentinel.conf",
        "/etc/valkey/valkey.conf",
        "/etc/valkey/sentinel.conf",
        "/etc/valkey.conf",
    ),
)
_UNITS = ("redis-server.service", "redis.service", "valkey-server.service", "valkey.service")
_FILES = {
    "tls-cert-file": "certificate",
    "tls-key-file": "key",
    "tls-client-cert-file": "certificate",
    "tls-client-key-file": "key",
    "tls-ca-cert-file": "trust",
    "tls-ca-cert-dir": "trust",
}
_PASSWORDS = {
    "tls-key-file": "tls-key-file-pass",
    "tls-client-key-file": "tls-client-key-file-pass",
}


@dataclass(slots=True)
class _Settings:
    values: dict[str, list[str]] = field(default_factory=dict)
    at: dict[str, tuple[str, int]] = field(default_factory=dict)

    def first(self, name: str, default: str) -> str:
        return self.values.get(name, [default])[0]


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what each configuration of Redis names."""
    unit = units.first(*_UNITS)
    for pattern in _MAINS:
        for main in sources.glob(pattern):
            settings = _Settings()
            _read(sources, main, settings, ())
            yield from _bindings(sources, unit, settings)


def _read(sources: Sources, path: str, settings: _Settings, including: tuple[str, ...]) -> None:
    if path in including or len(including) >= INCLUDE_DEPTH:
        sources.note(path, 0, "included by itself, or too deep")
        return
    for number, line in enumerate((sources.text(path) or "").split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not sources.affords(path):
            return
        name, *arguments = words(stripped) or [""]
        name = name.lower()
        if name == "include":
            for pattern in arguments[:1]:
                # Relative to the directory that the server was started in.
                for found in sources.included(path, absolute("/", pattern)):
                    _read(sources, found, settings, (*including, path))
        elif arguments:
            settings.values[name] = arguments
            settings.at[name] = (path, number)


def _bindings(sources: Sources, unit: str, settings: _Settings) -> Iterator[Binding]:
    port = settings.first("tls-port", "0")
    hosts = [host.removeprefix("-") for host in settings.values.get("bind", ["*"])]
    listen = [one for host in hosts for one in addresses(host, port)] if port != "0" else []
    server = Server("redis", unit, (), tuple(listen), "tls")
    for name, kind in _FILES.items():
        path = settings.first(name, "")
        if path:
            password = "inline" if settings.first(_PASSWORDS.get(name, ""), "") else ""
            client = "client" in name
            whole = absolute(settings.first("dir", "/"), path)
            where = Server("redis", unit) if client else server
            at = settings.at[name]
            yield bind(sources, where, at, kind, absolute("/", whole), password_source=password)
