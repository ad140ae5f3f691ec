"""What the parser process takes away from itself before it sees the first hostile byte.

Parser side. First what the kernel enforces of its borders (isolation/profiles.py), then resource limits,
after everything that may be needed was imported. Source: setrlimit(2).
"""

from __future__ import annotations

import codecs
import resource
import time

from keycensus_agent.isolation.profiles import enter_parser

# Address space: the process starts with 45 MB of it, and the largest file with what is made of it
# takes some 150 MB more.
ADDRESS_SPACE_BYTES = 384 * 1024 * 1024
# The two channels, stderr, and one archive that was handed over. The limit is on numbers.
_OPEN_FILES = 4
# Seconds of processor time for one file: the costliest honest one, a keystore with a million
# iterations and several candidate passwords, takes three.
CPU_SECONDS = 8
# An archive's search ends itself before (parser/archive/effort.py), but not within one member.
ARCHIVE_CPU_SECONDS = 18


# Codecs that names and aliases may need: Python imports each from a file at its first use.
_CODECS = ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32-be")


def enter(*, landlock: bool = True) -> int:
    """Give up files, network, programs, core dumps, and memory beyond the limit, for good.

    Returns the version of Landlock in force, 0 for none; false leaves it out.
    """
    for codec in _CODECS:
        codecs.lookup(codec)
    version = enter_parser(landlock=landlock)
    for limit, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
    ):
        _lower(limit, value)
    return version


def _lower(limit: int, value: int) -> None:
    """Set soft and hard limit, unless the hard one is lower already."""
    hard = resource.getrlimit(limit)[1]
    lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (lowered, lowered))


class CpuAllowance:
    """Bounds the processor time of each file; beyond it SIGXCPU ends the process.

    The kernel counts whole seconds, so nearly every file has the limit of the one before it, which
    stands then: setting it costs as much as parsing a small certificate.
    """

    def __init__(self) -> None:
        self._limit = -1

    def allow(self, seconds: int = CPU_SECONDS) -> None:
        """Let this process run for so many more seconds of processor time."""
        limit = int(time.process_time()) + seconds + 1
        if limit != self._limit:
            hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
            resource.setrlimit(resource.RLIMIT_CPU, (limit, hard))
            self._limit = limit
