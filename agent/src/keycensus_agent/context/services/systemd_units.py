"""Services of any kind, by their systemd units: credentials, variables and arguments that name files.

Runs in the reader. Sources: systemd.exec(5) (LoadCredential=, Environment=, EnvironmentFile=), systemd.service(5)
(ExecStart=), systemd.unit(5) (specifiers).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from keycensus_agent.context.bindings import Binding
from keycensus_agent.context.services.bind import Server, bind
from keycensus_agent.context.sources import Sources
from keycensus_agent.context.systemd import Assignment, Units, words

_CREDENTIALS = ("LoadCredential", "LoadCredentialEncrypted")
# A path, alone, behind an option's "=", or behind a scheme of a variable ("file:/…").
_PATH = re.compile(r"(?:\A|[=:,])(/[^\s=:,;]+)")
# What the name of an option, a variable or a file says that is about certificates or keys.
_STORE = re.compile(r"key-?_?store|\.(?:p12|pfx|jks|jceks|bks)\Z|nssdb", re.IGNORECASE)
_TRUST = re.compile(
    r"trust|(?:\A|[^a-z])ca(?:cert|certs|file|path|bundle|-?_?chain)?(?:[^a-z]|\Z)", re.IGNORECASE
)
_KEY = re.compile(
    r"(?:\A|[^a-z])(?:priv(?:ate)?[-_]?)?key(?:file)?(?:[^a-z]|\Z)|tls[-_]?key|ssl[-_]?key",
    re.IGNORECASE,
)
_CERTIFICATE = re.compile(
    r"cert|\.(?:pem|crt|cer|der)\Z|(?:tls|ssl)[-_]?(?:crt|file)|fullchain", re.IGNORECASE
)
_CRL = re.compile(r"(?:\A|[^a-z])crl(?:[^a-z]|\Z)", re.IGNORECASE)
_KINDS = (
    ("crl", _CRL),
    ("store", _STORE),
    ("trust", _TRUST),
    ("key", _KEY),
    ("certificate", _CERTIFICATE),
)


def read(sources: Sources, units: Units) -> Iterator[Binding]:
    """Yield what units name by paths that are there."""
    for name in units.names(".service"):
        lines = units.assignments(name)
        if not sources.affords("/", len(lines)):
            return
        for key in _CREDENTIALS:
            for one in units.values(name, "Service", key):
                identifier, _, path = one.value.partition(":")
                yield from _bind(sources, name, one, kind_of(identifier) or "key", path)
        for one in units.values(name, "Service", "Environment"):
            for word in words(one.value):
                yield from _word(sources, name, one, word.partition("=")[0], word)
        for one in units.values(name, "Service", "ExecStart"):
            yield from _command(sources, name, one)


def _command(sources: Sources, unit: str, line: Assignment) -> Iterator[Binding]:
    """Yield what arguments name: "--option=/path", or "/path" with the option before it."""
    option = ""
    for word in words(line.value)[1:]:
        is_option = word.startswith("-")
        if "/" in word:
            name = word.partition("=")[0] if is_option else option
            yield from _word(sources, unit, line, name, word)
        option = word if is_option else ""


def _word(sources: Sources, unit: str, line: Assignment, name: str, word: str) -> Iterator[Binding]:
    for path in _PATH.findall(word):
        kind = kind_of(name) or kind_of(path.rpartition("/")[2])
        if kind:
            yield from _bind(sources, unit, line, kind, path)


def _bind(sources: Sources, unit: str, line: Assignment, kind: str, path: str) -> Iterator[Binding]:
    resolved = _specified(path.strip(), unit)
    if resolved.startswith("/") and sources.facts(resolved) is not None:
        yield bind(sources, Server("systemd", unit), (line.path, line.line), kind, resolved)


def kind_of(name: str) -> str:
    """Return what a name says that it is for: "certificate", "key", and so on; "" if it does not."""
    return next((kind for kind, pattern in _KINDS if pattern.search(name)), "")


def _specified(path: str, unit: str) -> str:
    """Put specifiers in that are known without running anything."""
    stem = unit.rpartition(".")[0]
    prefix, _, instance = stem.partition("@")
    known = {
        "%i": instance,
        "%I": instance.replace("-", "/"),
        "%n": unit,
        "%N": stem,
        "%p": prefix,
        "%%": "%",
        "%E": "/etc",
        "%S": "/var/lib",
        "%C": "/var/cache",
        "%t": "/run",
    }
    return re.sub(r"%.", lambda one: known.get(one[0], one[0]), path) if "%" in path else path
