"""What a sweep saw and has not stored yet: a few thousand directories, then one transaction.

Few enough to lose little, many enough to sync rarely. Runs in the reader.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from keycensus_agent.model import Status
from keycensus_agent.reader.discovery.directory import Mount
from keycensus_agent.reader.discovery.mounts import MountTable, parent_of
from keycensus_agent.reader.findings import Findings, Known
from keycensus_agent.reader.inspect import Inspected
from keycensus_agent.reader.memory import DirectoryMemory
from keycensus_agent.reader.places import PlaceBuilder
from keycensus_agent.reader.state import State


@dataclass(slots=True)
class Unsettled:
    """Listings that differ, files that were read, places and directories that are gone."""

    directories: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    mounts: dict[bytes, Mount] = field(default_factory=dict)
    results: list[tuple[Inspected, bytes]] = field(default_factory=list)
    lost: list[tuple[Known, str]] = field(default_factory=list)
    vanished: list[tuple[bytes, bytes]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.directories or self.results or self.lost or self.vanished)

    def forget_unmounted(self, fresh: MountTable) -> None:
        """Drop what was seen in directories whose mount came or went since the sweep began.

        A file system that was unmounted meanwhile was listed as an empty directory of its own.
        """

        def stands(path: bytes, mount: bytes) -> bool:
            return fresh.at(parent_of(path)).key == mount

        self.directories = [row for row in self.directories if fresh.at(row[0]).key == row[1]]
        self.lost = [item for item in self.lost if stands(item[0].path, item[0].mount)]
        self.vanished = [item for item in self.vanished if stands(*item)]
        self.results = [item for item in self.results if stands(item[0].path, item[1])]


@dataclass(frozen=True, slots=True)
class Store:
    """Where a sweep's results go. `root` is canonical; `reread`: files are read to learn more."""

    state: State
    findings: Findings
    memory: DirectoryMemory
    builder: PlaceBuilder
    reread_mounts: Callable[[], MountTable]
    root: bytes
    reread: bool

    def keep(self, unsettled: Unsettled) -> None:
        """Store it in one transaction, but for what was seen on mounts that came or went."""
        unsettled.forget_unmounted(self.reread_mounts())
        with self.state.transaction() as connection:
            for known, reason in unsettled.lost:
                self.findings.lose(known, reason)
            for path, mount in unsettled.vanished:
                self.findings.lose_below(path, mount)
                self.memory.forget_below(path, mount)
            for inspected, mount in unsettled.results:
                self._keep_result(inspected, mount)
            self.memory.remember(unsettled.directories)
            connection.executemany(
                "INSERT OR IGNORE INTO mount VALUES (?, ?, ?, ?, ?)",
                [
                    (mount.key, mount.type, mount.source, mount.root, self._point(mount))
                    for mount in unsettled.mounts.values()
                ],
            )

    def _keep_result(self, inspected: Inspected, mount: bytes) -> None:
        known = self.findings.at(inspected.path)
        parsed = inspected.parsed
        if parsed is None or not parsed.holds_something:
            if known is not None and known.mount == mount:
                self.findings.lose(known, "holds-nothing")
            return
        place = self.builder.build(inspected.path, inspected.facts, parsed)
        if parsed.status is Status.UNREADABLE and known is not None and known.manifest:
            # It could be read before: what it held is the best that is known.
            place = replace(place, manifest=known.manifest)
        self.findings.store(place, mount, parsed.blobs, parser=self.reread)

    def _point(self, mount: Mount) -> bytes:
        """Return where a mount is within the scanned root; one above it covers all of it."""
        root = self.root.rstrip(b"/")
        inside = mount.mount_point.startswith(root + b"/")
        return mount.mount_point[len(root) :] if inside else b"/"
