"""What configurations and renewal tools say about places: plain data, no input or output.

Text is as it stands in the files, unescaped: hostile. A binding is one directive of one service's configuration that names files; a renewer is a tool's own
record of what it keeps fresh. Both are read from files of the scanned root, without running a program.
"""

from __future__ import annotations

from dataclasses import dataclass


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
    # "certificate", "key", "chain", "trust", "store" (a key store), "crl".
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
