"""What a sweep works with that is not its own: the walk, mounts, who owns a file, the clock.

Handed in as one value, so that a test can put another disk, clock or end in its place. Runs in the reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from keycensus_agent.context.packages import PackageDatabases
from keycensus_agent.model import Gap
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.mounts import MountTable
from keycensus_agent.reader.places import PlaceBuilder


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a sweep works with. `walk_from` walks roots of this host with the excludes in force."""

    walk_from: Callable[[list[bytes]], Iterator[Directory | Gap]]
    reread_mounts: Callable[[], MountTable]
    root: bytes  # canonical, in the host's own paths
    builder: PlaceBuilder
    databases: PackageDatabases
    now_ns: Callable[[], int]
    sleep: Callable[[float], None]
    should_stop: Callable[[], bool] = lambda: False
