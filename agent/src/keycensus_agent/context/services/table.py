"""All kinds of services whose configuration is read, and how a failure of one costs itself only.

Runs in the reader. To add one: its file here, its row, its test file, its section in docs/context.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial

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
from keycensus_agent.context.sources import Sources, contained
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
        bindings += _named(sources, partial(service.read, sources, units))
        problems += sources.problems
        opened.update(map(sources.place, sources.opened))
    if places:
        sources = Sources(files, "unknown")
        bindings += _named(sources, partial(mentions.read, sources, places, opened))
        problems += sources.problems
    return bindings, problems


def _named(sources: Sources, read: Callable[[], Iterator[Binding]]) -> Iterator[Binding]:
    too_many = f"names files more than {BINDINGS_LIMIT:,} times"
    return contained(sources, read, BINDINGS_LIMIT, too_many)
