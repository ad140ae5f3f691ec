"""Links as places: a symbolic link is one when the file it leads to holds something.

The files are found by the walk, each under its own name; a link only adds a name to one of them.
Links are never read through: a link to a file outside of what is walked is no place.
Runs in the reader.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

from keycensus_agent.model import Gap
from keycensus_agent.parser import PARSER_EPOCH
from keycensus_agent.reader.convert import place_at
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.links import Resolved, Resolver
from keycensus_agent.reader.findings import Findings, Known, signed_identity
from keycensus_agent.reader.memory import DirectoryMemory
from keycensus_agent.reader.places import PlaceBuilder
from keycensus_agent.reader.state import LINKS_MARK, State

# Reasons for which a link leads to nothing at all, wherever the agent may look.
_LEADS_NOWHERE = frozenset({"ENOENT", "ENOTDIR", "ELOOP"})
# The mark of links that this agent has settled: another one may say something else of them.
_SETTLED = str(PARSER_EPOCH).encode()
# (name, device, inode, how many names the file has) of each link that leads to a regular file.
_LinkTargets = list[tuple[str, int, int, int]]
# Links that are kept in memory before they go to a temporary table.
_BUFFERED = 4096


class LinkPlaces:
    """Collects the links of one sweep and settles them when all files are known.

    `plain_stat`: a link may be followed by the kernel, since no mount could hang it and the root is
    the host's own. `table` is a temporary table's name: two sweeps at once need two.
    """

    def __init__(
        self,
        state: State,
        findings: Findings,
        resolver: Resolver,
        builder: PlaceBuilder,
        *,
        plain_stat: bool,
        table: str = "link",
    ) -> None:
        self._state = state
        self._resolver = resolver
        self._builder = builder
        self._plain_stat = plain_stat
        self._known = findings.links()
        self._met: set[bytes] = set()
        self._buffer: list[tuple[bytes, int, int, int, bytes]] = []
        self._table = f"temp.{table}"
        state.connection.execute(f"DROP TABLE IF EXISTS {self._table}")
        state.connection.execute(
            f"CREATE TEMP TABLE {table}"
            " (path BLOB, device INTEGER, inode INTEGER, names INTEGER, mount BLOB)"
        )

    def meet(self, directory: Directory) -> None:
        """Take in the links of a directory, and where those lead that end at a regular file."""
        plain = self._plain_stat and not self._resolver.is_scoped(directory.path)
        targets = _targets(directory) if plain else self._resolved_targets(directory)
        prefix = directory.path if directory.path == b"/" else directory.path + b"/"
        if self._known:
            paths = (prefix + os.fsencode(name) for name in directory.links)
            self._met.update(path for path in paths if path in self._known)
        mount = directory.mount.key
        for name, st_dev, st_ino, names in targets:
            device, inode = signed_identity(st_dev, st_ino)
            self._buffer.append((prefix + os.fsencode(name), device, inode, names, mount))
        if len(self._buffer) >= _BUFFERED:
            self._spill()

    def meet_known(self, mount_at: Callable[[bytes], bytes]) -> None:
        """Take in every link that is a place already: what it leads to may have changed.

        Not those that are no links now, or on another mount: their directories tell of them.
        """
        for path, known in self._known.items():
            if self._is_link(path) and mount_at(path) == known.mount:
                self.meet_path(path, known.mount)

    def _is_link(self, path: bytes) -> bool:
        """Whether there is a link at this path itself, not where a link on the way leads."""
        here = self._resolver.resolve(path, follow_last=False)
        return isinstance(here, Resolved) and here.path == path and stat.S_ISLNK(here.facts.st_mode)

    def meet_path(self, path: bytes, mount: bytes) -> None:
        """Take in one link by its path."""
        if path in self._known:
            self._met.add(path)
        found = self._resolver.resolve(path)
        if isinstance(found, Resolved) and stat.S_ISREG(found.facts.st_mode):
            facts = found.facts
            device, inode = signed_identity(facts.st_dev, facts.st_ino)
            self._buffer.append((path, device, inode, facts.st_nlink, mount))
        if len(self._buffer) >= _BUFFERED:
            self._spill()

    def _resolved_targets(self, directory: Directory) -> _LinkTargets:
        prefix = directory.path if directory.path == b"/" else directory.path + b"/"
        targets: _LinkTargets = []
        for name in directory.links:
            found = self._resolver.resolve(prefix + os.fsencode(name))
            if isinstance(found, Resolved) and stat.S_ISREG(found.facts.st_mode):
                facts = found.facts
                targets.append((name, facts.st_dev, facts.st_ino, facts.st_nlink))
        return targets

    def _spill(self) -> None:
        connection = self._state.connection
        # All at once, also where no transaction is open: each row in one of its own takes twice as long.
        connection.execute("SAVEPOINT links")
        connection.executemany(
            f"INSERT INTO {self._table} VALUES (?, ?, ?, ?, ?)",  # noqa: S608 - a name of ours
            self._buffer,
        )
        connection.execute("RELEASE links")
        self._buffer = []

    def settle(self, gaps: list[Gap], findings: Findings) -> None:
        """Store link places, lose those that lead to nothing; inside the sweep's transaction."""
        self._spill()
        standing: set[bytes] = set()
        for path, mount, unchanged in self._candidates():
            if unchanged:
                standing.add(path)
                continue
            if not self._is_link(path):
                # By now; a look may have told what is there instead, and nobody would look again.
                continue
            found = self._resolver.resolve(path)
            target = findings.at(found.path) if isinstance(found, Resolved) else None
            if target is None or target.is_link or not isinstance(found, Resolved):
                continue
            target_place = place_at(found.path, findings.row(found.path))
            if not path.startswith(target_place.prefix):
                # From outside into a container: what it leads to is told in there.
                continue
            place = self._builder.for_link(path, found.path, target_place)
            findings.store(place, mount, ())
            findings.note_target(path, found.facts.st_dev, found.facts.st_ino)
            standing.add(path)
        for path in self._met - standing:
            known = findings.at(path)
            if known is not None and known.is_link and not self._hidden(findings, known, gaps):
                findings.lose(known, "holds-nothing")
        if standing == findings.links().keys():
            self._state.put(LINKS_MARK, _SETTLED)

    def _candidates(self) -> list[tuple[bytes, bytes, bool]]:
        """Return (path, mount, whether it stands as it did) of links that may lead to a place.

        By the inode to find them, by the path to decide: device numbers change between boots, and a
        link may have been turned since it was met. One stands as it did if no place has changed since
        all were settled, and it leads to the same file, which has one place and one name only: another name
        may be where nobody looks.
        """
        settled = self._state.get(LINKS_MARK) == _SETTLED
        return self._state.connection.execute(
            "SELECT l.path, l.mount,"  # noqa: S608 - a name of ours
            " ? AND count(*) = 1 AND max(l.names) = 1 AND max(k.path IS NOT NULL)"
            f" FROM {self._table} AS l JOIN place AS p ON p.inode = l.inode AND p.is_link = 0"
            " LEFT JOIN place AS k ON k.path = l.path AND k.is_link = 1 AND k.mount = l.mount"
            " AND k.device = l.device AND k.inode = l.inode GROUP BY l.path, l.mount",
            (settled,),
        ).fetchall()

    def _hidden(self, findings: Findings, known: Known, gaps: list[Gap]) -> bool:
        """Whether what the link leads to, or led to, lies where the agent could not look."""
        found = self._resolver.resolve(known.path)
        if not isinstance(found, Resolved) and found.reason not in _LEADS_NOWHERE:
            return True
        before = place_at(known.path, findings.row(known.path)).target
        if _is_below_gap(before, gaps):
            # An unmounted file system keeps what was on it as places: if the target is none of
            # them, it was gone before.
            unmounted = all(gap.reason == "unmounted" for gap in gaps if _covers(gap, before))
            return not unmounted or findings.at(before) is not None
        return isinstance(found, Resolved) and (
            _is_below_gap(found.path, gaps) or self._is_unseen(found)
        )

    def _is_unseen(self, file: Resolved) -> bool:
        """Whether a file was made when its directory had been looked at: the next sweep tells what it holds.

        A sweep may take hours; what is renewed meanwhile is not gone.
        """
        if not stat.S_ISREG(file.facts.st_mode):
            return False
        directory, _, name = file.path.rpartition(b"/")
        memory = DirectoryMemory(self._state)
        known = memory.recall(directory or b"/")
        listing = memory.listing(directory or b"/", known[1]) if known is not None else None
        if listing is None:
            return False
        files, _, others = listing
        inodes = {inode for each, inode, *_ in files if each == os.fsdecode(name)}
        # Of some files no inode is remembered: they were looked at.
        return inodes.isdisjoint({0, file.facts.st_ino}) and os.fsdecode(name) not in others


def _targets(directory: Directory) -> _LinkTargets:
    """Return where the links of a directory lead, for those that end at a regular file."""
    targets: _LinkTargets = []
    for name in directory.links:
        try:
            facts = os.stat(name, dir_fd=directory.fd)
        except OSError:
            continue
        if stat.S_ISREG(facts.st_mode):
            targets.append((name, facts.st_dev, facts.st_ino, facts.st_nlink))
    return targets


def _is_below_gap(path: bytes, gaps: list[Gap]) -> bool:
    return any(_covers(gap, path) for gap in gaps)


def _covers(gap: Gap, path: bytes) -> bool:
    return path == gap.prefix or path.startswith(gap.prefix.rstrip(b"/") + b"/")
