"""Walk directories and say what is in them, without opening a file.

Runs in the reader, over trees that strangers write to while it walks. Each directory is opened
relative to its parent's descriptor and never through a link, so that a directory swapped for a link
leads nowhere else. There is no recursion, and only so many descriptors stay open: a directory whose
descriptor was given up is opened again component by component, and must then still be the same one.

This is the hot loop of every sweep: one system call and a few bytecodes for each file.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from keycensus_agent.model import Gap
from keycensus_agent.reader.discovery.directory import NOT_ASKED, Directory, FileMark, Mount
from keycensus_agent.reader.discovery.exclude import SNAPSHOT_NAMES, Exclude
from keycensus_agent.reader.discovery.frames import Frame, Way, components_of
from keycensus_agent.reader.discovery.links import (
    OPEN_DIRECTORY,
    PASS_DIRECTORY,
    Resolved,
    Resolver,
    errno_name,
    open_beneath,
)
from keycensus_agent.reader.discovery.mounts import MountTable, Territory, parent_of, territory
from keycensus_agent.reader.unopened import unopened_in
from keycensus_agent.reader.whereabouts import HERE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

# Longest path that is walked; only a tree that was built to hurt has longer ones.
PATH_LIMIT = 64 * 1024
# The directory vanished, or is none any more: it is gone, or what took its place is seen next time.
_VANISHED = frozenset({errno.ENOENT})
_REPLACED = frozenset({errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a walk begins: a directory, or one name (a file or a link) in a directory."""

    path: bytes
    only: bytes = b""


def walk(
    roots: Sequence[bytes],
    *,
    root: bytes = b"/",
    exclude: Exclude | None = None,
    mounts: MountTable | None = None,
    network: bool = False,
    part: int = 0,
    facts: bool = True,
) -> Generator[Directory | Gap, None, None]:
    """Walk `roots`, absolute paths within the directory `root`, depth first, each directory once.

    Children are entered in the order of their bytes; a name taken out of `Directory.children` before
    the walk is advanced is not entered.

    A root that is a link is walked where it leads; a root that is a file or a link to one gives its
    directory with that one name and `listed` false. A root that can't be reached is a gap
    ("unlisted", with the errno name); OSError only if `root` itself can't be opened. `network`
    enters network file systems. With `part` a directory of more files than that comes as several
    `Directory` values of the same path, all but the last with `listed` false, so that memory does
    not grow with the largest directory; 0 gives each directory whole. Without `facts` regular files
    are only named (`Directory.names`), which saves a call to the kernel for each. Gaps of pruned names
    stand in `Directory.pruned` and are not given a second time.
    """
    table = MountTable.read(os.path.realpath(root)) if mounts is None else mounts
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    walker = _Walk(root_fd, exclude or Exclude(), table, network=network, part=part, facts=facts)
    try:
        yield from walker.run(roots)
    finally:
        walker.close()
        os.close(root_fd)


class _Walk:
    """One walk: its settings, and the way down to where it is."""

    def __init__(
        self,
        root_fd: int,
        exclude: Exclude,
        mounts: MountTable,
        *,
        network: bool,
        part: int,
        facts: bool,
    ) -> None:
        self._root_fd = root_fd
        self._exclude = exclude
        self._mounts = mounts
        self._network = network
        self._part = part
        self._facts = facts
        # Directories in which a name can be a mount point or the agent's own.
        self._guarded = mounts.parents | {parent_of(path) for path in exclude.own}
        # Local file systems found under pseudo ones (/dev/shm): walked as roots of their own.
        self._islands: list[bytes] = []
        self._way = Way(root_fd)
        # The directory that is being listed; -1 when none is.
        self._innermost = -1
        # Why the directory being listed is not listed whole: an errno name.
        self._trouble = ""

    def close(self) -> None:
        self._way.close()
        self._leave_innermost()

    def run(self, roots: Sequence[bytes]) -> Iterator[Directory | Gap]:
        found = dict.fromkeys(map(self._start, roots))
        directories = {
            start.path for start in found if isinstance(start, _Start) and not start.only
        }
        for start in found:
            if isinstance(start, Gap):
                yield start
            elif start.only:
                if not _is_within(start.path, directories):
                    yield from self._only(start)
            elif start.path == b"/" or not _is_within(parent_of(start.path), directories):
                yield from self._descend(start.path)
        while self._islands:
            yield from self._descend(self._islands.pop())

    def _start(self, path: bytes) -> _Start | Gap:
        resolver = Resolver(self._root_fd, self._mounts, network=self._network)
        end = resolver.resolve(path)
        if not isinstance(end, Resolved):
            return _start_gap(path, end.reason)
        if stat.S_ISDIR(end.facts.st_mode):
            reason = self._exclude.reason(end.path, end.path.rsplit(b"/", 1)[1])
            return Gap(end.path, "excluded", reason) if reason else _Start(end.path)
        if not stat.S_ISREG(end.facts.st_mode):
            return Gap(path, "unreadable", "not-a-file")
        name = resolver.resolve(path, follow_last=False)
        return _Start(parent_of(name.path), name.path.rsplit(b"/", 1)[1])

    def _only(self, start: _Start) -> Iterator[Directory | Gap]:
        """Give one name of a directory, which is not listed."""
        path = start.path.rstrip(b"/") + b"/" + start.only
        try:
            fd = open_beneath(self._root_fd, components_of(start.path), PASS_DIRECTORY)
        except OSError as error:
            yield Gap(path, "unlisted", errno_name(error))
            return
        try:
            directory = Directory(
                start.path, fd, self._mounts.at(path), [], [], [], [], listed=False
            )
            facts = os.stat(start.only, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISREG(facts.st_mode):
                self._add_file(directory, os.fsdecode(start.only), facts)
            elif stat.S_ISLNK(facts.st_mode):
                directory.links.append(os.fsdecode(start.only))
            yield directory
        except OSError as error:
            yield Gap(path, "unlisted", errno_name(error))
        finally:
            os.close(fd)

    def _add_file(self, directory: Directory, name: str, facts: os.stat_result) -> None:
        if self._facts:
            directory.files.append(_mark(name, facts))
        else:
            directory.names.append(name)

    def _descend(self, path: bytes) -> Iterator[Directory | Gap]:
        """Walk the directory `path` and everything below it."""
        try:
            fd = open_beneath(self._root_fd, components_of(path))
        except OSError as error:
            yield Gap(path, "unlisted", errno_name(error))
            return
        yield from self._list(fd, path, self._mounts.at(path))
        frames, points = self._way.frames, self._mounts.points
        while frames:
            frame = frames[-1]
            if not frame.children:
                self._way.leave()
                continue
            if frame.fd < 0:
                trouble = self._way.reopen()
                if trouble:
                    yield Gap(frame.path, "changed-while-read", trouble)
                    self._way.leave()
                    continue
            name = frame.children.pop()
            path = _join(frame.path, os.fsencode(name))
            HERE.at = (path, "")
            try:
                fd = os.open(name, OPEN_DIRECTORY, dir_fd=frame.fd)
            except OSError as error:
                HERE.at = None
                if error.errno not in _VANISHED:
                    yield _refused(path, error)
                continue
            if not frame.children:
                # Nothing to come back for: a chain of directories costs no descriptors.
                self._way.leave()
            yield from self._list(
                fd, path, self._mounts.at(path) if path in points else frame.mount
            )

    def _list(self, fd: int, path: bytes, mount: Mount) -> Iterator[Directory | Gap]:
        """List the directory behind `fd`; if it has children to enter, it is a frame of the way then."""
        self._innermost = fd
        if len(path) > PATH_LIMIT:
            self._leave_innermost()
            yield Gap(path, "too-deep")
            return
        listing = Directory(path, fd, mount, [], [], [], [], listed=False)
        self._trouble = ""
        fill = self._fill if self._facts else self._fill_names
        try:
            with os.scandir(fd) as entries:
                while fill(listing, entries):
                    HERE.at = None
                    yield replace(listing, links=[], children=[], pruned=[])
                    listing.files, listing.names = [], []
        except OSError as error:
            self._trouble = errno_name(error)
        trouble = self._trouble
        HERE.at = None
        listing.listed = not trouble
        if listing.children:
            self._prune_snapshots(listing)
            _sort(listing.children)
        yield listing
        if listing.children:
            # Last first, so that they can be popped; whoever reads the walk may have taken some out.
            self._way.enter(Frame(fd, path, mount, listing.children[::-1]))
            self._innermost = -1
        else:
            self._leave_innermost()
        if trouble:
            yield Gap(path, "unlisted", trouble)

    def _leave_innermost(self) -> None:
        if self._innermost >= 0:
            os.close(self._innermost)
            self._innermost = -1

    def _fill(self, listing: Directory, entries: Iterator[os.DirEntry[str]]) -> bool:
        """Take entries into `listing`; True if it is full and there may be more. OSError as it comes."""
        path, files, part = listing.path, listing.files, self._part
        guarded = path in self._guarded or self._exclude.concerns(path)
        unopened = unopened_in(path).endings
        for entry in entries:
            if guarded and self._prune(path, entry.name, listing.pruned):
                continue
            if entry.is_file(follow_symlinks=False):
                name = entry.name
                if name.endswith(unopened):
                    files.append((name, *NOT_ASKED))
                else:
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except OSError as error:
                        # A name that vanished is gone; any other trouble leaves the listing incomplete.
                        if error.errno not in _VANISHED:
                            self._trouble = errno_name(error)
                        continue
                    files.append((name, facts.st_ino, facts.st_ctime_ns, facts.st_size))
                if len(files) == part:
                    return True
            elif entry.is_symlink():
                listing.links.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                listing.children.append(entry.name)
        return False

    def _fill_names(self, listing: Directory, entries: Iterator[os.DirEntry[str]]) -> bool:
        """Do what `_fill` does without asking for facts."""
        path, names, part = listing.path, listing.names, self._part
        guarded = path in self._guarded or self._exclude.concerns(path)
        for entry in entries:
            if guarded and self._prune(path, entry.name, listing.pruned):
                continue
            if entry.is_file(follow_symlinks=False):
                names.append(entry.name)
                if len(names) == part:
                    return True
            elif entry.is_symlink():
                listing.links.append(entry.name)
            elif entry.is_dir(follow_symlinks=False):
                listing.children.append(entry.name)
        return False

    def _prune(self, directory: bytes, name: str, pruned: list[tuple[str, Gap | None]]) -> bool:
        """Note `name` as pruned if it is not to be touched at all, not even by lstat."""
        raw = os.fsencode(name)
        path = _join(directory, raw)
        if path in self._exclude.own:
            pruned.append((name, None))
            return True
        if path in self._mounts.points:
            ground = territory(self._mounts.at(path).type)
            if ground is Territory.PSEUDO:
                self._islands += self._mounts.islands(path)
                pruned.append((name, None))
                return True
            if ground is Territory.AUTOMATIC:
                pruned.append((name, Gap(path, "unmounted", "automount")))
                return True
            if ground is Territory.NETWORK and not self._network:
                gap = Gap(path, "network-file-system", self._mounts.at(path).type)
                pruned.append((name, gap))
                return True
        reason = self._exclude.reason(path, raw)
        if reason:
            pruned.append((name, Gap(path, "excluded", reason)))
        return bool(reason)

    def _prune_snapshots(self, listing: Directory) -> None:
        for name in SNAPSHOT_NAMES.intersection(listing.children):
            listing.children.remove(name)
            gap = Gap(_join(listing.path, os.fsencode(name)), "excluded", "snapshot")
            listing.pruned.append((name, gap))


def _mark(name: str, facts: os.stat_result) -> FileMark:
    return name, facts.st_ino, facts.st_ctime_ns, facts.st_size


def _sort(names: list[str]) -> None:
    """Sort by the names' bytes, which is the order of their letters where no byte was undecodable."""
    names.sort(key=None if "".join(names).isascii() else os.fsencode)


def _is_within(path: bytes, directories: set[bytes]) -> bool:
    while path not in directories:
        if path == b"/":
            return False
        path = parent_of(path)
    return True


def _join(directory: bytes, name: bytes) -> bytes:
    return directory + b"/" + name if directory != b"/" else b"/" + name


def _refused(path: bytes, error: OSError) -> Gap:
    if error.errno in _REPLACED:
        return Gap(path, "changed-while-read", "replaced")
    return Gap(path, "unlisted", errno_name(error))


def _start_gap(path: bytes, reason: str) -> Gap:
    if reason == "network-file-system":
        return Gap(path, "network-file-system")
    if reason == "automount":
        return Gap(path, "unmounted", "automount")
    if reason == "pseudo-file-system":
        return Gap(path, "excluded", reason)
    return Gap(path, "unlisted", reason)
