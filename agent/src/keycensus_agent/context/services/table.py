"""All kinds of services whose configuration is read, and how a failure of one costs itself only.

Runs in the reader. To add one: its file here, its row, its test file, its section in docs/context.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice

from keycensus_agent.context.bindings import Binding, Problem
from keycensus_agent.context.root_files import RootFiles
from keycensus_agent.context.services import (
    apache,
    dovecot,
    haproxy,
    kubernetes,
    mentions,
    mysql,
    nginx,
    openldap,
    postfix,
    postgresql,
    redis,
    systemd_units,
    tomcat,
)
from keycensus_agent.context.sources import Sources
from keycensus_agent.context.systemd import Units

# Of one kind of service: a host that serves 10,000 names has certificate and key for each.
BINDINGS_LIMIT = 50_000


@dataclass(frozen=True, slots=True)
class Service:
    """One kind of service: its name in bindings, and what reads its configuration."""

    name: str
    read: Callable[[Sources, Units], Iterator[Binding]]


SERVICES = (
    Service("nginx", nginx.read),
    Service("apache", apache.read),
    Service("haproxy", haproxy.read),
    Service("postfix", postfix.read),
    Service("dovecot", dovecot.read),
    Service("postgresql", postgresql.read),
    Service("mysql", mysql.read),
    Service("openldap", openldap.read),
    Service("redis", redis.read),
    Service("tomcat", tomcat.read),
    Service("systemd", systemd_units.read),
    Service("kubernetes", kubernetes.read),
)


def read_bindings(
    files: RootFiles, units: Units, places: Collection[bytes] = ()
) -> tuple[list[Binding], list[Problem]]:
    """Return what the configurations of all services name, and what of them was not understood.

    `places` are looked for in texts that are no configuration of a known service.
    """
    bindings: list[Binding] = []
    problems: list[Problem] = []
    opened: set[bytes] = set()
    for service in SERVICES:
        sources = Sources(files, service.name)
        bindings += _contained(sources, partial(service.read, sources, units))
        problems += sources.problems
        opened.update(map(sources.place, sources.opened))
    if places:
        sources = Sources(files, "unknown")
        bindings += _contained(sources, partial(mentions.read, sources, places, opened))
        problems += sources.problems
    return bindings, problems


def _contained(sources: Sources, read: Callable[[], Iterator[Binding]]) -> Iterator[Binding]:
    try:
        found = read()
        yield from islice(found, BINDINGS_LIMIT)
        if next(found, None) is not None:
            sources.note(
                "/", 0, f"names files more than {BINDINGS_LIMIT:,} times: the rest is left out"
            )
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the one border where a reader's failure is contained
        # The type alone: a message could quote the file.
        sources.note("/", 0, f"not read: {type(error).__name__}")
