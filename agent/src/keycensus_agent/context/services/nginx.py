"""nginx (and OpenResty, Angie): `ssl_certificate` and its like in http, stream and mail.

Runs in the reader. Sources: nginx's "Core functionality" (include, prefix), ngx_conf_file.c (tokens),
ngx_http_ssl_module, ngx_http_core_module (listen, server_name), ngx_http_proxy_module, ngx_mail_ssl_module,
ngx_stream_ssl_module; lua-nginx-module (blocks of Lua are no directives).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, addresses, bind, split_address
from keycensus_agent.context.services.nginx_syntax import Directive, parse
from keycensus_agent.context.sources import Sources, absolute
from keycensus_agent.context.systemd import Units

_MAIN = (
    "/etc/nginx/nginx.conf",
    "/usr/local/nginx/conf/nginx.conf",
    "/usr/local/etc/nginx/nginx.conf",
    "/opt/nginx/conf/nginx.conf",
    "/usr/local/openresty/nginx/conf/nginx.conf",
    "/etc/openresty/nginx.conf",
    "/etc/angie/angie.conf",
)
_UNITS = ("nginx.service", "openresty.service", "angie.service")
# What a server shows or asks of its clients; inherited where a server does not set it itself.
_SERVER = {
    "ssl_certificate": "certificate",
    "ssl_certificate_key": "key",
    "ssl_client_certificate": "trust",
    "ssl_trusted_certificate": "trust",
    "ssl_crl": "crl",
}
# What nginx shows to or asks of servers behind it: "proxy_ssl_certificate", and so on.
_CLIENT = re.compile(
    r"(?:proxy|grpc|uwsgi)_(ssl_(?:certificate(?:_key)?|trusted_certificate|crl))\Z"
)
_PASSWORDS = "ssl_password_file"
_MAIL_PORTS = {"25": "smtp", "587": "smtp", "110": "pop3", "143": "imap"}
_NAME = re.compile(r"\$\{?ssl_server_name\b\}?")
# A certificate is looked for by each of a server's names, if it is named by a variable.
_NAMES_LIMIT = 200
_Settings = Mapping[str, Sequence[Directive]]


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what each configuration of nginx that is found names."""
    for main, unit in _configurations(sources, units).items():
        yield from _Reading(sources, main, unit).bindings()


def _configurations(sources: Sources, units: Units) -> dict[str, str]:
    """Return each main configuration with its unit: named by a unit's command, or at a usual place."""
    found: dict[str, str] = {}
    for unit in _UNITS:
        for command in units.commands(unit):
            for option, path in pairwise(command):
                if option == "-c" and sources.is_file(absolute("/etc/nginx", path)):
                    found.setdefault(absolute("/etc/nginx", path), unit)
    unit = units.first(*_UNITS)
    for main in _MAIN:
        if sources.is_file(main) and not (found and main == _MAIN[0] and unit in found.values()):
            found.setdefault(main, unit)
    return found


class _Reading:
    def __init__(self, sources: Sources, main: str, unit: str) -> None:
        self._sources = sources
        self._unit = unit
        self._main = main
        self._prefix = main.rpartition("/")[0]
        self._nobody = Server("nginx", unit)
        self._with_tls: set[str] = set()

    def bindings(self) -> Iterator[Binding]:
        tree = parse(self._sources, self._main)
        for context in tree:
            if context.name in ("http", "stream", "mail"):
                yield from self._context(context)

    def _context(self, context: Directive) -> Iterator[Binding]:
        servers = [one for one in context.block if one.name == "server"]
        # One address is one socket: TLS that one server asks for is the others' too.
        self._with_tls = {
            address
            for server in servers
            for listen in _named(server, "listen")
            if "ssl" in listen.arguments[1:]
            for address in _listens(listen)
        }
        outer = _settings(context)
        used = False
        for server in servers:
            own = _settings(server)
            listen = list(self._listens_with_tls(server, own, outer, context.name))
            used = used or bool(listen)
            if listen or own:
                yield from self._server(server, {**outer, **own}, listen)
        if not used:
            yield from self._named(outer, self._nobody)
        yield from self._clients(context)

    def _listens_with_tls(
        self, server: Directive, own: _Settings, outer: _Settings, kind: str
    ) -> Iterator[tuple[str, str]]:
        """Yield protocol and address of each listener of a server that speaks TLS over TCP."""
        merged = {**outer, **own}
        everywhere = _is_on(merged.get("ssl", ()))
        starttls = kind == "mail" and _is_on(merged.get("starttls", ()), "on", "only")
        protocols = [one.arguments[0] for one in _named(server, "protocol") if one.arguments]
        for listen in _named(server, "listen"):
            if "quic" in listen.arguments[1:]:
                continue
            for address in _listens(listen):
                if everywhere or address in self._with_tls:
                    yield "tls", address
                elif starttls:
                    mail = protocols[0] if protocols else _MAIL_PORTS.get(split_address(address)[1])
                    if mail:
                        yield f"starttls-{mail}", address

    def _server(
        self, server: Directive, settings: _Settings, listen: Sequence[tuple[str, str]]
    ) -> Iterator[Binding]:
        names = tuple(self._server_names(server))
        for protocol in dict.fromkeys(protocol for protocol, _ in listen) or ("",):
            here = tuple(address for kind, address in listen if kind == protocol)
            yield from self._named(settings, Server("nginx", self._unit, names, here, protocol))

    def _named(self, settings: _Settings, server: Server) -> Iterator[Binding]:
        password = "file" if settings.get(_PASSWORDS) else ""
        for name, kind in _SERVER.items():
            for directive in settings.get(name, ()):
                source = password if kind == "key" else ""
                yield from self._bind(directive, kind, server, source)

    def _clients(self, block: Directive) -> Iterator[Binding]:
        pending = [block]
        while pending:
            for directive in pending.pop().block:
                if directive.block:
                    pending.append(directive)
                match = _CLIENT.match(directive.name)
                if match:
                    yield from self._bind(directive, _SERVER[match[1]], self._nobody)

    def _bind(
        self, directive: Directive, kind: str, server: Server, password: str = ""
    ) -> Iterator[Binding]:
        paths = list(self._paths(directive, server.server_names))
        if paths:
            at = (directive.path, directive.line)
            yield bind(self._sources, server, at, kind, *paths, password_source=password)

    def _paths(self, directive: Directive, names: Sequence[str]) -> Iterator[str]:
        """Yield the files that a directive names; one for each name where a variable stands for it."""
        path = directive.arguments[0] if directive.arguments else ""
        if not path or path.startswith(("data:", "engine:", "store:")):
            return
        if "$" not in path:
            yield absolute(self._prefix, path)
            return
        for name in [one for one in names if "*" not in one][:_NAMES_LIMIT]:
            candidate = absolute(self._prefix, name.join(_NAME.split(path)))
            if "$" not in candidate and self._sources.is_file(candidate):
                yield candidate
        if "$" in _NAME.sub("", path):
            self._sources.note(directive.path, directive.line, "a variable names a file")

    def _server_names(self, server: Directive) -> Iterator[str]:
        """Yield exact names and wildcards; a name that is no host's, or a pattern, is none."""
        for directive in _named(server, "server_name"):
            for name in directive.arguments:
                if name == "$hostname":
                    yield from (self._sources.text("/etc/hostname", 256) or "").split()[:1]
                elif name.startswith("."):
                    yield from (name[1:], "*" + name)
                elif name and name != "_" and not name.startswith("~"):
                    yield name


def _settings(block: Directive) -> dict[str, list[Directive]]:
    """Return a block's own settings that matter for TLS, by name."""
    found: dict[str, list[Directive]] = {}
    for directive in block.block:
        if directive.name in _SERVER or directive.name in ("ssl", "starttls", _PASSWORDS):
            found.setdefault(directive.name, []).append(directive)
    return found


def _named(block: Directive, name: str) -> list[Directive]:
    return [one for one in block.block if one.name == name]


def _is_on(directives: Sequence[Directive], *values: str) -> bool:
    return any(one.arguments[:1] == (value,) for one in directives for value in values or ("on",))


def _listens(directive: Directive) -> list[str]:
    """Return the addresses of a `listen`; port 80 is the default of http, others always have one."""
    where = directive.arguments[0] if directive.arguments else ""
    if not where or where.startswith("unix:"):
        return []
    host, port = split_address(where)
    return addresses(host, port or "80")
