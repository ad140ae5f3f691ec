"""The address of a syslog server, as a configuration has it."""

from __future__ import annotations

from urllib.parse import urlsplit

# RFC 5426 and RFC 5425; 601 is what IANA registered for syslog over TCP (RFC 3195).
_PORTS = {"udp": 514, "tcp": 601, "tls": 6514}


class Target:
    """Where messages go: "udp://HOST[:PORT]", "tcp://…", "tls://…" or "unix:///path"."""

    def __init__(self, url: str) -> None:
        """ValueError, with what would be right, for anything else."""
        parts = urlsplit(url)
        self.kind, self.path = parts.scheme, parts.path
        if self.kind == "unix" and self.path.startswith("/") and not parts.netloc:
            self.host, self.port = "", 0
        elif self.kind in _PORTS and parts.hostname and not self.path.strip("/"):
            self.host, self.port = parts.hostname, parts.port or _PORTS[self.kind]
        else:
            raise ValueError(
                'write "udp://HOST:PORT", "tcp://HOST:PORT", "tls://HOST:PORT" or "unix:///dev/log"'
            )
        self.url = url

    @property
    def is_datagram(self) -> bool:
        """Whether each message is a datagram of its own."""
        return self.kind in {"udp", "unix"}


def target_of(value: object) -> Target | None:
    """Return where a configuration's value leads, None for an empty one; ValueError for no address."""
    return None if value == "" else Target(str(value))
