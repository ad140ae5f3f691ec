"""MySQL and MariaDB: ssl-* of the groups that server and clients read, Galera's too.

Runs in the reader. Sources: MySQL's reference manual, "Using Option Files", "Configuring MySQL to Use Encrypted
Connections"; MariaDB's "Configuring MariaDB with Option Files", "Securing Connections for Client and Server"; Galera's "SSL Settings".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, addresses, bind
from keycensus_agent.context.sources import Sources, absolute
from keycensus_agent.context.systemd import Units

_MAINS = ("/etc/my.cnf", "/etc/mysql/my.cnf", "/usr/local/etc/my.cnf")
_UNITS = ("mariadb.service", "mysql.service", "mysqld.service")
_SERVER = re.compile(r"(?:mysqld|mariadbd|server|mariadb|galera)(?:-[\w.]+)?\Z")
_CLIENT = re.compile(r"(?:client(?:-[\w.]+)?|mysql|mariadb-client)\Z")
_HEADER = re.compile(r"\[\s*([^\]\s]+)\s*\]")
_FILES = {
    "ssl-cert": "certificate",
    "ssl-key": "key",
    "ssl-ca": "trust",
    "ssl-capath": "trust",
    "ssl-crl": "crl",
    "ssl-crlpath": "crl",
}
# What MySQL makes and uses by itself in its data directory, if nothing else is said.
_OWN = {"ssl-cert": "server-cert.pem", "ssl-key": "server-key.pem", "ssl-ca": "ca.pem"}
_DATA = "/var/lib/mysql"
_GALERA = re.compile(r"socket\.ssl_(cert|key|ca)\s*=\s*([^;\s]+)")
_OFF = frozenset({"0", "off", "false"})
# MySQL's own bound for !include and !includedir.
_INCLUDE_DEPTH = 10
_Options = dict[str, "_Option"]


@dataclass(frozen=True, slots=True)
class _Option:
    value: str
    path: str
    line: int


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what the option files name: all of them are read, and what comes last counts."""
    groups: dict[str, _Options] = {"server": {}, "client": {}}
    for main in _MAINS:
        _read(sources, main, groups, ())
    server, client = groups["server"], groups["client"]
    unit = units.first(*_UNITS)
    yield from _of_server(sources, unit, server)
    for name, kind in _FILES.items():
        if name in client and client[name].value:
            option = client[name]
            path = absolute("/", option.value)
            yield bind(sources, Server("mysql"), (option.path, option.line), kind, path)


def _read(
    sources: Sources, path: str, groups: dict[str, _Options], including: tuple[str, ...]
) -> None:
    if path in including or len(including) >= _INCLUDE_DEPTH:
        sources.note(path, 0, "included by itself, or too deep")
        return
    group = ""
    for number, line in enumerate((sources.text(path) or "").split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        if not sources.affords(path):
            return
        header = _HEADER.match(stripped)
        if header is not None:
            group = _group(header[1])
        elif stripped.startswith("!include"):
            for found in _included(sources, path, stripped):
                _read(sources, found, groups, (*including, path))
        elif group:
            name, equals, value = stripped.partition("=")
            name = name.strip().lower().replace("_", "-").removeprefix("loose-")
            plain = _value(value) if equals else "1"
            groups[group][name] = _Option(plain, path, number)


def _group(name: str) -> str:
    return "server" if _SERVER.match(name) else "client" if _CLIENT.match(name) else ""


def _included(sources: Sources, path: str, line: str) -> list[str]:
    word, _, target = line.partition(" ")
    target = absolute(path.rpartition("/")[0], target.strip())
    if word == "!includedir":
        return sources.included(path, f"{target.rstrip('/')}/*.cnf")
    return sources.included(path, target) if word == "!include" else []


def _value(text: str) -> str:
    value = text.strip()
    if value[:1] in ("'", '"') and value[:1]:
        return value[1:].partition(value[0])[0]
    return value.partition(" #")[0].strip()


def _of_server(sources: Sources, unit: str, options: _Options) -> Iterator[Binding]:
    def value(name: str, default: str = "") -> str:
        return options[name].value if name in options else default

    has_tls = value("ssl", "1").lower() not in _OFF and value("skip-ssl", "0").lower() in _OFF
    hosts = value("bind-address", "*").replace(",", " ").split()
    is_closed = value("skip-networking", "0").lower() not in _OFF
    known = {"localhost": "127.0.0.1", "::": "::"}
    ports = value("port", "3306")
    listen = (
        []
        if is_closed
        else [one for host in hosts for one in addresses(known.get(host, host), ports)]
    )
    server = Server("mysql", unit, (), tuple(listen), "starttls-mysql")
    data = value("datadir", _DATA)
    for name, kind in _FILES.items():
        if has_tls and value(name):
            at = (options[name].path, options[name].line)
            yield bind(sources, server, at, kind, absolute(data, value(name)))
        if value(f"admin-{name}"):
            option = options[f"admin-{name}"]
            path = absolute(data, option.value)
            yield bind(sources, Server("mysql", unit), (option.path, option.line), kind, path)
    if has_tls and not value("ssl-cert") and _is_mysql(sources):
        yield from _own(sources, server, data)
    galera = options.get("wsrep-provider-options")
    for word, path in _GALERA.findall(galera.value) if galera else ():
        at = (galera.path, galera.line) if galera else ("", 0)
        yield bind(sources, Server("mysql", unit), at, _FILES[f"ssl-{word}"], absolute(data, path))


def _own(sources: Sources, server: Server, data: str) -> Iterator[Binding]:
    main = sources.first(_MAINS)
    for name, file in _OWN.items():
        path = absolute(data, file)
        if main and sources.is_file(path):
            yield bind(sources, server, (main, 0), _FILES[name], path)


def _is_mysql(sources: Sources) -> bool:
    """Whether the server is MySQL: MariaDB does not look for files that it was not told of."""
    return not sources.is_file("/usr/sbin/mariadbd") and sources.is_file("/usr/sbin/mysqld")
