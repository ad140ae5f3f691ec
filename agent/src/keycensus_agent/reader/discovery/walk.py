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
from keycensus_agent.reader.discovery.directory import Directory, Mount
from keycensus_agent.reader.discovery.exclude import SNAPSHOT_NAMES, Exclude
from keycensus_agent.reader.discovery.links import (
    OPEN_DIRECTORY,
    PASS_DIRECTORY,
    Resolved,
    Resolver,
    errno_name,
    open_beneath,
)
from keycensus_agent.reader.discovery.mounts import MountTable, Territory, parent_of, territory

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

# Directories on the way down whose descriptors stay open; the soft limit of a process is 1,024.
OPEN_FRAMES = 128
# Longest path that is walked; only a tree that was built to hurt has longer ones.
PATH_LIMIT = 64 * 1024
# The directory vanished, or is none any more: it is gone, or what took its place is seen next time.
_VANISHED = frozenset({errno.ENOENT})
_REPLACED = frozenset({errno.ENOTDIR, errno.ELOOP})


@dataclass(slots=True)
class _Frame:
    """A listed directory whose children are still to be entered.

    `fd` is -1 while given up; `identity` (device, inode) is taken at that moment.
    """

    fd: int
    path: bytes
    mount: Mount
    children: list[str]
    identity: tuple[int, int] = (0, 0)


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
) -> Generator[Directory | Gap, None, None]:
    """Walk `roots`, absolute paths within the directory `root`, depth first, each directory once.

    Children are entered in the order of their bytes; a name taken out of `Directory.children` before
    the walk is advanced is not entered.

    A root that is a link is walked where it leads; a root that is a file or a link to one gives its
    directory with that one name and `listed` false. A root that can't be reached is a gap
    ("unlisted", with the errno name); OSError only if `root` itself can't be opened. `network`
    enters network file systems. With `part` a directory of more files than that comes as several
    `Directory` values of the same path, all but the last with `listed` false, so that memory does
    not grow with the largest directory; 0 gives each directory whole. Gaps of pruned names stand in
    `Directory.pruned` and are not given a second time.
    """
    table = MountTable.read(os.path.realpath(root)) if mounts is None else mounts
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    walker = _Walk(root_fd, exclude or Exclude(), table, network=network, part=part)
    try:
        yield from walker.run(roots)
    finally:
        walker.close()
        os.close(root_fd)


class _Walk:
    """One walk: its settings, and the way down to where it is."""

    def __init__(
        self, root_fd: int, exclude: Exclude, mounts: MountTable, *, network: bool, part: int
    ) -> None:
        self._root_fd = root_fd
        self._exclude = exclude
        self._mounts = mounts
        self._network = network
        self._part = part
        # Directories in which a name can be a mount point or the agent's own.
        self._guarded = mounts.parents | {parent_of(path) for path in exclude.own}
        # Local file systems found under pseudo ones (/dev/shm): walked as roots of their own.
        self._islands: list[bytes] = []
        self._frames: list[_Frame] = []
        # Frames before this index have given up their descriptor.
        self._open_from = 0
        # Why the directory being listed is not listed whole: an errno name.
        self._trouble = ""

    def close(self) -> None:
        for frame in self._frames:
            if frame.fd >= 0:
                os.close(frame.fd)

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
            fd = open_beneath(self._root_fd, _components(start.path), PASS_DIRECTORY)
        except OSError as error:
            yield Gap(path, "unlisted", errno_name(error))
            return
        try:
            directory = Directory(
                start.path, fd, self._mounts.at(path), [], [], [], [], listed=False
            )
            facts = os.stat(start.only, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISREG(facts.st_mode):
                directory.files.append((os.fsdecode(start.only), facts))
            elif stat.S_ISLNK(facts.st_mode):
                directory.links.append(os.fsdecode(start.only))
            yield directory
        except OSError as error:
            yield Gap(path, "unlisted", errno_name(error))
        finally:
            os.close(fd)

    def _descend(self, path: bytes) -> Iterator[Directory | Gap]:
        """Walk the directory `path` and everything below it."""
        try:
            fd = open_beneath(self._root_fd, _components(path))
        except OSError as error:
            yield Gap(path, "unlisted", errno_name(error))
            return
        yield from self._list(fd, path, self._mounts.at(path))
        frames, points = self._frames, self._mounts.points
        while frames:
            frame = frames[-1]
            if not frame.children:
                self._leave()
                continue
            if frame.fd < 0:
                trouble = self._reopen()
                if trouble:
                    yield Gap(frame.path, "changed-while-read", trouble)
                    self._leave()
                    continue
            name = frame.children.pop()
            path = _join(frame.path, os.fsencode(name))
            try:
                fd = os.open(name, OPEN_DIRECTORY, dir_fd=frame.fd)
            except OSError as error:
                if error.errno not in _VANISHED:
                    yield _refused(path, error)
                continue
            if not frame.children:
                # Nothing to come back for: a chain of directories costs no descriptors.
                self._leave()
            yield from self._list(
                fd, path, self._mounts.at(path) if path in points else frame.mount
            )

    def _list(self, fd: int, path: bytes, mount: Mount) -> Iterator[Directory | Gap]:
        """List the directory behind `fd`, which becomes the innermost frame."""
        frame = _Frame(fd, path, mount, [])
        self._enter(frame)
        if len(path) > PATH_LIMIT:
            yield Gap(path, "too-deep")
            return
        listing = Directory(path, fd, mount, [], [], [], [], listed=False)
        self._trouble = ""
        try:
            with os.scandir(fd) as entries:
                while self._fill(listing, entries):
                    yield replace(listing, links=[], children=[], pruned=[])
                    listing.files = []
        except OSError as error:
            self._trouble = errno_name(error)
        trouble = self._trouble
        listing.listed = not trouble
        if listing.children:
            self._prune_snapshots(listing)
            listing.children.sort(key=os.fsencode)
        yield listing
        # Last first, so that they can be popped; whoever reads the walk may have taken some out.
        frame.children = listing.children[::-1]
        if trouble:
            yield Gap(path, "unlisted", trouble)

    def _fill(self, listing: Directory, entries: Iterator[os.DirEntry[str]]) -> bool:
        """Take entries into `listing`; True if it is full and there may be more. OSError as it comes."""
        path, files, part = listing.path, listing.files, self._part
        guarded = path in self._guarded or self._exclude.concerns(path)
        for entry in entries:
            if guarded and self._prune(path, entry.name, listing.pruned):
                continue
            if entry.is_file(follow_symlinks=False):
                try:
                    files.append((entry.name, entry.stat(follow_symlinks=False)))
                except OSError as error:
                    # A name that vanished is gone; any other trouble leaves the listing incomplete.
                    if error.errno not in _VANISHED:
                        self._trouble = errno_name(error)
                    continue
                if len(files) == part:
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

    def _enter(self, frame: _Frame) -> None:
        """Make `frame` the innermost; beyond `OPEN_FRAMES` the outermost descriptor is given up."""
        self._frames.append(frame)
        if len(self._frames) - self._open_from > OPEN_FRAMES:
            outermost = self._frames[self._open_from]
            facts = os.fstat(outermost.fd)
            outermost.identity = (facts.st_dev, facts.st_ino)
            os.close(outermost.fd)
            outermost.fd = -1
            self._open_from += 1

    def _leave(self) -> None:
        frame = self._frames.pop()
        if frame.fd >= 0:
            os.close(frame.fd)
        self._open_from = min(self._open_from, len(self._frames))

    def _reopen(self) -> str:
        """Open the innermost frame again, and its ancestors as far as the bound allows.

        Returns "" or why not: an errno name, or "replaced" if another directory is there now.
        """
        first = max(0, len(self._frames) - OPEN_FRAMES)
        wanted = {len(_components(frame.path)): frame for frame in self._frames[first:]}
        opened: list[tuple[_Frame, int]] = []
        trouble = ""
        descriptor = os.dup(self._root_fd)
        try:
            for depth, name in enumerate([b".", *_components(self._frames[-1].path)]):
                entered = os.open(name, PASS_DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = entered
                frame = wanted.get(depth)
                if frame is None:
                    continue
                opened.append((frame, os.dup(descriptor)))
                facts = os.fstat(descriptor)
                if (facts.st_dev, facts.st_ino) != frame.identity:
                    trouble = "replaced"
                    break
        except OSError as error:
            trouble = errno_name(error)
        finally:
            os.close(descriptor)
        for frame, fd in opened:
            if trouble:
                os.close(fd)
            else:
                frame.fd = fd
        if not trouble:
            self._open_from = first
        return trouble


def _is_within(path: bytes, directories: set[bytes]) -> bool:
    while path not in directories:
        if path == b"/":
            return False
        path = parent_of(path)
    return True


def _components(path: bytes) -> list[bytes]:
    return path.split(b"/")[1:] if path != b"/" else []


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
