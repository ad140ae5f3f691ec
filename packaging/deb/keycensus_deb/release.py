"""What the package is made of: the Debian release that it is for, versions, and where things go."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

CHECKOUT = Path(__file__).resolve().parents[3]
FILES = CHECKOUT / "packaging" / "deb" / "files"
SYSTEMD = CHECKOUT / "packaging" / "systemd"

NAME = "keycensus-agent"
# Where the interpreter finds the libraries, and nothing of the system's but its standard library.
ENVIRONMENT = PurePosixPath("usr/lib/keycensus-agent")
UNITS = ("keycensus-agent.service", "keycensus-agent-link@.service", "keycensus-agent-link.socket")
# Machines in Debian's words, by those of uname(2).
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class Release:
    """A release of Debian. `python` is its interpreter's minor version, which the wheels are for."""

    codename: str
    suffix: str
    python: str
    depends: tuple[str, ...]

    @property
    def packages(self) -> PurePosixPath:
        """Where the libraries lie within the package."""
        return ENVIRONMENT / "lib" / f"python{self.python}" / "site-packages"


BOOKWORM = Release(
    "bookworm",
    "deb12",
    "3.11",
    (
        # The interpreter itself: python3 may be made another one.
        "python3.11 (>= 3.11.2)",
        # What the libraries are linked with; cryptography's wheel asks for the newest of them.
        "libc6 (>= 2.34)",
        "libgcc-s1",
        "libstdc++6",
        # systemd-sysusers makes the users; without systemd, in a container, that program alone does.
        "systemd | systemd-standalone-sysusers | systemd-sysusers",
        "init-system-helpers (>= 1.52)",
        # /bin/kill, by which `systemctl reload` is done; a minimal Debian has none.
        "procps",
        "passwd",
    ),
)


def project_version(project: str) -> str:
    """Return the version that a distribution of ours has."""
    text = (CHECKOUT / project / "pyproject.toml").read_text()
    version: str = tomllib.loads(text)["project"]["version"]
    return version


def debian_version(version: str, release: Release) -> str:
    """Return Debian's form of a Python version: what comes before a release sorts before it.

    Sources: PEP 440; Debian Policy, section 5.6.12. "1.0rc1" is "1.0~rc1-1~deb12".
    """
    upstream = re.sub(r"\.?(a|b|rc|dev)(?=\d)", r"~\1", version)
    return f"{upstream}-1~{release.suffix}"
