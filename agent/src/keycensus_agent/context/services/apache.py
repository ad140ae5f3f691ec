"""Apache httpd, in the layouts of Debian, Red Hat, SUSE, Alpine and its own: mod_ssl's directives per virtual host.

Runs in the reader. Sources: httpd's documentation of mod_ssl, core (VirtualHost, ServerName), mpm_common (Listen),
mod_md; Debian's apache2.conf, envvars and apache2ctl; modules/ssl/ssl_engine_init.c.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.apache_syntax import Directive, Tree, parse
from keycensus_agent.context.services.bind import Server, addresses, bind, split_address
from keycensus_agent.context.shell import shell_variables
from keycensus_agent.context.sources import Sources, absolute
from keycensus_agent.context.systemd import Units

# Main configuration, ServerRoot that is compiled in, file of shell variables.
_LAYOUTS = (
    ("/etc/apache2/apache2.conf", "/etc/apache2", "/etc/apache2/envvars"),
    ("/etc/httpd/conf/httpd.conf", "/etc/httpd", "/etc/sysconfig/httpd"),
    ("/etc/apache2/httpd.conf", "/srv/www", "/etc/sysconfig/apache2"),
    ("/usr/local/apache2/conf/httpd.conf", "/usr/local/apache2", "/usr/local/apache2/bin/envvars"),
)
_UNITS = ("apache2.service", "httpd.service")
# By name in lower case, what a virtual host presents or asks for.
_SERVER = {
    "sslcertificatefile": "certificate",
    "sslcertificatekeyfile": "key",
    "sslcertificatechainfile": "chain",
    "sslcacertificatefile": "trust",
    "sslcacertificatepath": "trust",
    "sslcadnrequestfile": "trust",
    "sslcadnrequestpath": "trust",
    "sslcarevocationfile": "crl",
    "sslcarevocationpath": "crl",
}
_CLIENT = {
    "sslproxymachinecertificatefile": "certificate",
    "sslproxymachinecertificatepath": "certificate",
    "sslproxymachinecertificatechainfile": "chain",
    "sslproxycacertificatefile": "trust",
    "sslproxycacertificatepath": "trust",
    "sslproxycarevocationfile": "crl",
    "sslproxycarevocationpath": "crl",
}
_HTTPS = "443"
_ANY = frozenset({"", "*", "_default_", "0.0.0.0", "[::]"})  # noqa: S104 - to be recognised


@dataclass(frozen=True, slots=True)
class Configuration:
    """One configuration of httpd that was found, read as httpd reads it."""

    main: str
    unit: str
    tree: Tree


def configurations(sources: Sources, units: Units) -> Iterator[Configuration]:
    """Yield every configuration of httpd in a root."""
    for main, root, environment in _LAYOUTS:
        if sources.is_file(main):
            variables = shell_variables(sources.text(environment) or "")
            yield Configuration(main, units.first(*_UNITS), parse(sources, main, root, variables))


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what each configuration of httpd names."""
    for configuration in configurations(sources, units):
        yield from _Reading(sources, configuration).bindings()


class _Reading:
    def __init__(self, sources: Sources, configuration: Configuration) -> None:
        self._sources = sources
        self._unit = configuration.unit
        self._tree = configuration.tree
        top = configuration.tree.top
        self._listen = [
            (*split_address(one.arguments[0]), one.arguments[1:2])
            for one in top
            if one.name == "listen" and one.arguments
        ]
        self._managed_by_name = {
            name: domain for domain in managed_domains(self._tree) for name in domain.names
        }
        self._password = "".join(map(_password, _named(top, "sslpassphrasedialog")[-1:]))

    def bindings(self) -> Iterator[Binding]:
        top = self._tree.top
        hosts = [one for one in top if one.name == "virtualhost"]
        main = _settings(top)
        used = False
        for host in hosts:
            listen = tuple(dict.fromkeys(self._listens(host)))
            own = _settings(host.block)
            is_on = self._speaks_tls(host, listen, top)
            used = used or is_on
            if is_on or own:
                server = self._server(host.block, listen if is_on else ())
                yield from self._named({**main, **own}, server)
                if "sslcertificatefile" not in {**main, **own}:
                    yield from self._managed(host, server)
        if not used:
            everything = tuple(
                one for host, port, _ in self._listen for one in addresses(host, port)
            )
            listen = everything if _is_on(top) else ()
            yield from self._named(main, self._server(top, listen))
        yield from self._clients(top)

    def _server(self, block: Sequence[Directive], listen: tuple[str, ...]) -> Server:
        return Server("apache", self._unit, tuple(_names(block)), listen, "tls")

    def _listens(self, host: Directive) -> Iterator[str]:
        """Yield where httpd listens for a virtual host: its own addresses, on ports that are opened."""
        for argument in host.arguments:
            wanted, port = split_address(argument)
            for opened, opened_port, _ in self._listen:
                if port not in ("", "*", opened_port):
                    continue
                if wanted in _ANY:
                    yield from addresses(opened, opened_port)
                elif opened in _ANY or opened == wanted:
                    yield from addresses(wanted, opened_port)

    def _speaks_tls(self, host: Directive, listen: Sequence[str], top: Sequence[Directive]) -> bool:
        """Whether SSLEngine is on: said of the host or of all, or by the protocol of its port."""
        for block in (host.block, top):
            said = _named(block, "sslengine")
            if said:
                return _is_on(block)
        for _, port, protocol in self._listen:
            https = (protocol[0] if protocol else "").lower() or ("https" if port == _HTTPS else "")
            if https == "https" and any(one.rpartition(":")[2] == port for one in listen):
                return True
        return False

    def _named(self, settings: dict[str, list[Directive]], server: Server) -> Iterator[Binding]:
        for name, kind in _SERVER.items():
            for directive in settings.get(name, ()):
                yield from self._bind(
                    directive, kind, server, self._password if kind == "key" else ""
                )

    def _clients(self, top: Sequence[Directive]) -> Iterator[Binding]:
        pending = list(reversed(top))
        while pending:
            directive = pending.pop()
            pending += reversed(directive.block)
            if directive.name in _CLIENT:
                yield from self._bind(
                    directive, _CLIENT[directive.name], Server("apache", self._unit)
                )

    def _bind(
        self, directive: Directive, kind: str, server: Server, password: str = ""
    ) -> Iterator[Binding]:
        path = directive.arguments[0] if directive.arguments else ""
        if not path or path.startswith("pkcs11:"):
            return
        if "${" in path:
            self._sources.note(directive.path, directive.line, "a variable names a file")
            return
        at = (directive.path, directive.line)
        whole = absolute(self._tree.server_root, path)
        yield bind(self._sources, server, at, kind, whole, password_source=password)

    def _managed(self, host: Directive, server: Server) -> Iterator[Binding]:
        """Yield what mod_md has for a virtual host that names no certificate itself."""
        domains = (self._managed_by_name.get(name) for name in server.server_names)
        for directory in {domain.directory: domain for domain in domains if domain}:
            for pattern, kind in (("pubcert*.pem", "certificate"), ("privkey*.pem", "key")):
                for path in self._sources.included(host.path, f"{directory}/{pattern}"):
                    yield bind(self._sources, server, (host.path, host.line), kind, path)


@dataclass(frozen=True, slots=True)
class ManagedDomain:
    """One MDomain: its names, where mod_md keeps what it renews, and whether it may renew it."""

    names: tuple[str, ...]
    directory: str
    is_renewed: bool
    at: tuple[str, int]


def managed_domains(tree: Tree) -> Iterator[ManagedDomain]:
    """Yield the domains that mod_md manages (mod_md: MDomain, <MDomainSet>, MDStoreDir, MDRenewMode)."""
    store = "".join(_first(one) for one in _named(tree.top, "mdstoredir")[-1:]) or "md"
    mode = "".join(_first(one) for one in _named(tree.top, "mdrenewmode")[-1:])
    for directive in tree.top:
        if directive.name not in ("mdomain", "mdomainset"):
            continue
        own = "".join(_first(one) for one in _named(directive.block, "mdrenewmode")[-1:])
        names = [name for name in directive.arguments if name not in ("auto", "manual")]
        names += [name for one in _named(directive.block, "mdmember") for name in one.arguments]
        if names:
            yield ManagedDomain(
                tuple(names),
                f"{absolute(tree.server_root, store)}/domains/{names[0]}",
                (own or mode).lower() != "manual",
                (directive.path, directive.line),
            )


def _settings(block: Sequence[Directive]) -> dict[str, list[Directive]]:
    found: dict[str, list[Directive]] = {}
    for directive in block:
        if directive.name in _SERVER:
            found.setdefault(directive.name, []).append(directive)
    return found


def _named(block: Sequence[Directive], name: str) -> list[Directive]:
    return [one for one in block if one.name == name]


def _first(directive: Directive) -> str:
    return directive.arguments[0] if directive.arguments else ""


def _is_on(block: Sequence[Directive]) -> bool:
    return [_first(one).lower() for one in _named(block, "sslengine")][-1:] == ["on"]


def _names(block: Sequence[Directive]) -> Iterator[str]:
    for directive in block:
        if directive.name == "servername":
            # It may say how the server is reached from outside: https://www.example.com:443.
            yield split_address(_first(directive).rpartition("://")[2])[0]
        elif directive.name == "serveralias":
            yield from directive.arguments


def _password(directive: Directive) -> str:
    return "program" if _first(directive).startswith(("exec:", "|")) else ""
