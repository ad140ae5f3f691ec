"""Postfix: the certificates of its SMTP server and client, in main.cf and in services of master.cf.

Runs in the reader. Sources: postconf(5), master(5), TLS_README, postmulti(1) (multi_instance_directories),
postmap(1) (tables that are text: a compiled one lies beside its text).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, addresses, bind, split_address
from keycensus_agent.context.services.postfix_parameters import (
    Parameter,
    expanded,
    logical_lines,
    parameters,
)
from keycensus_agent.context.sources import Sources
from keycensus_agent.context.systemd import Units

_DIRECTORY = "/etc/postfix"
# Of Debian, which has an instance for each directory, and of others.
_UNITS = ("postfix@-.service", "postfix.service")
_INSTANCES_LIMIT = 100
# Names of services that stand for ports (services(5)).
_PORTS = {"smtp": "25", "submission": "587", "smtps": "465", "submissions": "465", "lmtp": "24"}
# By the parameter's name after "smtpd_tls_": what it names. Several have a variant for each kind of key.
_FILES = {
    "chain_files": "certificate",
    "cert_file": "certificate",
    "key_file": "key",
    "eccert_file": "certificate",
    "eckey_file": "key",
    "dcert_file": "certificate",
    "dkey_file": "key",
    "CAfile": "trust",
    "CApath": "trust",
}
_KEY_OF = {"key_file": "cert_file", "eckey_file": "eccert_file", "dkey_file": "dcert_file"}
_CLIENTS = ("smtp_tls_", "lmtp_tls_")
_TABLES = ("texthash:", "hash:", "lmdb:", "btree:", "cdb:", "dbm:", "sdbm:")


@dataclass(frozen=True, slots=True)
class _Service:
    """One listener of master.cf with the parameters that it changes, and where it stands."""

    name: str
    path: str
    line: int
    command: str
    options: dict[str, Parameter] = field(default_factory=dict)


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what each instance of Postfix names."""
    unit = next(filter(units.path, _UNITS), "")
    main = parameters(f"{_DIRECTORY}/main.cf", sources.text(f"{_DIRECTORY}/main.cf") or "")
    others = (
        main["multi_instance_directories"].value if "multi_instance_directories" in main else ""
    )
    directories = dict.fromkeys([_DIRECTORY, *others.replace(",", " ").split()[:_INSTANCES_LIMIT]])
    for directory in directories:
        yield from _Reading(sources, unit, directory).bindings()


class _Reading:
    def __init__(self, sources: Sources, unit: str, directory: str) -> None:
        self._sources = sources
        self._unit = unit
        self._directory = directory
        path = f"{directory}/main.cf"
        self._main = parameters(path, sources.text(path) or "")
        self._main.setdefault("config_directory", Parameter(directory, path, 0))

    def bindings(self) -> Iterator[Binding]:
        is_served = False
        for service in self._services():
            known = {**self._main, **service.options}
            # The same files on several ports are several bindings, since each port is asked for itself.
            for binding in self._of_server(known, self._server(service, known)):
                is_served = True
                yield binding
        if not is_served:
            yield from self._of_server(self._main, Server("postfix", self._unit))
        for prefix in _CLIENTS:
            yield from self._files(prefix, self._main, Server("postfix", self._unit))

    def _of_server(self, known: Mapping[str, Parameter], server: Server) -> Iterator[Binding]:
        yield from self._files("smtpd_tls_", known, server)
        yield from self._by_name(known, server)

    def _services(self) -> Iterator[_Service]:
        """Yield the SMTP servers of master.cf that listen on the network."""
        path = f"{self._directory}/master.cf"
        for number, line in logical_lines(self._sources.text(path) or ""):
            if not self._sources.affords(path):
                return
            fields = line.split()
            if len(fields) < 8 or fields[1] != "inet" or fields[7] not in ("smtpd", "postscreen"):
                continue
            options = {}
            arguments = iter(_arguments(line.split(None, 8)[8:]))
            for argument in arguments:
                text = next(arguments, "") if argument == "-o" else argument.removeprefix("-o")
                name, equals, value = text.partition("=")
                if equals:
                    options[name.strip()] = Parameter(value.strip(), path, number)
            yield _Service(fields[0], path, number, fields[7], options)

    def _server(self, service: _Service, known: Mapping[str, Parameter]) -> Server:
        def value(name: str, default: str = "") -> str:
            return expanded(known[name].value, known) if name in known else default

        if value("smtpd_tls_wrappermode") == "yes":
            protocol = "tls"
        elif value("smtpd_tls_security_level") in ("may", "encrypt") or "yes" in (
            *(value("smtpd_use_tls"), value("smtpd_enforce_tls")),
        ):
            protocol = "starttls-smtp"
        else:
            protocol = ""
        host, port = split_address(service.name)
        if port == "" and host in _PORTS:
            host, port = "", host
        port = _PORTS.get(port, port)
        hosts = [host] if host else self._interfaces(value("inet_interfaces", "all"))
        listen = [one for name in hosts for one in addresses(name, port)] if protocol else []
        return Server(
            "postfix", self._unit, tuple(filter(None, [self._host_name()])), tuple(listen), protocol
        )

    def _interfaces(self, value: str) -> list[str]:
        found = []
        for one in value.replace(",", " ").split():
            known = {
                "all": ["*"],
                "loopback-only": ["127.0.0.1", "::1"],
                "localhost": ["127.0.0.1"],
            }
            found += known.get(one, [one])
        return found

    def _host_name(self) -> str:
        if "myhostname" in self._main:
            return expanded(self._main["myhostname"].value, self._main)
        name = "".join((self._sources.text("/etc/hostname", 256) or "").split()[:1])
        return name if "." in name else ""

    def _files(
        self, prefix: str, known: Mapping[str, Parameter], server: Server
    ) -> Iterator[Binding]:
        chains = known.get(f"{prefix}chain_files")
        for suffix, kind in _FILES.items():
            parameter = known.get(prefix + suffix)
            if parameter is None or (
                chains and chains.value and suffix != "chain_files" and kind != "trust"
            ):
                # chain_files takes the place of the separate files (postconf(5)).
                continue
            value = expanded(parameter.value, known)
            paths = value.replace(",", " ").split() if suffix == "chain_files" else [value]
            paths = [path for path in paths if path.startswith("/")]
            if suffix in _KEY_OF and paths == [self._value(prefix + _KEY_OF[suffix], known)]:
                continue  # key and certificate in one file: the certificate's line says so
            if paths:
                at = (parameter.path, parameter.line)
                yield bind(self._sources, server, at, kind, *paths)

    def _value(self, name: str, known: Mapping[str, Parameter]) -> str:
        return expanded(known[name].value, known) if name in known else ""

    def _by_name(self, known: Mapping[str, Parameter], server: Server) -> Iterator[Binding]:
        """Yield the certificates for each name of tls_server_sni_maps, if its table is text."""
        for table in self._value("tls_server_sni_maps", known).replace(",", " ").split():
            path = next((table[len(one) :] for one in _TABLES if table.startswith(one)), "")
            if not path.startswith("/"):
                continue
            for number, line in logical_lines(self._sources.text(path) or ""):
                name, _, rest = line.partition(" ") if " " in line else line.partition("\t")
                files = [file for file in rest.replace(",", " ").split() if file.startswith("/")]
                names = ("*" + name if name.startswith(".") else name,)
                here = Server("postfix", self._unit, names, server.listen, server.protocol)
                if files and self._sources.affords(path):
                    yield bind(self._sources, here, (path, number), "certificate", *files)


def _arguments(rest: list[str]) -> list[str]:
    """Split a command's arguments; one with spaces stands in braces (master(5))."""
    found: list[str] = []
    for word in "".join(rest).split():
        if found and found[-1].startswith("{") and not found[-1].endswith("}"):
            found[-1] += " " + word
        else:
            found.append(word)
    return [word.removeprefix("{").removesuffix("}").strip() for word in found]
