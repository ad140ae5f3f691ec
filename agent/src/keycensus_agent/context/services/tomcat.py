"""Tomcat: key stores and PEM files of server.xml's connectors, with SSLHostConfig and in the form before it.

Runs in the reader. Sources: Tomcat's documentation, "The HTTP Connector" (SSL Support), "SSL/TLS Configuration How-To",
"System Properties" (property replacement). XML is read by tags and attributes only: the parser of the library is C
code, and is not to be given a stranger's text in the process that can read every key.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, addresses, bind
from keycensus_agent.context.sources import Sources, absolute
from keycensus_agent.context.systemd import Units

_PATTERNS = (
    *(
        "/etc/tomcat*/server.xml",
        "/var/lib/tomcat*/conf/server.xml",
        "/usr/share/tomcat*/conf/server.xml",
    ),
    *(
        "/opt/tomcat*/conf/server.xml",
        "/opt/apache-tomcat*/conf/server.xml",
        "/srv/tomcat*/conf/server.xml",
    ),
    *("/usr/local/tomcat*/conf/server.xml", "/opt/*/tomcat*/conf/server.xml"),
)
_UNIT = re.compile(r"tomcat[\w.-]*\.service\Z")
_TOKEN = re.compile(
    r"""<!--.*?(?:-->|\Z) | <!\[CDATA\[.*?(?:\]\]>|\Z) | <[?!][^>]*(?:>|\Z)
    | <(?P<end>/?)(?P<name>[\w:.-]+)(?P<attributes>(?:[^<>"']|"[^"]*"|'[^']*')*+)>""",
    re.DOTALL | re.VERBOSE,
)
_ATTRIBUTE = re.compile(r"""([\w:.-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_PROPERTY = re.compile(r"\$\{([^}]{0,500})\}")
_SETTING = re.compile(r"^[ \t]*([\w.-]{1,200})[ \t]*[=:](.*)$", re.MULTILINE)
# Attributes in lower case: what each names.
_CERTIFICATE = {
    "certificatekeystorefile": "store",
    "certificatefile": "certificate",
    "certificatekeyfile": "key",
    "certificatechainfile": "chain",
}
_HOST = {
    "truststorefile": "trust",
    "cacertificatefile": "trust",
    "cacertificatepath": "trust",
    "certificaterevocationlistfile": "crl",
    "certificaterevocationlistpath": "crl",
}
_CONNECTOR = {
    "keystorefile": "store",
    "truststorefile": "trust",
    "crlfile": "crl",
    "sslcertificatefile": "certificate",
    "sslcertificatekeyfile": "key",
    "sslcertificatechainfile": "chain",
    "sslcacertificatefile": "trust",
    "sslcacertificatepath": "trust",
    "sslcarevocationfile": "crl",
}
_PASSWORDS = {
    "certificatekeystorefile": "certificatekeystorepassword",
    "certificatekeyfile": "certificatekeypassword",
    "truststorefile": "truststorepassword",
    "keystorefile": "keystorepass",
    "sslcertificatekeyfile": "sslpassword",
}


@dataclass(frozen=True, slots=True)
class _Element:
    name: str
    attributes: Mapping[str, str]
    line: int


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what each server.xml names."""
    seen: set[bytes] = set()
    for pattern in _PATTERNS:
        for path in sources.glob(pattern):
            if sources.place(path) not in seen:
                seen.add(sources.place(path))
                yield from _Reading(sources, units, path).bindings()


class _Reading:
    def __init__(self, sources: Sources, units: Units, path: str) -> None:
        self._sources = sources
        self._path = path
        self._base = self._home(path)
        self._unit = self._unit_of(units)
        text = sources.text(f"{path.rpartition('/')[0]}/catalina.properties") or ""
        properties = {name: value.strip() for name, value in _SETTING.findall(text)}
        self._properties: dict[str, str] = {
            **properties,
            "catalina.base": self._base,
            "catalina.home": self._base,
        }
        self._of_file = frozenset(properties)

    def _home(self, path: str) -> str:
        """Return CATALINA_BASE: the directory above conf; Debian's conf is a link to /etc."""
        directory = path.rpartition("/")[0]
        if directory.endswith("/conf"):
            return directory.removesuffix("/conf")
        name = directory.rpartition("/")[2]
        candidates = (f"/var/lib/{name}", f"/usr/share/{name}")
        return next(filter(self._sources.is_directory, candidates), candidates[0])

    def _unit_of(self, units: Units) -> str:
        name = self._base.rpartition("/")[2]
        known = [one for one in units.names(".service") if _UNIT.match(one)]
        return units.first(f"{name}.service", "tomcat.service") or units.first(*known)

    def bindings(self) -> Iterator[Binding]:
        connector: _Element | None = None
        host: _Element | None = None
        for element in _elements(self._sources.text(self._path) or ""):
            if not self._sources.affords(self._path):
                return
            if element.name == "connector":
                connector, host = element, None
                server = self._server(connector, ())
                yield from self._named(element, _CONNECTOR, server)
            elif connector is not None and element.name == "sslhostconfig":
                host = element
                yield from self._named(element, _HOST, self._server(connector, _names(host)))
            elif connector is not None and host is not None and element.name == "certificate":
                server = self._server(connector, _names(host))
                yield from self._named(element, _CERTIFICATE, server)

    def _server(self, connector: _Element, names: Sequence[str]) -> Server:
        port = self._value(connector.attributes.get("port", ""))
        is_on = connector.attributes.get("sslenabled", "").lower() == "true"
        host = self._value(connector.attributes.get("address", ""))
        listen = tuple(addresses(host, port)) if is_on and port not in ("-1", "0") else ()
        return Server("tomcat", self._unit, tuple(names), listen, "tls")

    def _named(
        self, element: _Element, files: Mapping[str, str], server: Server
    ) -> Iterator[Binding]:
        for name, kind in files.items():
            path = self._value(element.attributes.get(name, "")).removeprefix("file:")
            if not path or re.match(r"\w+:", path):
                continue
            if "${" in path:
                self._sources.note(self._path, element.line, "a property names a file")
                continue
            path = "/" + path.lstrip("/") if path.startswith("/") else absolute(self._base, path)
            at = (self._path, element.line)
            source = self._password(element, name)
            yield bind(self._sources, server, at, kind, path, password_source=source)

    def _password(self, element: _Element, name: str) -> str:
        """Return where a password comes from: it stands there, in a file, or in a property."""
        attribute = _PASSWORDS.get(name, "")
        if element.attributes.get(attribute + "file"):
            return "file"
        value = element.attributes.get(attribute, "")
        match = _PROPERTY.search(value)
        if match is None:
            return "inline" if value else ""
        return "file" if match[1].partition(":-")[0] in self._of_file else "environment"

    def _value(self, text: str) -> str:
        """Put properties in: ${name}, ${name:-default}."""

        def replaced(match: re.Match[str]) -> str:
            name, separator, default = match[1].partition(":-")
            return self._properties.get(name, default if separator else str(match[0]))

        return _PROPERTY.sub(replaced, text)[:4096] if "${" in text else text


def _names(host: _Element) -> tuple[str, ...]:
    name = host.attributes.get("hostname", "_default_")
    return () if name == "_default_" else (name,)


def _elements(text: str) -> Iterator[_Element]:
    """Yield start tags in order, names in lower case, with the line of each."""
    line, position = 1, 0
    for match in _TOKEN.finditer(text):
        line += text.count("\n", position, match.start())
        position = match.start()
        if match["name"] and not match["end"]:
            attributes = {
                name.lower(): html.unescape(double or single)
                for name, double, single in _ATTRIBUTE.findall(match["attributes"])
            }
            yield _Element(match["name"].lower(), attributes, line)
