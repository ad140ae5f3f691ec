"""All tools whose records of renewal are read, and how a failure of one costs itself only.

Runs in the reader. To add one: its file here, its row, its test file, its section in docs/context.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from keycensus_agent.context.bindings import Problem, Renewer
from keycensus_agent.context.renewers import (
    acme_sh,
    caddy,
    cert_manager,
    certbot,
    certmonger,
    dehydrated,
    lego,
    mod_md,
    traefik,
)
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.renewers.schedules import Schedules
from keycensus_agent.context.root_files import RootFiles
from keycensus_agent.context.sources import Sources, contained
from keycensus_agent.context.systemd import Units

# Of one tool; a certificate each.
RENEWERS_LIMIT = 20_000


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool that renews: its name, and what reads its records."""

    name: str
    read: Callable[[Asked], Iterator[Renewer]]


TOOLS = (
    Tool("certbot", certbot.read),
    Tool("acme.sh", acme_sh.read),
    Tool("lego", lego.read),
    Tool("dehydrated", dehydrated.read),
    Tool("certmonger", certmonger.read),
    Tool("caddy", caddy.read),
    Tool("traefik", traefik.read),
    Tool("mod_md", mod_md.read),
    Tool("cert-manager", cert_manager.read),
)


def read_renewers(
    files: RootFiles, units: Units, now_ms: int
) -> tuple[list[Renewer], list[Problem]]:
    """Return what each tool renews, and what of their records was not understood.

    `now_ms` is the time in milliseconds since the epoch, which says what is overdue.
    """
    started = Sources(files, "schedule")
    schedules = Schedules(started, units)
    renewers: list[Renewer] = []
    problems: list[Problem] = []
    for tool in TOOLS:
        sources = Sources(files, tool.name)
        read = partial(tool.read, Asked(sources, units, schedules, now_ms))
        too_many = f"renews more than {RENEWERS_LIMIT:,}"
        renewers += contained(sources, read, RENEWERS_LIMIT, too_many)
        problems += sources.problems
    return renewers, [*problems, *started.problems]
