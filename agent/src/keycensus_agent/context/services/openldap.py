"""OpenLDAP: slapd's TLS settings, in slapd.conf or in cn=config as LDIF, and the clients' ldap.conf.

Runs in the reader. Sources: slapd.conf(5), slapd-config(5), ldap.conf(5), slapd(8) (-h), ldif(5) (RFC 2849);
/etc/default/slapd of Debian, /etc/sysconfig/slapd of Red Hat.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, addresses, bind, split_address
from keycensus_agent.context.shell import shell_variables
from keycensus_agent.context.sources import INCLUDE_DEPTH, Sources, absolute, to_text
from keycensus_agent.context.systemd import Units

_DIRECTORIES = ("/etc/ldap", "/etc/openldap", "/usr/local/etc/openldap")
_UNITS = ("slapd.service", "openldap.service")
_SERVICES = (
    ("/etc/default/slapd", "SLAPD_SERVICES"),
    ("/etc/sysconfig/slapd", "SLAPD_URLS"),
)
# Of both forms, in lower case without "olc".
_SERVER = {
    "tlscertificatefile": "certificate",
    "tlscertificatekeyfile": "key",
    "tlscacertificatefile": "trust",
    "tlscacertificatepath": "trust",
    "tlscrlfile": "crl",
}
_CLIENT = {
    "tls_cert": "certificate",
    "tls_key": "key",
    "tls_cacert": "trust",
    "tls_cacertdir": "trust",
    "tls_crlfile": "crl",
}
_REPLICATION = re.compile(
    r"\b(tls_(?:cert|key|cacert|cacertdir))=(?:\"([^\"]+)\"|(\S+))", re.IGNORECASE
)
_URL = re.compile(r"(ldaps?)://([^/\s]*)", re.IGNORECASE)


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what each configuration of slapd and of the clients names."""
    unit = units.first(*_UNITS)
    for directory in _DIRECTORIES:
        lines = list(_server_lines(sources, directory))
        used = [one for one in lines if one[2] in _SERVER]
        listens = _listens(sources) if any(one[2] == "tlscertificatefile" for one in used) else {}
        for protocol, listen in (listens or {"": []}).items():
            server = Server("openldap", unit, (), tuple(listen), protocol)
            for path, number, name, value in used:
                yield bind(
                    sources, server, (path, number), _SERVER[name], absolute(directory, value)
                )
        for path, number, name, value in lines:
            if name == "syncrepl":
                for option, quoted, bare in _REPLICATION.findall(value):
                    kind, file = _CLIENT[option.lower()], absolute(directory, quoted or bare)
                    yield bind(sources, Server("openldap", unit), (path, number), kind, file)
        yield from _client(sources, f"{directory}/ldap.conf")


def _server_lines(sources: Sources, directory: str) -> Iterator[tuple[str, int, str, str]]:
    """Yield file, line, name and value of each setting; the directory of LDIF goes before the file."""
    database = f"{directory}/slapd.d/cn=config"
    if not sources.is_file(f"{database}.ldif"):
        yield from _configuration(sources, f"{directory}/slapd.conf", ())
        return
    names = [name for name in sources.names(database) if name.endswith(".ldif")]
    for path in (f"{database}.ldif", *(f"{database}/{name}" for name in names)):
        for number, line in _unfolded(sources.text(path) or "", " "):
            name, _, value = line.partition(":")
            if value.startswith(":"):
                value = _decoded(value[1:])
            yield path, number, name.lower().removeprefix("olc"), value.strip()


def _configuration(
    sources: Sources, path: str, including: tuple[str, ...]
) -> Iterator[tuple[str, int, str, str]]:
    if path in including or len(including) >= INCLUDE_DEPTH:
        sources.note(path, 0, "included by itself, or too deep")
        return
    for number, line in _unfolded(sources.text(path) or "", " \t"):
        if not sources.affords(path):
            return
        name, *rest = line.split(None, 1)
        value = "".join(rest).strip().strip('"')
        if name.lower() == "include":
            for found in sources.included(path, absolute("/", value)):
                yield from _configuration(sources, found, (*including, path))
        else:
            yield path, number, name.lower(), value


def _client(sources: Sources, path: str) -> Iterator[Binding]:
    for number, line in _unfolded(sources.text(path) or "", ""):
        name, *rest = line.split(None, 1)
        kind, value = _CLIENT.get(name.lower(), ""), "".join(rest).strip()
        if kind and value:
            yield bind(sources, Server("openldap"), (path, number), kind, absolute("/", value))


def _unfolded(text: str, continuing: str) -> Iterator[tuple[int, str]]:
    """Yield lines that say something; one that starts with a blank continues the last (RFC 2849)."""
    start, pieces = 0, list[str]()
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("#"):
            continue
        if pieces and line[:1] and line[0] in continuing:
            # LDIF cuts anywhere, slapd.conf between words.
            pieces.append(line[1:] if continuing == " " else " " + line.strip())
            continue
        if "".join(pieces).strip():
            yield start, "".join(pieces)
        start, pieces = number, [line.rstrip("\r")]
    if "".join(pieces).strip():
        yield start, "".join(pieces)


def _decoded(text: str) -> str:
    try:
        return to_text(binascii.a2b_base64(text.strip()))
    except ValueError:
        return ""


def _listens(sources: Sources) -> dict[str, list[str]]:
    """Return the addresses that slapd is started with, by protocol."""
    urls = ""
    for path, name in _SERVICES:
        urls += " " + shell_variables(sources.text(path) or "").get(name, "")
    found: dict[str, list[str]] = {}
    for scheme, where in _URL.findall(urls):
        is_tls = scheme.lower() == "ldaps"
        host, port = split_address(where)
        listen = addresses(host, port or ("636" if is_tls else "389"))
        found.setdefault("tls" if is_tls else "starttls-ldap", []).extend(listen)
    return found
