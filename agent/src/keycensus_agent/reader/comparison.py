"""Compare directories with what was remembered of them, and open the files that differ.

A directory whose listing is as remembered costs one comparison; in another one the files whose marks
differ are opened, and what vanished is gone, if it was on the mount that was listed. What differs is
held until `settle`. Runs in the reader.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from keycensus_agent.model import Coverage
from keycensus_agent.reader.discovery.directory import Directory, FileMark
from keycensus_agent.reader.discovery.listing import (
    Listing,
    digest_of,
    encode_listing,
    listing_of,
)
from keycensus_agent.reader.discovery.mounts import parent_of
from keycensus_agent.reader.findings import Findings, Known
from keycensus_agent.reader.inspect import Inspected, Inspector
from keycensus_agent.reader.link_places import LinkPlaces
from keycensus_agent.reader.memory import DirectoryMemory
from keycensus_agent.reader.state import State
from keycensus_agent.reader.surroundings import Surroundings
from keycensus_agent.reader.unsettled import Store, Unsettled
from keycensus_agent.reader.whereabouts import HERE

# A change right after the read may carry the same time stamp: the kernel's clock for files ticks every
# 10 ms at the slowest; where stamps have no fractions (ext3, FAT) they are up to 2 s apart.
FINE_STAMP_NS = 50_000_000
COARSE_STAMP_NS = 2_000_000_000
# Results that are stored in one transaction.
RESULTS_PER_TRANSACTION = 500
# A mark that no file has: the file is read again next time.
_NO_MARK = (0, 0, 0)


@dataclass(slots=True)
class Trace:
    """What a comparison met, for who looks at parts of the disk only.

    `changed`: directories whose listing differs; `arrived`: sub-directories that are new in one;
    `shared`: inodes of changed files that have further names, which nobody is told of.
    """

    changed: set[bytes] = field(default_factory=set)
    arrived: list[bytes] = field(default_factory=list)
    shared: set[int] = field(default_factory=set)


MakeInspector = Callable[[Callable[[Inspected], None], Coverage], Inspector]


class Comparison:
    """The disk against the memory, one directory at a time, for one sweep.

    `unstable` holds the directories that must be looked at once more, with the time from when on
    that tells something; `torn` the files that changed while they were read.
    """

    def __init__(
        self,
        state: State,
        findings: Findings,
        make_inspector: MakeInspector,
        links: LinkPlaces,
        around: Surroundings,
        *,
        coverage: Coverage,
        reread: bool,
        trace: Trace | None = None,
    ) -> None:
        self._findings = findings
        self._links = links
        self._around = around
        self._reread = reread
        self._trace = trace
        self._memory = DirectoryMemory(state)
        self._store = Store(
            state,
            findings,
            self._memory,
            around.builder,
            around.reread_mounts,
            around.root,
            reread,
        )
        self._inspector = make_inspector(self._take, coverage)
        self._unsettled = Unsettled()
        self._mount_of: dict[bytes, bytes] = {}
        self.unstable: dict[bytes, int] = {}
        self.torn: set[bytes] = set()
        # What changes while it is read is taken as it is: nobody comes again in this sweep.
        self.final = False
        self.changed_listings = 0
        self._submitted = False

    # --- one directory ------------------------------------------------------------------------

    def look_at(self, directory: Directory) -> None:
        """Compare one directory that was listed just now."""
        listing = listing_of(directory)
        encoded = encode_listing(listing)
        known = self._memory.recall(directory.path)
        if directory.links:
            self._links.meet(directory)
        if known == (directory.mount.key, digest_of(encoded)):
            if not self._reread and not self._holds_torn(directory.path):
                return
        elif known is not None and known[0] != directory.mount.key:
            # Another file system is here now: what was remembered says nothing of it.
            known = None
        self._compare(directory, listing, encoded, known)

    def look_at_one(self, path: bytes) -> None:
        """List one directory and look at it, but not below it."""
        for item in self._around.walk_from([path]):
            # Not another one, to which a link leads that took its place.
            if isinstance(item, Directory) and item.path == path and item.listed:
                self.look_at(item)
            # The rest of the tree has its own turn.
            break

    def _holds_torn(self, directory: bytes) -> bool:
        return self.final and any(parent_of(path) == directory for path in self.torn)

    def _compare(
        self,
        directory: Directory,
        listing: Listing,
        encoded: bytes,
        known: tuple[bytes, bytes] | None,
    ) -> None:
        remembered = self._memory.listing(directory.path, known[1]) if known is not None else None
        before = remembered or ([], [], [])
        places = self._findings.in_directory(directory.path)
        marks = set() if self._reread else set(before[0])
        again = self._open_changed(directory, marks, places)
        if not directory.listed:
            return
        self._miss(directory, listing, places)
        if self._trace is not None and remembered is not None:
            fresh = set(directory.children).difference(before[2])
            self._trace.arrived += [_join(directory.path, os.fsencode(name)) for name in fresh]
        gone = set(before[2]).difference(listing[2])
        if remembered is None:
            gone = self._findings.children_of(directory.path, directory.mount.key)
            gone.difference_update(listing[2])
        for name in gone:
            self._unsettled.vanished.append(
                (_join(directory.path, os.fsencode(name)), directory.mount.key)
            )
        if again:
            files = [
                (name, *_NO_MARK) if name in again else (name, inode, ctime_ns, size)
                for name, inode, ctime_ns, size in listing[0]
            ]
            encoded = encode_listing((files, listing[1], listing[2]))
        if known == (directory.mount.key, digest_of(encoded)):
            return
        if self._trace is not None:
            self._trace.changed.add(directory.path)
        self._unsettled.directories.append((directory.path, directory.mount.key, encoded))
        self._unsettled.mounts[directory.mount.key] = directory.mount

    def _open_changed(
        self,
        directory: Directory,
        marks: set[FileMark],
        places: dict[bytes, Known],
    ) -> set[str]:
        """Open the files whose marks are new; return the names that must be read again.

        Those that changed a moment ago, and those that could not be opened: a reason to be refused
        may go without a trace in the file's times.
        """
        again: set[str] = set()
        now_ns = self._around.now_ns()
        self._mount_of[directory.path] = directory.mount.key
        for mark in directory.files:
            name, inode, ctime_ns, size = mark
            if mark in marks and not (
                self.torn and _join(directory.path, os.fsencode(name)) in self.torn
            ):
                continue
            if self._trace is not None and inode and _has_other_names(directory, name):
                self._trace.shared.add(inode)
            stable_ns = stable_at_ns(ctime_ns)
            if stable_ns > now_ns and directory.listed:
                again.add(name)
                self._read_again(directory.path, stable_ns)
            refused = self._inspector.refused
            HERE.at = (directory.path, name)
            holds = self._inspector.inspect(directory, name, size)
            HERE.at = None
            if holds:
                self._submitted = True
                if self._inspector.refused > refused:
                    again.add(name)
                continue
            if self._inspector.refused > refused:
                again.add(name)
                continue
            if places:
                known = places.get(_join(directory.path, os.fsencode(name)))
                if known is not None and known.mount == directory.mount.key:
                    self._unsettled.lost.append((known, "holds-nothing"))
        return again

    def _read_again(self, directory: bytes, stable_ns: int) -> None:
        self.unstable[directory] = max(stable_ns, self.unstable.get(directory, 0))

    def _miss(self, directory: Directory, listing: Listing, places: dict[bytes, Known]) -> None:
        """Note the places of a listed directory whose names are not there any more."""
        if not places:
            return
        names = {mark[0] for mark in listing[0]}
        names.update(name for name, _ in directory.pruned)
        links = set(listing[1])
        for path, known in places.items():
            name = os.fsdecode(path.rpartition(b"/")[2])
            if name in names or known.mount != directory.mount.key:
                continue
            # A file that became a link is gone; the link is a place again if it leads to one.
            if name not in links or not known.is_link:
                self._unsettled.lost.append((known, "removed"))

    def miss(self, path: bytes, mount: bytes) -> None:
        """Note that a directory is not there, which no remembered listing has."""
        self._unsettled.vanished.append((path, mount))

    def disturbed(self) -> None:
        """Forget what was read ahead of the memory: somebody else wrote to it."""
        self._memory.drop_window()

    # --- what was seen ------------------------------------------------------------------------

    def _take(self, inspected: Inspected) -> None:
        directory = parent_of(inspected.path)
        if inspected.changed and not self.final:
            # Torn: neither what was nor what will be. It is read again when it has come to rest.
            self.torn.add(inspected.path)
            self._read_again(directory, self._around.now_ns() + FINE_STAMP_NS)
            return
        self._unsettled.results.append((inspected, self._mount_of[directory]))

    @property
    def wants_to_settle(self) -> bool:
        """Whether so many files were read that they should be stored."""
        return len(self._unsettled.results) >= RESULTS_PER_TRANSACTION

    @property
    def expects_changes(self) -> bool:
        """Whether the parser was given something to read, or places are gone."""
        return self._submitted or bool(self._unsettled.lost or self._unsettled.vanished)

    def settle(self) -> None:
        """Wait for what is being parsed and store everything seen so far."""
        self._inspector.finish()
        unsettled, self._unsettled = self._unsettled, Unsettled()
        self._mount_of.clear()
        if unsettled:
            self._store.keep(unsettled)
            self.changed_listings += len(unsettled.directories)


def _has_other_names(directory: Directory, name: str) -> bool:
    try:
        return os.stat(name, dir_fd=directory.fd, follow_symlinks=False).st_nlink > 1
    except OSError:
        return False


def stable_at_ns(ctime_ns: int) -> int:
    """Return from when on a file that is read can't change without another ctime."""
    coarse = ctime_ns % 1_000_000 == 0
    return ctime_ns + (COARSE_STAMP_NS if coarse else FINE_STAMP_NS)


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + name if directory == b"/" else directory + b"/" + name
