"""Dovecot 2.2 to 2.4: certificates for all, for names, addresses and protocols; listeners of its login services.

Runs in the reader. Sources: Dovecot's documentation, "Configuration file syntax", "SSL/TLS", "Service configuration"
(default listeners); settings of 2.4 are named ssl_server_*_file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, addresses, bind
from keycensus_agent.context.sources import INCLUDE_DEPTH, Sources, absolute
from keycensus_agent.context.systemd import Units

_MAIN = "/etc/dovecot/dovecot.conf"
_UNIT = "dovecot.service"
_SERVER = {
    "ssl_cert": "certificate",
    "ssl_alt_cert": "certificate",
    "ssl_key": "key",
    "ssl_alt_key": "key",
    "ssl_ca": "trust",
    "ssl_server_cert_file": "certificate",
    "ssl_server_alt_cert_file": "certificate",
    "ssl_server_key_file": "key",
    "ssl_server_alt_key_file": "key",
    "ssl_server_ca_file": "trust",
}
_CLIENT = {
    "ssl_client_cert": "certificate",
    "ssl_client_cert_file": "certificate",
    "ssl_client_key": "key",
    "ssl_client_key_file": "key",
    "ssl_client_ca_file": "trust",
    "ssl_client_ca_dir": "trust",
}
# Listeners of the login services by their names: port, and how TLS begins.
_LISTENERS = {
    "imap": {"imap": ("143", "starttls-imap"), "imaps": ("993", "tls")},
    "pop3": {"pop3": ("110", "starttls-pop3"), "pop3s": ("995", "tls")},
    "submission": {"submission": ("587", "starttls-smtp"), "submissions": ("465", "tls")},
}
_DEFAULT_PROTOCOLS = "imap pop3 lmtp"
_SETTING = re.compile(r"([\w/.-]+)\s*=\s*(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:SET:)?(\w+)")
_DEPTH = 20
_VALUE_LIMIT = 4096


@dataclass(slots=True)
class _Block:
    kind: str
    name: str
    settings: dict[str, tuple[str, str, int]] = field(default_factory=dict)
    blocks: list[_Block] = field(default_factory=list)

    def value(self, name: str, default: str = "") -> str:
        return self.settings[name][0] if name in self.settings else default

    def of(self, kind: str, name: str) -> list[_Block]:
        return [one for one in self.blocks if one.kind == kind and one.name in ("", name)]


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what Dovecot's configuration names."""
    top = _Block("", "")
    _read(sources, _MAIN, [top], ())
    if top.value("ssl") == "no":
        return
    unit = units.first(_UNIT)
    everything = _listeners(top, top.value("protocols", _DEFAULT_PROTOCOLS).split())
    # A protocol's certificate is for its own listeners, and those of all are for the others.
    own = {
        one.name for one in top.blocks if one.kind == "protocol" and _SERVER.keys() & one.settings
    }
    others = [one for one in everything if one[0] not in own]
    yield from _named(sources, unit, top, (), others)
    for block in top.blocks:
        if block.kind == "protocol":
            listeners = [one for one in everything if one[0] == block.name]
            yield from _named(sources, unit, block, (), listeners)
        elif block.kind == "local_name":
            yield from _named(sources, unit, block, tuple(block.name.strip('"').split()), others)
        elif block.kind in ("local", "remote"):
            yield from _named(sources, unit, block, (), [])
    for name, kind in _CLIENT.items():
        if name in top.settings:
            yield from _bind(sources, Server("dovecot", unit), top, name, kind)


def _named(
    sources: Sources,
    unit: str,
    block: _Block,
    names: tuple[str, ...],
    listeners: Sequence[tuple[str, str, str]],
) -> Iterator[Binding]:
    for protocol in dict.fromkeys(one[1] for one in listeners) or ("",):
        here = tuple(address for _, kind, address in listeners if kind == protocol)
        server = Server("dovecot", unit, names, here, protocol)
        for name, kind in _SERVER.items():
            if name in block.settings:
                yield from _bind(sources, server, block, name, kind)


def _bind(
    sources: Sources, server: Server, block: _Block, name: str, kind: str
) -> Iterator[Binding]:
    value, path, line = block.settings[name]
    file = value.removeprefix("<").strip()
    # A value without "<" is the certificate itself, but for settings that name files.
    if file.startswith("/") and (value.startswith("<") or name.endswith(("_file", "_dir"))):
        password = "inline" if kind == "key" and block.value("ssl_key_password") else ""
        yield bind(sources, server, (path, line), kind, file, password_source=password)


def _listeners(top: _Block, protocols: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return protocol, how TLS begins, and address of each listener that can have TLS."""
    found = []
    for protocol, known in _LISTENERS.items():
        if protocol not in protocols:
            continue
        services = top.of("service", f"{protocol}-login")
        for name, (port, how) in known.items():
            said = [one for service in services for one in service.of("inet_listener", name)]
            ports = [one.value("port") for one in said if one.value("port")] or [port]
            hosts = [one.value("address") for one in said if one.value("address")]
            hosts = (hosts[-1:] or [top.value("listen", "*, ::")])[0].replace(",", " ").split()
            if name == "submissions" and not said:
                continue  # it has no port of its own unless it is given one
            if ports[-1] != "0":
                found += [
                    (protocol, how, one) for host in hosts for one in addresses(host, ports[-1])
                ]
    return found


def _read(sources: Sources, path: str, stack: list[_Block], including: tuple[str, ...]) -> None:
    """Take in a file at the innermost open block."""
    if path in including or len(including) >= INCLUDE_DEPTH:
        sources.note(path, 0, "included by itself, or too deep")
        return
    opened = len(stack)
    for number, line in _lines(sources.text(path) or ""):
        if not sources.affords(path):
            break
        if line.startswith("!include"):
            for one in _included(sources, path, number, line):
                _read(sources, one, stack, (*including, path))
        elif line != "}":
            _statement(path, number, line, stack)
        elif len(stack) > opened:
            stack.pop()
    if len(stack) > opened:
        sources.note(path, 0, "ends in the middle of a block")
        del stack[opened:]


def _included(sources: Sources, path: str, number: int, line: str) -> list[str]:
    word, _, pattern = line.partition(" ")
    found = sources.included(path, absolute(path.rpartition("/")[0], pattern.strip()))
    if not found and word == "!include" and "*" not in pattern:
        sources.note(path, number, "includes what is not there")
    return found


def _statement(path: str, number: int, line: str, stack: list[_Block]) -> None:
    kind, name = [*line.removesuffix("{").split(None, 1), "", ""][:2]
    setting = _SETTING.match(line)
    if line.endswith("{") and len(stack) < _DEPTH:
        made = _Block(kind, name.strip())
        stack[-1].blocks.append(made)
        stack.append(made)
    elif setting is not None:
        stack[-1].settings[setting[1]] = (_value(setting[2], stack[0]), path, number)


def _value(text: str, top: _Block) -> str:
    value = text.strip()
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    value = value.partition(" #")[0].strip()
    if "$" in value and not value.startswith("<"):
        value = _VARIABLE.sub(lambda one: top.value(one[1]), value)
    return value[:_VALUE_LIMIT]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield statements; a backslash at the end continues, and a block on one line is several."""
    pieces: list[str] = []
    start = 0
    for number, line in enumerate(text.split("\n"), start=1):
        start = start if pieces else number
        stripped = line.strip()
        if stripped.startswith("#"):
            continue
        if stripped.endswith("\\"):
            pieces.append(stripped[:-1].strip())
            continue
        whole = " ".join([*pieces, stripped])
        pieces = []
        if "{" in whole and whole.endswith("}") and not whole.endswith("{"):
            head, _, rest = whole.partition("{")
            yield start, head.strip() + " {"
            yield start, rest[:-1].strip()
            yield start, "}"
        elif whole:
            yield start, whole
