"""PostgreSQL: ssl_cert_file and its like of each cluster, of Debian's and of others' layouts.

Runs in the reader. Sources: PostgreSQL's documentation, "Setting Parameters" (include, include_dir, ALTER SYSTEM),
"Secure TCP/IP Connections with SSL", "Connections and Authentication"; pg_createcluster(1); guc-file.l.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, addresses, bind
from keycensus_agent.context.sources import INCLUDE_DEPTH, Sources, absolute
from keycensus_agent.context.systemd import Units

_CLUSTERS = "/etc/postgresql/*/*/postgresql.conf"
_DATA = (
    "/var/lib/postgresql/*/*/postgresql.conf",
    "/var/lib/postgresql/data/postgresql.conf",
    "/var/lib/pgsql/data/postgresql.conf",
    "/var/lib/pgsql/*/data/postgresql.conf",
    "/var/lib/postgres/data/postgresql.conf",
    "/usr/local/pgsql/data/postgresql.conf",
)
_LINE = re.compile(r"\s*([\w.]+)\s*(?:=\s*|\s)((?:'(?:[^'\\]|\\.|'')*'|[^\s#'])*)", re.ASCII)
_QUOTED = re.compile(r"''|\\([0-7]{1,3}|.)", re.DOTALL)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_TRUE = frozenset({"on", "true", "yes", "1", "tru", "tr", "t", "ye", "y"})
_FILES = {
    "ssl_cert_file": ("certificate", "server.crt"),
    "ssl_key_file": ("key", "server.key"),
    "ssl_ca_file": ("trust", ""),
    "ssl_crl_file": ("crl", ""),
    "ssl_crl_dir": ("crl", ""),
}


@dataclass(frozen=True, slots=True)
class _Setting:
    value: str
    path: str
    line: int


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what each cluster with TLS names."""
    seen: set[bytes] = set()
    for pattern in (_CLUSTERS, *_DATA):
        for main in sources.glob(pattern):
            directory = main.rpartition("/")[0]
            settings: dict[str, _Setting] = {}
            _read(sources, main, settings, ())
            named = settings.get("data_directory")
            data = absolute(directory, named.value) if named else directory
            if sources.place(data) not in seen:
                seen.add(sources.place(data))
                _read(sources, f"{data}/postgresql.auto.conf", settings, ())
                unit = _unit(units, main) or units.first("postgresql.service")
                yield from _cluster(sources, unit, main, data, settings)


def _unit(units: Units, main: str) -> str:
    """Return the unit of a cluster: an instance on Debian, one for each version on Red Hat."""
    parts = main.split("/")
    version, name = parts[3:5] if main.startswith("/etc/") else (parts[4], "")
    instance = f"postgresql@{version}-{name}.service"
    if name and units.path(instance):
        return instance
    return units.first(f"postgresql-{version}.service")


def _read(
    sources: Sources, path: str, settings: dict[str, _Setting], including: tuple[str, ...]
) -> None:
    """Take in what a file sets; what comes later counts."""
    if path in including or len(including) >= INCLUDE_DEPTH:
        sources.note(path, 0, "included by itself, or too deep")
        return
    directory = path.rpartition("/")[0]
    for number, line in enumerate((sources.text(path) or "").split("\n"), start=1):
        match = _LINE.match(line)
        if match is None:
            continue
        if not sources.affords(path):
            return
        name, value = match[1].lower(), _value(match[2])
        if name in ("include", "include_if_exists"):
            found = sources.included(path, absolute(directory, value))
        elif name == "include_dir":
            pattern = f"{absolute(directory, value)}/*.conf"
            found = sources.included(path, pattern)
        else:
            settings[name] = _Setting(value, path, number)
            continue
        for one in found:
            _read(sources, one, settings, (*including, path))


def _value(text: str) -> str:
    if not text.startswith("'"):
        return text
    return _QUOTED.sub(_character, text[1:].removesuffix("'"))


def _character(match: re.Match[str]) -> str:
    code = match[1]
    if code is None:
        return "'"
    return chr(int(code, 8) & 0x7F) if code[0] in "01234567" else _ESCAPES.get(code, code)


def _cluster(
    sources: Sources, unit: str, main: str, data: str, settings: dict[str, _Setting]
) -> Iterator[Binding]:
    def value(name: str, default: str) -> str:
        return settings[name].value if name in settings else default

    if value("ssl", "off").lower() not in _TRUE:
        return
    port = value("port", "5432")
    hosts = value("listen_addresses", "localhost").replace(",", " ").split()
    local = {"localhost": ["127.0.0.1", "::1"], "::": ["::"]}
    listen = [
        one for host in hosts for name in local.get(host, [host]) for one in addresses(name, port)
    ]
    server = Server("postgresql", unit, (), tuple(listen), "starttls-postgresql")
    password = "program" if value("ssl_passphrase_command", "") else ""
    for name, (kind, default) in _FILES.items():
        file = value(name, default)
        if file:
            setting = settings.get(name, _Setting("", main, 0))
            at = (setting.path, setting.line)
            source = password if kind == "key" else ""
            yield bind(sources, server, at, kind, absolute(data, file), password_source=source)
