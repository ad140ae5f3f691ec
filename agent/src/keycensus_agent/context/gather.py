"""Everything that configurations and renewal tools of one root say about places, in one pass.

Runs in the reader: it reads files of the root and does nothing else.
"""

from __future__ import annotations

from collections.abc import Collection

from keycensus_agent.context.bindings import Context
from keycensus_agent.context.renewers.table import read_renewers
from keycensus_agent.context.root_files import RootFiles
from keycensus_agent.context.services.table import read_bindings
from keycensus_agent.context.sources import Sources
from keycensus_agent.context.systemd import Units
from keycensus_agent.reader.discovery.links import Resolver


def gather(resolver: Resolver, now_ms: int, places: Collection[bytes] = ()) -> Context:
    """Return what the configurations of the root say that `resolver` resolves paths of.

    `now_ms` is the time in milliseconds since the epoch; `places` are what was found, to look for in
    texts of services that are not known. Never raises for what files say.
    """
    files = RootFiles(resolver)
    own = Sources(files, "systemd")
    units = Units(own)
    bindings, of_services = read_bindings(files, units, places)
    renewers, of_tools = read_renewers(files, units, now_ms)
    return Context(tuple(bindings), tuple(renewers), (*of_services, *of_tools, *own.problems))
