"""Look at some directories again, at once, because something was heard of them.

1. Compare each directory that is named; one that is new in it, with everything below it. Of one that
   is gone, the nearest directory above it that is there tells.
2. Files that changed just before they were read are read once more (as in a sweep). Of a file with further
   names (hard links) the kernel tells by one only: the directories of the others are looked at, too.
3. Links that are places are resolved again, since what they lead to may be what changed. If a file
   became a place, so are the links of all watched directories: one may have led nowhere until now.
4. Gaps that these directories would show, and that they do not show any more, are closed.

Everything else stays as the last sweep left it. Runs in the reader, now and then in the middle of a sweep
of the whole, between two of its transactions.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from keycensus_agent.model import Coverage, Gap
from keycensus_agent.reader.absence import absent_mounts
from keycensus_agent.reader.comparison import Comparison, MakeInspector, Trace
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.listing import Listing
from keycensus_agent.reader.discovery.mounts import parent_of
from keycensus_agent.reader.findings import FORMER_ROOT, Findings
from keycensus_agent.reader.link_places import LinkPlaces
from keycensus_agent.reader.memory import DirectoryMemory
from keycensus_agent.reader.place_context import settle_context
from keycensus_agent.reader.state import State
from keycensus_agent.reader.surroundings import Surroundings
from keycensus_agent.reader.sweep import settle_unstable
from keycensus_agent.reader.tree_places import settle_trees

# Directories below a new one between two pauses.
DIRECTORIES_AT_ONCE = 200
# Changed files whose further names are looked for among the places, each by a look through all.
MOST_SHARED = 64
# Why a directory that was named can't be looked at: it is not there, or no directory any more.
_NOT_THERE = frozenset({"ENOENT", "ENOTDIR", "ELOOP"})
# Gaps that a look at a directory shows of the files in it.
_OF_FILES = frozenset({"unreadable", "changed-while-read"})


@dataclass(frozen=True, slots=True)
class Parts:
    """Directories to look at; `deep` with all that is below. `watched`: where else links may be."""

    shallow: tuple[bytes, ...] = ()
    deep: tuple[bytes, ...] = ()
    watched: tuple[bytes, ...] = ()


class PartialSweep:
    """Use once: `run`.

    `inside` tells whether a path is within what is searched. `entering` is called with each new directory
    before it is listed: what is put into it after that is heard. `expecting` is called when the parser has
    something to read, or a place is gone.
    """

    def __init__(
        self,
        state: State,
        findings: Findings,
        make_inspector: MakeInspector,
        links: LinkPlaces,
        around: Surroundings,
        *,
        inside: Callable[[bytes], bool],
        entering: Callable[[bytes], None] = lambda _: None,
        expecting: Callable[[], None] = lambda: None,
    ) -> None:
        self._state = state
        self._findings = findings
        self._links = links
        self._around = around
        self._inside = inside
        self._entering = entering
        self._expecting = expecting
        self._trace = Trace()
        self.coverage = Coverage()
        self._comparison = Comparison(
            state,
            findings,
            make_inspector,
            links,
            around,
            coverage=self.coverage,
            reread=False,
            trace=self._trace,
        )
        self._looked: set[bytes] = set()
        self._walked: list[bytes] = []

    @property
    def changed(self) -> set[bytes]:
        """The directories whose listing was another one."""
        return self._trace.changed

    def run(self, parts: Parts) -> Iterator[None]:
        """Look at the parts; yields where everything seen so far is stored."""
        for path in parts.shallow:
            if self._around.should_stop():
                break
            self._look_at(path)
            if self._comparison.wants_to_settle:
                self._comparison.settle()
                yield
        yield from self._descend(parts.deep)
        if self._walked:
            if self._comparison.expects_changes:
                self._expecting()
            # Stored before it may be missed again.
            self._comparison.settle()
            for top in list(self._walked):
                self._confirm(top)
        yield from self._descend(self._trace.arrived)
        if self._comparison.expects_changes:
            self._expecting()
        self._comparison.settle()
        yield
        if self._trace.shared:
            self._look_at_twins(parts.watched)
            self._comparison.settle()
            yield
        if not self._around.should_stop():
            yield from settle_unstable(self._comparison, self._around, self.coverage)
            self._finish(parts.watched)

    # --- 1 ------------------------------------------------------------------------------------

    def _look_at(self, path: bytes) -> None:
        """Look at one directory, or at the one above it if it is not there."""
        while path not in self._looked and self._inside(path):
            self._looked.add(path)
            if self._is_there(path) or path == b"/":
                return
            path = parent_of(path)

    def _is_there(self, path: bytes) -> bool:
        """Look at a directory, but not below it; whether there is one, whatever could be seen."""
        for item in self._around.walk_from([path]):
            if isinstance(item, Gap):
                if item.detail in _NOT_THERE and item.prefix == path:
                    return False
                self.coverage.gaps.append(item)
                return True
            # Not another one, to which a link leads that took its place.
            if item.path == path:
                self.coverage.pass_over(item.pruned)
                self._comparison.look_at(item)
            return item.path == path
        return True

    def _descend(self, tops: Iterable[bytes]) -> Iterator[None]:
        """Look at directories and everything below them."""
        seen = 0
        for top in dict.fromkeys(tops):
            if self._is_walked(top) or not self._inside(top):
                continue
            self._entering(top)
            self._walked.append(top)
            for item in self._around.walk_from([top]):
                if self._around.should_stop():
                    return
                if isinstance(item, Gap):
                    self._miss_below(top, item)
                    continue
                if item.path != top and not item.path.startswith(top.rstrip(b"/") + b"/"):
                    break
                self.coverage.pass_over(item.pruned)
                for name in item.children:
                    self._entering(item.path.rstrip(b"/") + b"/" + os.fsencode(name))
                self._comparison.look_at(item)
                seen += 1
                if seen % DIRECTORIES_AT_ONCE == 0 or self._comparison.wants_to_settle:
                    self._comparison.settle()
                    yield

    def _confirm(self, top: bytes) -> None:
        """See to it that the directory above one that was walked is remembered with it.

        Else nobody would miss it when it goes: it is missed where it stood in a listing.
        """
        above = parent_of(top)
        if top == b"/" or not self._inside(above):
            return
        for item in self._around.walk_from([above]):
            if isinstance(item, Directory) and item.path == above and item.listed:
                self._looked.add(above)
                self._comparison.look_at(item)
                names = {*item.children, *(name for name, _ in item.pruned)}
                if os.fsdecode(top.rpartition(b"/")[2]) not in names:
                    self._comparison.miss(top, item.mount.key)
            break

    def _miss_below(self, top: bytes, gap: Gap) -> None:
        if gap.prefix == top and gap.detail in _NOT_THERE:
            self._walked.remove(top)
            self._look_at(parent_of(top))
        else:
            self.coverage.gaps.append(gap)

    def _is_walked(self, path: bytes) -> bool:
        return any(path == top or path.startswith(top.rstrip(b"/") + b"/") for top in self._walked)

    # --- 3 and 4 ------------------------------------------------------------------------------

    def _finish(self, watched: tuple[bytes, ...]) -> None:
        findings, mounts = self._findings, self._around.reread_mounts()
        with self._state.transaction():
            self.coverage.gaps.extend(absent_mounts(self._state, mounts))
            gaps = list(dict.fromkeys(self.coverage.gaps))
            self._links.meet_known(lambda path: mounts.at(path).key)
            if findings.appeared:
                self._meet_watched(watched)
            standing = [gap for gap in findings.gaps() if not self._closes(gap)]
            self._links.settle([*standing, *gaps], findings)
            settle_context(
                self._state,
                findings,
                self._around.builder,
                self._around.databases,
                self.coverage,
            )
            settle_trees(self._state, findings)
            findings.settle_gaps(gaps, self._closes)

    def _meet_watched(self, watched: tuple[bytes, ...]) -> None:
        for path, mount, listing in self._remembered(watched):
            prefix = path.rstrip(b"/") + b"/"
            for name in listing[1]:
                self._links.meet_path(prefix + os.fsencode(name), mount)

    def _look_at_twins(self, watched: tuple[bytes, ...]) -> None:
        """Look where changed files have further names: the kernel tells of one name only."""
        shared = self._trace.shared
        twins = [
            path
            for path, _, listing in self._remembered(watched)
            if any(inode in shared for _, inode, _, _ in listing[0])
        ]
        for inode in sorted(shared)[:MOST_SHARED]:
            twins += self._findings.directories_of(inode)
        for path in dict.fromkeys(twins):
            self._look_at(path)

    def _remembered(self, paths: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes, Listing]]:
        """Yield (path, mount, listing) of directories as they were last seen."""
        memory = DirectoryMemory(self._state)
        for path in sorted(paths):
            known = memory.recall(path)
            listing = memory.listing(path, known[1]) if known is not None else None
            if known is not None and listing is not None:
                yield path, known[0], listing

    def _closes(self, gap: Gap) -> bool:
        """Whether this look would have shown the gap, were it still there."""
        if gap.reason == "unmounted" and gap.detail != "automount":
            return True
        if gap.detail == FORMER_ROOT:
            return False
        if self._is_walked(gap.prefix):
            return True
        if gap.prefix in self._looked:
            return gap.reason in _OF_FILES or gap.reason == "unlisted"
        return parent_of(gap.prefix) in self._looked and gap.reason in _OF_FILES
