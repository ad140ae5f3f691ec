"""HAProxy: certificates of `bind` and `server` lines, lists and directories of them, files beside them.

Runs in the reader. Source: HAProxy's configuration.txt: 2.2 (quoting), 3.1 (crt-base, ca-base, key-base,
ssl-load-extra-files), 3.12 (crt-store), 5.1 (bind options; bundles), 5.2 (server options), 4.2 "bind".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, addresses, bind, split_address
from keycensus_agent.context.sources import Sources, absolute
from keycensus_agent.context.systemd import Units

_MAIN = "/etc/haproxy/haproxy.cfg"
_UNIT = "haproxy.service"
_WORD = re.compile(r'(?:"(?:\\.|[^"\\])*"?|\'[^\']*\'?|\\.|[^\s"\'\\#])+|#.*', re.DOTALL)
_PIECE = re.compile(r'"((?:\\.|[^"\\])*)"?|\'([^\']*)\'?|((?:\\.|[^"\'\\])+)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{?(\w+)(?:-([^}]*))?\}?")
# In a directory these lie beside the certificates that they belong to (5.1, "crt").
_BESIDE = (".key", ".issuer", ".ocsp", ".sctl")
_BUNDLE = (".rsa", ".dsa", ".ecdsa")
_SECTIONS = frozenset(
    {
        *("global", "defaults", "frontend", "backend", "listen", "peers"),
        *("crt-store", "program", "resolvers", "mailers", "userlist", "cache"),
        *("ring", "http-errors", "log-forward", "fcgi-app", "log-profile", "traces"),
        *("acme"),
    }
)
# Of words after "bind" and "server": what the next word is.
_FILES = {
    "crt": "certificate",
    "ca-file": "trust",
    "ca-verify-file": "trust",
    "crl-file": "crl",
    "ca-sign-file": "certificate",
}
_SOCKET = re.compile(r"(?:ipv[46]|tcp[46]?|quic[46]|unix|abns\w*|fd|sockpair|rhttp|udp[46]?)@")


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what HAProxy's configuration names."""
    unit = units.first(_UNIT)
    reading = _Reading(sources, unit, units.environment(unit) if unit else {})
    for path in _files(sources, units, unit):
        yield from reading.of(path)


def _files(sources: Sources, units: Units, unit: str) -> Iterator[str]:
    """Yield the files that are read one after the other: `-f` may name several, and directories."""
    named = [
        after
        for command in (units.commands(unit) if unit else [])
        for option, after in pairwise(command)
        if option == "-f"
    ]
    for path in dict.fromkeys(named or [_MAIN]):
        if sources.is_directory(path):
            yield from (f"{path}/{name}" for name in sources.names(path) if name.endswith(".cfg"))
        else:
            yield path


class _Reading:
    def __init__(self, sources: Sources, unit: str, environment: dict[str, str]) -> None:
        self._sources = sources
        self._unit = unit
        self._environment = environment
        self._bases = {"crt-base": "", "key-base": "", "ca-base": ""}
        self._beside = True

    def of(self, path: str) -> Iterator[Binding]:
        """Yield what one file names; what its section "global" sets holds for later files too."""
        section = ""
        for number, line in enumerate((self._sources.text(path) or "").split("\n"), start=1):
            if not self._sources.affords(path):
                return
            words = self._words(line)
            if not words or words[0].startswith("."):
                continue
            if words[0] in _SECTIONS:
                section = words[0]
                self._bases |= {"crt-base": ""} if section == "crt-store" else {}
            elif words[0] in self._bases:
                self._bases[words[0]] = "".join(words[1:2])
            elif words[0] == "ssl-load-extra-files":
                self._beside = not {"none"}.intersection(words[1:])
            elif words[0] == "bind" and section in ("frontend", "listen", "peers"):
                yield from self._bind_line(path, number, words)
            elif words[0] in ("server", "default-server", "peer", "server-template"):
                yield from self._files_of(path, number, words, Server("haproxy", self._unit))
            elif words[0] == "load" and section == "crt-store":
                yield from self._load(path, number, words)

    def _bind_line(self, path: str, number: int, words: Sequence[str]) -> Iterator[Binding]:
        listen = tuple(one for word in words[1:2] for one in _addresses(word))
        server = Server("haproxy", self._unit, (), listen if "ssl" in words else (), "tls")
        yield from self._files_of(path, number, words, server)
        for option, value in pairwise(words):
            if option == "crt-list":
                yield from self._list(value, server)

    def _files_of(
        self, path: str, number: int, words: Sequence[str], server: Server
    ) -> Iterator[Binding]:
        for option, value in pairwise(words[1:]):
            kind = _FILES.get(option)
            if kind == "certificate":
                yield from self._certificate((path, number), value, server)
            elif kind and not value.startswith("@"):
                whole = self._whole("ca-base", value)
                yield bind(self._sources, server, (path, number), kind, whole)

    def _whole(self, base: str, path: str) -> str:
        # Without a base, it is the directory that HAProxy was started in: systemd's is the root.
        return absolute(self._bases[base] or "/", path)

    def _certificate(self, at: tuple[str, int], value: str, server: Server) -> Iterator[Binding]:
        """Yield a file, a directory's files, or a bundle of one for each kind of key; and the keys."""
        if value.startswith("@"):
            return
        path = self._whole("crt-base", value)
        if self._sources.is_directory(path):
            names = [one for one in self._sources.names(path) if not one.startswith(".")]
            files = [f"{path}/{one}" for one in names if not one.endswith(_BESIDE)]
        else:
            files = [path]
            if not self._sources.is_file(path):
                bundle = [path + end for end in _BUNDLE if self._sources.is_file(path + end)]
                files = bundle or files
        if files:
            yield bind(self._sources, server, at, "certificate", *files)
        keys = [key for file in files for key in self._keys(file)] if self._beside else []
        if keys:
            yield bind(self._sources, server, at, "key", *keys)

    def _keys(self, path: str) -> Iterator[str]:
        """Yield the keys beside a certificate: its name with ".key" behind, or instead of its ending."""
        stem = path.rpartition(".")[0] if path.endswith((".crt", ".pem", ".cer")) else path
        for key in dict.fromkeys((path + ".key", stem + ".key")):
            if self._sources.is_file(key):
                yield key

    def _list(self, value: str, server: Server) -> Iterator[Binding]:
        """Yield what a list names: on each line a certificate, options in brackets, and names."""
        path = absolute("/", value)
        for number, line in enumerate((self._sources.text(path) or "").split("\n"), start=1):
            if not self._sources.affords(path):
                return
            plain = line.strip()
            if not plain or plain.startswith("#"):
                continue
            file, _, rest = plain.partition(" ")
            options, bracket, filters = rest.strip().partition("]")
            names = (filters if bracket else rest).split()
            inside = options.strip("[ ").split() if bracket else []
            named = tuple(name for name in names if not name.startswith("!"))
            here = Server("haproxy", self._unit, named, server.listen, server.protocol)
            yield from self._certificate((path, number), file, here)
            yield from self._files_of(path, number, ["", *inside], here)

    def _load(self, path: str, number: int, words: Sequence[str]) -> Iterator[Binding]:
        server = Server("haproxy", self._unit)
        for option, value in pairwise(words[1:]):
            if option == "crt":
                yield from self._certificate((path, number), value, server)
            elif option == "key":
                whole = self._whole("key-base", value)
                yield bind(self._sources, server, (path, number), "key", whole)
            elif option == "issuer":
                whole = self._whole("crt-base", value)
                yield bind(self._sources, server, (path, number), "chain", whole)

    def _words(self, line: str) -> list[str]:
        found = []
        for word in _WORD.finditer(line):
            if word[0].startswith("#"):
                break
            found.append("".join(self._piece(piece) for piece in _PIECE.finditer(word[0])))
        return found

    def _piece(self, piece: re.Match[str]) -> str:
        double, single, bare = piece.groups()
        if single is not None:
            return str(single)
        text = str(double if double is not None else bare)
        if double is not None and "$" in text:
            text = _VARIABLE.sub(self._variable, text)[:65536]
        return _ESCAPE.sub(r"\1", text) if "\\" in text else text

    def _variable(self, found: re.Match[str]) -> str:
        return self._environment.get(found[1], found[2] or "")


def _addresses(text: str) -> Iterator[str]:
    """Yield the addresses of a "bind", of TCP: "ADDRESS:PORT[-PORT]", several with commas."""
    for one in text.split(","):
        socket = _SOCKET.match(one)
        if one.startswith("/") or (socket and not socket[0].startswith(("ipv", "tcp"))):
            continue
        rest = one[socket.end() :] if socket else one
        host, port = split_address(rest)
        # "ipv6@:443" is every address of IPv6.
        yield from addresses("::" if socket and socket[0] == "ipv6@" and not host else host, port)
