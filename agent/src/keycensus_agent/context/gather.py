"""Everything that configurations and renewal tools of one root say about places, in one pass.

Runs in the reader: it reads files of the root and does nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from keycensus_agent.context.bindings import Binding, Problem, Renewer
from keycensus_agent.context.renewers.table import read_renewers
from keycensus_agent.context.root_files import RootFiles
from keycensus_agent.context.services.table import read_bindings
from keycensus_agent.context.sources import Sources
from keycensus_agent.context.systemd import Units
from keycensus_agent.reader.discovery.links import Resolver


@dataclass(frozen=True)
class Context:
    """What was said; `problems` is what of it was not read or not understood."""

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


def gather(resolver: Resolver, now_ms: int) -> Context:
    """Return what the configurations of the root say that `resolver` resolves paths of.

    `now_ms` is the time in milliseconds since the epoch. Never raises for what files say.
    """
    files = RootFiles(resolver)
    own = Sources(files, "systemd")
    units = Units(own)
    bindings, of_services = read_bindings(files, units)
    renewers, of_tools = read_renewers(files, units, now_ms)
    return Context(tuple(bindings), tuple(renewers), (*of_services, *of_tools, *own.problems))
