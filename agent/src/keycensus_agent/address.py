"""Network addresses as people write them: "host", "host:port", "[IPv6]:port".

Pure; used by configuration, enrolment and the link. Nothing is resolved here.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

ENROLMENT_PORT = 8441
REPORT_PORT = 8440

# RFC 1123 host names, and underscores, which do occur in internal names.
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}\.?)*\Z")
_FORM = re.compile(r"(?:\[(?P<v6>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>[0-9]{1,5}))?\Z")


@dataclass(frozen=True, slots=True)
class Address:
    """Host (a name or an IP address without brackets) and TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return "host:port", an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, default_port: int, *, default_host: str = "") -> Address:
    """Return the address that `text` names; ValueError (with what would be right) if none.

    An empty host means `default_host`, where that is given.
    """
    match = _FORM.match(text)
    if match is None:
        bare = _ip_version(text)
        if bare == 6:
            return Address(text, default_port)
        raise ValueError(_RIGHT)
    host = match["v6"] if match["v6"] is not None else match["name"] or default_host
    if match["v6"] is not None and _ip_version(host) != 6:
        raise ValueError(_RIGHT)
    if match["v6"] is None and not _is_host(host):
        raise ValueError(_RIGHT)
    port = default_port if match["port"] is None else int(match["port"])
    if not 1 <= port <= 65535:
        raise ValueError("the port must be from 1 to 65535")
    return Address(host, port)


_RIGHT = (
    'must be "host", "host:port" or "[IPv6 address]:port", such as "collector.example.com:8441"'
)


def _ip_version(text: str) -> int:
    try:
        return ipaddress.ip_address(text).version
    except ValueError:
        return 0


def _is_host(host: str) -> bool:
    return bool(_HOST_NAME.match(host)) or _ip_version(host) != 0
