"""What configurations and renewal tools say about places: plain data, no input or output.

Text is as it stands in the files, unescaped: hostile. A binding is one directive of one service's configuration that names files; a renewer is a tool's own
record of what it keeps fresh. Both are read from files of the scanned root, without running a program.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Binding:
    """One directive that names certificate or key files, resolved as the service resolves it."""

    # "nginx", "apache", "haproxy", "postfix", "postgresql", ...
    service: str
    # systemd unit that runs the service; empty if none is known.
    unit: str
    # Absolute path of the configuration file that holds the directive, within the root.
    configuration: bytes
    # Line of the directive in that file, from 1; 0: not known.
    line: int
    # "certificate", "key", "chain", "trust", "store" (a key store), "crl"; "mention" where a text of a service
    # that is not known names it.
    directive: str
    # Absolute paths that it names, within the root, as the service would open them.
    paths: tuple[bytes, ...]
    # Names that the service answers for there, as configured.
    server_names: tuple[str, ...] = ()
    # "address:port" that the directive serves; "*:443" for every address, "[::1]:443" for IPv6,
    # "[::]:443" for every address of IPv6.
    listen: tuple[str, ...] = ()
    # How TLS begins on `listen`: "tls", or "starttls-" with "smtp", "postgresql", "mysql", "imap", "pop3"
    # or "ldap"; empty: no listener.
    protocol: str = ""
    # Where a store's password comes from ("file", "environment", "inline", "program"); never its value.
    password_source: str = ""


@dataclass(frozen=True, slots=True)
class Renewer:
    """One lineage that a renewal tool keeps fresh, by the tool's own files."""

    # "certbot", "acme.sh", "lego", "dehydrated", "certmonger", "caddy", "traefik", "mod_md", "cert-manager".
    tool: str
    # The tool's name of what it renews (certbot's lineage name, certmonger's nickname).
    name: str
    # Absolute path of the record that says so, within the root.
    configuration: bytes
    # Absolute paths of the certificate, key and chain that it writes, within the root.
    paths: tuple[bytes, ...]
    # Last success in milliseconds since the epoch; 0: never or not known.
    last_success_ms: int
    # The tool should have renewed by now and has not, or nothing starts it.
    overdue: bool
    # What starts it: "certbot.timer", "/etc/cron.d/certbot", "daemon"; empty: nothing was found.
    schedule: str
    # Why it is overdue: "past-due", "not-scheduled", "failing", "switched-off"; empty if it is not.
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something of a configuration that was not read or not understood; the rest was."""

    # Service or tool whose configuration it is.
    service: str
    configuration: bytes
    # From 1; 0: the whole file.
    line: int
    # What is wrong, in words; never what the file says.
    text: str


@dataclass(frozen=True)
class Context:
    """All that was said in one root; `problems` is what of it was not read or not understood."""

    bindings: tuple[Binding, ...] = ()
    renewers: tuple[Renewer, ...] = ()
    problems: tuple[Problem, ...] = field(default=(), compare=False)

    @cached_property
    def _bindings_by_path(self) -> dict[bytes, list[Binding]]:
        found: dict[bytes, list[Binding]] = {}
        for binding in self.bindings:
            for path in binding.paths:
                found.setdefault(path, []).append(binding)
        return found

    @cached_property
    def _renewers_by_path(self) -> dict[bytes, Renewer]:
        worst: dict[tuple[bytes, str, bytes], Renewer] = {}
        for renewer in self.renewers:
            for path in renewer.paths:
                # A store of many certificates is as late as the latest of them.
                key = (path, renewer.tool, renewer.configuration)
                if key not in worst or renewer.overdue:
                    worst[key] = renewer
        found: dict[bytes, Renewer] = {}
        for (path, _, _), renewer in worst.items():
            # Of several tools, one that does its work goes before one that is overdue.
            if path not in found or not renewer.overdue:
                found[path] = renewer
        return found

    def bindings_of(self, path: bytes, target: bytes = b"") -> list[Binding]:
        """Return what names a place, or the file that it leads to."""
        found = [*self._bindings_by_path.get(path, ())]
        if target:
            found += self._bindings_by_path.get(target, ())
        return found

    def renewer_of(self, path: bytes, target: bytes = b"") -> Renewer | None:
        """Return who renews a place, or the file that it leads to; None if nobody does."""
        return self._renewers_by_path.get(path) or self._renewers_by_path.get(target)


NOTHING = Context()
