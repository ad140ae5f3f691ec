"""Links as places: a symbolic link is one when the file it leads to holds something.

The files are found by the walk, each under its own name; a link only adds a name to one of them.
Links are never read through: a link to a file outside of what is walked is no place.
Runs in the reader.
"""

from __future__ import annotations

import os
import stat

from keycensus_agent.model import Gap, Place
from keycensus_agent.reader.convert import place_of
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.links import Resolved, Resolver
from keycensus_agent.reader.findings import Findings, Known, signed_identity
from keycensus_agent.reader.places import PlaceBuilder
from keycensus_agent.reader.scout import LinkTargets, link_targets
from keycensus_agent.reader.state import State

# Links that are kept in memory before they go to a temporary table.
_BUFFERED = 4096


class LinkPlaces:
    """Collects the links of one sweep and settles them when all files are known.

    `plain_stat`: a link may be followed by the kernel, since no mount could hang it and the root is
    the host's own.
    """

    def __init__(
        self,
        state: State,
        findings: Findings,
        resolver: Resolver,
        builder: PlaceBuilder,
        *,
        plain_stat: bool,
    ) -> None:
        self._state = state
        self._resolver = resolver
        self._builder = builder
        self._plain_stat = plain_stat
        self._known = findings.links()
        self._met: set[bytes] = set()
        self._buffer: list[tuple[bytes, int, int, bytes]] = []
        state.connection.execute("DROP TABLE IF EXISTS temp.link")
        state.connection.execute(
            "CREATE TEMP TABLE link (path BLOB, device INTEGER, inode INTEGER, mount BLOB)"
        )

    def meet(self, directory: Directory) -> None:
        """Take in the links of a directory."""
        targets = link_targets(directory) if self._plain_stat else self._resolved_targets(directory)
        self.meet_names(directory.path, directory.mount.key, directory.links, targets)

    def meet_names(
        self, directory: bytes, mount: bytes, names: list[str], targets: LinkTargets
    ) -> None:
        """Take in links by their names, and those among them that lead to a regular file."""
        prefix = directory if directory == b"/" else directory + b"/"
        if self._known:
            self._met.update(
                path for name in names if (path := prefix + os.fsencode(name)) in self._known
            )
        for name, st_dev, st_ino in targets:
            device, inode = signed_identity(st_dev, st_ino)
            self._buffer.append((prefix + os.fsencode(name), device, inode, mount))
        if len(self._buffer) >= _BUFFERED:
            self._spill()

    def _resolved_targets(self, directory: Directory) -> LinkTargets:
        prefix = directory.path if directory.path == b"/" else directory.path + b"/"
        targets: LinkTargets = []
        for name in directory.links:
            found = self._resolver.resolve(prefix + os.fsencode(name))
            if isinstance(found, Resolved) and stat.S_ISREG(found.facts.st_mode):
                targets.append((name, found.facts.st_dev, found.facts.st_ino))
        return targets

    def _spill(self) -> None:
        self._state.connection.executemany(
            "INSERT INTO temp.link VALUES (?, ?, ?, ?)", self._buffer
        )
        self._buffer = []

    def settle(self, gaps: list[Gap], findings: Findings) -> None:
        """Store link places, lose those that lead to nothing; inside the sweep's transaction."""
        self._spill()
        standing: set[bytes] = set()
        rows = self._state.connection.execute(
            "SELECT DISTINCT l.path, l.mount, p.row FROM temp.link AS l JOIN place AS p"
            " ON p.device = l.device AND p.inode = l.inode AND p.is_link = 0"
            " GROUP BY l.path"
        ).fetchall()
        for path, mount, target_row in rows:
            place = self._link_place(path, place_of(target_row))
            if place is not None:
                findings.store(place, mount, ())
                standing.add(path)
        for path in self._met - standing:
            known = findings.at(path)
            if known is not None and known.is_link and not self._hidden(findings, known, gaps):
                findings.lose(known, "holds-nothing")

    def _link_place(self, path: bytes, target: Place) -> Place | None:
        found = self._resolver.resolve(path)
        if not isinstance(found, Resolved):
            return None
        return self._builder.for_link(path, found.path, target)

    def _hidden(self, findings: Findings, known: Known, gaps: list[Gap]) -> bool:
        """Whether the file that the link led to lies where the agent could not look this time."""
        target = place_of(findings.row(known.path)).target
        return any(
            target == gap.prefix or target.startswith(gap.prefix.rstrip(b"/") + b"/")
            for gap in gaps
        )
