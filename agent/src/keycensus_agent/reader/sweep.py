"""Compare the disk with what was known, open what changed, and note what is to be reported.

1. Walk. A directory whose listing is as remembered costs one comparison; in another one the files
   whose marks differ are opened, and what vanished is gone, if it was on the mount that was listed.
2. Now and then, and at the end: wait for the parser, store what it found, in one transaction.
3. Files that changed just before they were read are read once more, when their clock has ticked.
4. Links: a link is a place when its target holds something. Then packages, and who can read a place.
5. Gaps: what could not be looked at, and mounts that are not there. What was known there stays.

A sweep that is stopped has stored what it saw, and nothing is gone because it did not get there.
Runs in the reader.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from keycensus_agent.context.packages import PackageDatabases
from keycensus_agent.model import Coverage, Gap, Status
from keycensus_agent.reader.discovery.directory import Directory, Mount
from keycensus_agent.reader.discovery.mounts import MountTable, parent_of
from keycensus_agent.reader.division import remember_division
from keycensus_agent.reader.findings import Findings, Known
from keycensus_agent.reader.inspect import Inspected, Inspector
from keycensus_agent.reader.link_places import LinkPlaces
from keycensus_agent.reader.memory import (
    DirectoryMemory,
    FileMark,
    Listing,
    digest_of,
    encode_listing,
    listing_of,
)
from keycensus_agent.reader.place_context import settle_context
from keycensus_agent.reader.places import PlaceBuilder
from keycensus_agent.reader.scout import Scout, Scouted, ScoutError
from keycensus_agent.reader.state import State

# A change right after the read may carry the same time stamp: the kernel's clock for files ticks every
# 10 ms at the slowest; where stamps have no fractions (ext3, FAT) they are up to 2 s apart.
FINE_STAMP_NS = 50_000_000
COARSE_STAMP_NS = 2_000_000_000
# What is stored in one transaction: few enough to lose little, many enough to sync rarely.
DIRECTORIES_PER_TRANSACTION = 2000
# How often the scout's pipe is emptied.
DIRECTORIES_PER_LOOK = 64
RESULTS_PER_TRANSACTION = 500
# A mark that no file has: the file is read again next time.
_NO_MARK = (0, 0, 0)


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


@dataclass(slots=True)
class _Unsettled:
    """What the walk saw and is not stored yet."""

    directories: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    mounts: dict[bytes, Mount] = field(default_factory=dict)
    results: list[tuple[Inspected, bytes]] = field(default_factory=list)
    lost: list[tuple[Known, str]] = field(default_factory=list)
    vanished: list[tuple[bytes, bytes]] = field(default_factory=list)


class Sweep:
    """One pass over the disk. `run()` yields at points where everything seen so far is stored."""

    def __init__(
        self,
        state: State,
        findings: Findings,
        make_inspector: Callable[[Callable[[Inspected], None], Coverage], Inspector],
        links: LinkPlaces,
        surroundings: Surroundings,
        *,
        reread: bool = False,
    ) -> None:
        self._state = state
        self._findings = findings
        self._links = links
        self._around = surroundings
        self._reread = reread
        self._memory = DirectoryMemory(state)
        # The scout is elsewhere on the disk: with one window each would fetch the other's away.
        self._scouted_memory = DirectoryMemory(state)
        self.coverage = Coverage()
        self._inspector = make_inspector(self._take, self.coverage)
        self._unsettled = _Unsettled()
        self._mount_of: dict[bytes, bytes] = {}
        self._unstable: dict[bytes, int] = {}
        self._torn: set[bytes] = set()
        self._settling = False
        self._files = 0
        self._directories = 0
        self._differing: list[bytes] = []
        self._changed_listings = 0
        self._roots: list[bytes] = []
        self.complete = False

    def run(self, roots: list[bytes], scout: Scout | None = None) -> Iterator[None]:
        """Sweep `roots`; after the last yield `complete` says whether all of it was seen.

        With a `scout` its trees, which lie within the roots, are listed by it at the same time.
        """
        self._roots = roots
        yield from self._pass(roots, scout)
        if scout is not None:
            yield from self._finish_scout(scout)
        self.coverage.count("directories", self._directories)
        self.coverage.count("files", self._files)
        if self._around.should_stop():
            self._settle()
            return
        self._settle()
        yield
        yield from self._settle_unstable()
        if self._around.should_stop():
            return
        self._finish()
        self.complete = True

    # --- 1: walk ------------------------------------------------------------------------------

    def _pass(self, roots: list[bytes], scout: Scout | None = None) -> Iterator[None]:
        gaps = self.coverage.gaps
        scouted = _by_parent(scout.roots if scout is not None else ())
        visited = 0
        for item in self._around.walk_from(roots):
            if self._around.should_stop():
                return
            if isinstance(item, Gap):
                gaps.append(item)
                continue
            self.coverage.pass_over(item.pruned)
            self._files += len(item.files)
            self._look_at(item)
            if item.path in scouted:
                item.children = [name for name in item.children if name not in scouted[item.path]]
            visited += 1
            if scout is not None and visited % DIRECTORIES_PER_LOOK == 0:
                self._hear(scout.drain())
            if (
                visited % DIRECTORIES_PER_TRANSACTION == 0
                or len(self._unsettled.results) >= RESULTS_PER_TRANSACTION
            ):
                self._settle()
                yield
        self._directories += visited

    # --- 1, on another core ---------------------------------------------------------------------

    def _hear(self, news: Iterable[Scouted | Gap]) -> None:
        """Compare what the scout saw; what differs is listed again by ourselves."""
        for item in news:
            if self._around.should_stop():
                return
            if isinstance(item, Gap):
                self.coverage.gaps.append(item)
                continue
            self._directories += 1
            self._files += item.files
            known = self._scouted_memory.recall(item.path)
            if item.listed and known == (item.mount, item.digest):
                if item.links:
                    self._links.meet_names(item.path, item.mount, item.links, item.targets)
            else:
                self._differing.append(item.path)

    def _finish_scout(self, scout: Scout) -> Iterator[None]:
        try:
            if not self._around.should_stop():
                self._hear(scout.finish())
        except ScoutError:
            yield from self._pass(list(scout.roots))
            return
        finally:
            scout.close()
        for path in self._differing:
            if self._around.should_stop():
                return
            self._look_at_one(path)
            if len(self._unsettled.results) >= RESULTS_PER_TRANSACTION:
                self._settle()
                yield

    def _look_at_one(self, path: bytes) -> None:
        """List one directory and look at it, but not below it."""
        for item in self._around.walk_from([path]):
            # Not another one, to which a link leads that took its place.
            if isinstance(item, Directory) and item.path == path and item.listed:
                self._look_at(item, force=path in self._torn_directories())
            # The rest of the tree has its own turn.
            break

    def _torn_directories(self) -> set[bytes]:
        return {parent_of(path) for path in self._torn}

    def _look_at(self, directory: Directory, *, force: bool = False) -> None:
        listing = listing_of(directory)
        encoded = encode_listing(listing)
        known = self._memory.recall(directory.path)
        if directory.links:
            self._links.meet(directory)
        if known == (directory.mount.key, digest_of(encoded)):
            if not self._reread and not force:
                return
        elif known is not None and known[0] != directory.mount.key:
            # Another file system is here now: what was remembered says nothing of it.
            known = None
        self._compare(directory, listing, encoded, known)

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
        again = self._open_changed(directory, listing, marks, places)
        if not directory.listed:
            return
        self._miss(directory, listing, places)
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
        self._unsettled.directories.append((directory.path, directory.mount.key, encoded))
        self._unsettled.mounts[directory.mount.key] = directory.mount

    def _open_changed(
        self,
        directory: Directory,
        listing: Listing,
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
        for mark, (name, facts) in zip(listing[0], directory.files, strict=True):
            if mark in marks and not (
                self._torn and _join(directory.path, os.fsencode(name)) in self._torn
            ):
                continue
            stable_ns = stable_at_ns(facts.st_ctime_ns)
            if stable_ns > now_ns and directory.listed:
                again.add(name)
                self._read_again(directory.path, stable_ns)
            refused = self._inspector.refused
            if self._inspector.inspect(directory, name, facts):
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
        self._unstable[directory] = max(stable_ns, self._unstable.get(directory, 0))

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

    # --- 2: store -----------------------------------------------------------------------------

    def _take(self, inspected: Inspected) -> None:
        directory = parent_of(inspected.path)
        if inspected.changed and not self._settling:
            # Torn: neither what was nor what will be. It is read again when it has come to rest.
            self._torn.add(inspected.path)
            self._read_again(directory, self._around.now_ns() + FINE_STAMP_NS)
            return
        self._unsettled.results.append((inspected, self._mount_of[directory]))

    def _settle(self) -> None:
        """Wait for what is being parsed and store everything seen so far."""
        self._inspector.finish()
        unsettled, self._unsettled = self._unsettled, _Unsettled()
        self._mount_of.clear()
        if not (unsettled.directories or unsettled.results or unsettled.lost):
            return
        self._forget_unmounted(unsettled)
        with self._state.transaction() as connection:
            for known, reason in unsettled.lost:
                self._findings.lose(known, reason)
            for path, mount in unsettled.vanished:
                self._findings.lose_below(path, mount)
                self._memory.forget_below(path, mount)
            for inspected, mount in unsettled.results:
                self._store(inspected, mount)
            self._memory.remember(unsettled.directories)
            self._changed_listings += len(unsettled.directories)
            connection.executemany(
                "INSERT OR IGNORE INTO mount VALUES (?, ?, ?, ?, ?)",
                [
                    (mount.key, mount.type, mount.source, mount.root, self._point(mount))
                    for mount in unsettled.mounts.values()
                ],
            )

    def _forget_unmounted(self, unsettled: _Unsettled) -> None:
        """Drop what was seen in directories whose mount came or went since the sweep began.

        A file system that was unmounted meanwhile was listed as an empty directory of its own.
        """
        fresh = self._around.reread_mounts()

        def stands(path: bytes, mount: bytes) -> bool:
            return fresh.at(parent_of(path)).key == mount

        unsettled.directories = [
            row for row in unsettled.directories if fresh.at(row[0]).key == row[1]
        ]
        unsettled.lost = [item for item in unsettled.lost if stands(item[0].path, item[0].mount)]
        unsettled.vanished = [item for item in unsettled.vanished if stands(*item)]
        unsettled.results = [item for item in unsettled.results if stands(item[0].path, item[1])]

    def _store(self, inspected: Inspected, mount: bytes) -> None:
        known = self._findings.at(inspected.path)
        parsed = inspected.parsed
        if parsed is None or not parsed.holds_something:
            if known is not None and known.mount == mount:
                self._findings.lose(known, "holds-nothing")
            return
        place = self._around.builder.build(inspected.path, inspected.facts, parsed)
        if parsed.status is Status.UNREADABLE and known is not None and known.manifest:
            # It could be read before: what it held is the best that is known.
            place = replace(place, manifest=known.manifest)
        self._findings.store(place, mount, parsed.blobs, parser=self._reread)

    # --- 3: files that changed just before they were read ---------------------------------------

    def _settle_unstable(self) -> Iterator[None]:
        if not self._unstable:
            return
        wait_ns = max(self._unstable.values()) - self._around.now_ns()
        # A time stamp in the future would have us wait for ever; its file is read next time.
        if 0 < wait_ns <= COARSE_STAMP_NS:
            self._around.sleep(wait_ns / 1e9 + 0.005)
        again = sorted(self._unstable)
        self._unstable = {}
        self._settling = True
        torn = self._torn
        self.coverage.gaps = [
            gap
            for gap in self.coverage.gaps
            if not (gap.reason == "changed-while-read" and gap.prefix in torn)
        ]
        for path in again:
            self._look_at_one(path)
            if self._around.should_stop():
                break
        self._settle()
        yield

    # --- 4 and 5: links, gaps, done -------------------------------------------------------------

    def _finish(self) -> None:
        gaps = self.coverage.gaps
        with self._state.transaction():
            gaps.extend(self._absent_mounts())
            gaps.extend(self._former_roots())
            self._links.settle(gaps, self._findings)
            settle_context(
                self._state,
                self._findings,
                self._around.builder,
                self._around.databases,
                self.coverage,
            )
            self._findings.settle_gaps(_distinct(gaps), whole=True)
            if self._changed_listings:
                remember_division(self._state)
            if not self._state.complete:
                self._state.put_number("complete", 1)

    def _point(self, mount: Mount) -> bytes:
        """Return where a mount is within the scanned root; one above it covers all of it."""
        root = self._around.root.rstrip(b"/")
        inside = mount.mount_point.startswith(root + b"/")
        return mount.mount_point[len(root) :] if inside else b"/"

    def _former_roots(self) -> Iterator[Gap]:
        """Yield a gap for each root that was swept once, has places, and is asked for no more."""
        former = json.loads(self._state.get("roots", b"[]"))
        current = [root.rstrip(b"/") for root in self._roots]
        kept = {base64.b64encode(root).decode() for root in self._roots}
        for encoded in former:
            root = base64.b64decode(encoded).rstrip(b"/")
            inside = any((root + b"/").startswith(now + b"/") for now in current)
            if not inside and self._findings.any_below(root):
                kept.add(encoded)
                yield Gap(root or b"/", "excluded", "not among the roots")
        self._state.put("roots", json.dumps(sorted(kept)).encode())

    def _absent_mounts(self) -> Iterator[Gap]:
        """Yield a gap for each mount that places were seen on and that is not there, or covered."""
        mounts = self._around.reread_mounts()
        for key, fs_type, source, point in self._state.connection.execute(
            "SELECT key, type, source, mount_point FROM mount"
            " WHERE key IN (SELECT DISTINCT mount FROM place)"
        ).fetchall():
            here = mounts.at(point)
            if here.key != key:
                yield Gap(point, "unmounted", f"{fs_type} {_text(source)}")
        for point in mounts.points:
            here = mounts.at(point)
            if self._covers_places(point, here.key):
                yield Gap(point, "unmounted", f"covered by {here.type} {_text(here.source)}")

    def _covers_places(self, point: bytes, key: bytes) -> bool:
        row = self._state.connection.execute(
            "SELECT 1 FROM place JOIN mount ON mount.key = place.mount"
            " WHERE place.path > ? AND place.path < ? AND place.mount != ?"
            " AND length(mount.mount_point) < ? LIMIT 1",
            (point + b"/", point + b"0", key, len(point)),
        ).fetchone()
        return row is not None


def stable_at_ns(ctime_ns: int) -> int:
    """Return from when on a file that is read can't change without another ctime."""
    coarse = ctime_ns % 1_000_000 == 0
    return ctime_ns + (COARSE_STAMP_NS if coarse else FINE_STAMP_NS)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _distinct(gaps: list[Gap]) -> list[Gap]:
    return list(dict.fromkeys(gaps))


def _by_parent(roots: Iterable[bytes]) -> dict[bytes, set[str]]:
    parents: dict[bytes, set[str]] = {}
    for root in roots:
        parent, _, name = root.rpartition(b"/")
        parents.setdefault(parent or b"/", set()).add(os.fsdecode(name))
    return parents


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + name if directory == b"/" else directory + b"/" + name
