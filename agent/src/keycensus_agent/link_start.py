"""What a link is started with, the same whoever starts it: the reader, its launcher, or systemd.

All of it comes from the configuration; nothing of it from the connection that the link is for.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from keycensus_agent.config import Config

# What of our environment the link may know: its way out, and how to show text.
_KEPT_VARIABLES = frozenset(
    {
        "grpc_proxy",
        "http_proxy",
        "https_proxy",
        "no_grpc_proxy",
        "no_proxy",
        "LANG",
        "LC_ALL",
        "LC_CTYPE",
        "NO_COLOR",
        "PATH",
        "TZ",
    }
)


@dataclass(frozen=True, slots=True)
class LinkStart:
    """The settings of one link.

    `address` ("host:port") in place of the identity's, or empty; `enrol_address` and `token_file`
    are where a machine without an identity of its own gets one.
    """

    identity_directory: Path
    address: str = ""
    proxy: str = field(default="", repr=False)
    enrol_address: str = ""
    token_file: Path | None = None
    log_format: str = "auto"
    log_level: str = "info"

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return what the configuration says of links."""
        return cls(
            config.identity_directory,
            config.collector.address,
            config.collector.proxy,
            config.collector.enrol_address,
            config.collector.token_file,
            config.log.format,
            config.log.level,
        )

    def command(self, descriptor: int) -> list[str]:
        """Return the link's command line for the connection behind `descriptor`."""
        enrolment: list[str] = []
        if self.enrol_address and self.token_file is not None:
            enrolment = ["--enrol", self.enrol_address, "--token-file", str(self.token_file)]
        return [
            *(sys.executable, "-I", "-B", "-m", "keycensus_agent.link"),
            *("--fd", str(descriptor), "--identity", str(self.identity_directory.absolute())),
            *("--address", self.address, *enrolment),
            *("--log-format", self.log_format, "--log-level", self.log_level),
        ]

    def environment(self, own: Mapping[str, str]) -> dict[str, str]:
        """Return what of our environment the link may know, and its proxy, which may hold a password."""
        kept = {name: value for name, value in own.items() if name in _KEPT_VARIABLES}
        return kept | {"GRPC_VERBOSITY": "NONE", "KEYCENSUS_PROXY": self.proxy}
