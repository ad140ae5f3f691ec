"""Scan once, without state: walk, inspect, and say what is there.

Runs in the reader. What was found is kept in compact records until the end, since only then is known
which key belongs to which certificate and which links lead to what was found. Memory does not grow
with the number of files that hold nothing.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from keycensus_agent.context.packages import PackageDatabases
from keycensus_agent.model import CertificateDetail, Coverage, Finding, Gap, Parsed
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.exclude import Exclude
from keycensus_agent.reader.discovery.links import Resolved, Resolver, kernels_target
from keycensus_agent.reader.discovery.mounts import (
    MountTable,
    Territory,
    parent_of,
    territory,
)
from keycensus_agent.reader.discovery.walk import walk
from keycensus_agent.reader.inspect import SMALLEST_BYTES, Inspected, Inspector, Parser
from keycensus_agent.reader.places import PlaceBuilder
from keycensus_agent.reader.purpose import role_with

# Files of one directory that are held at a time.
_PART = 4096
# One link that leads to a regular file: device and inode of the file, length of the link's path.
_LINK = struct.Struct("=QQI")


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """What to scan: absolute `roots` within the directory `root`, both as bytes."""

    roots: tuple[bytes, ...] = (b"/",)
    root: bytes = b"/"
    exclude: Exclude = field(default_factory=Exclude)
    network: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a scan is."""

    directories: int
    files: int
    found: int


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What a scan found, sorted by path, and what it did not see."""

    findings: list[Finding]
    coverage: Coverage


def scan(
    request: ScanRequest,
    parser: Parser,
    *,
    salt: bytes,
    mounts: MountTable | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> ScanResult:
    """Scan `request.roots`; `salt` keeps file identities apart between hosts.

    `progress` is called once for each directory. OSError if `request.root` can't be opened. Parser
    trouble of the agent's own is a ParserError.
    """
    table = MountTable.read(os.path.realpath(request.root)) if mounts is None else mounts
    root_fd = os.open(request.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return _Scan(request, parser, salt, table, root_fd).run(progress)
    finally:
        os.close(root_fd)


class _Scan:
    def __init__(
        self,
        request: ScanRequest,
        parser: Parser,
        salt: bytes,
        mounts: MountTable,
        root_fd: int,
    ) -> None:
        self._request = request
        self._mounts = mounts
        self._root_fd = root_fd
        self._coverage = Coverage()
        self._inspector = Inspector(parser, self._take, self._coverage)
        self._builder = PlaceBuilder(salt, request.root)
        self._resolver = Resolver(root_fd, mounts, network=request.network)
        self._compact = Compactor()
        self._findings: list[Finding] = []
        self._by_file: dict[tuple[int, int], int] = {}
        self._links = bytearray()
        # A link may be followed by the kernel where it can lead nowhere that hangs or is outside.
        self._plain = request.root == b"/" and not mounts.has_remote
        self._roots = set(map(self._canonical, request.roots))
        self._everything = b"/" in self._roots and not request.exclude.selective

    def run(self, progress: Callable[[Progress], None]) -> ScanResult:
        request, coverage = self._request, self._coverage
        directories = files = links = 0
        for item in walk(
            request.roots,
            root=request.root,
            exclude=request.exclude,
            mounts=self._mounts,
            network=request.network,
            part=_PART,
            facts=False,
        ):
            if isinstance(item, Gap):
                coverage.gaps.append(item)
                continue
            directories += 1
            files += len(item.names)
            links += len(item.links)
            self._look_at(item)
            progress(Progress(directories, files, len(self._findings)))
        self._inspector.finish()
        self._settle_links()
        self._inspector.finish()
        self._find_packages()
        for name, value in (("directories", directories), ("files", files), ("links", links)):
            coverage.count(name, value)
        self._findings.sort(key=lambda finding: finding.place.path)
        coverage.gaps.sort(key=lambda gap: (gap.prefix, gap.reason))
        return ScanResult(self._findings, coverage)

    def _look_at(self, directory: Directory) -> None:
        self._inspector.inspect_all(directory, directory.names)
        for name in directory.links:
            self._meet_link(directory, name)
        self._coverage.pass_over(directory.pruned)

    def _take(self, inspected: Inspected) -> None:
        if inspected.parsed is None:
            return
        parsed = self._compact.compact(inspected.parsed)
        facts = inspected.facts
        self._by_file.setdefault((facts.device, facts.inode), len(self._findings))
        place = self._builder.build(inspected.path, facts, parsed)
        self._findings.append(Finding(place, parsed))

    def _canonical(self, root: bytes) -> bytes:
        """Return where a root is walked: a link to a file is no way to what it leads to."""
        end = self._resolver.resolve(root)
        if isinstance(end, Resolved) and stat.S_ISDIR(end.facts.st_mode):
            return end.path
        return self._resolver.resolve(root, follow_last=False).path

    # --- links --------------------------------------------------------------------------------

    def _meet_link(self, directory: Directory, name: str) -> None:
        raw = os.fsencode(name)
        path = directory.path.rstrip(b"/") + b"/" + raw
        if self._plain:
            try:
                facts = os.stat(raw, dir_fd=directory.fd)
            except OSError:
                return
        else:
            found = self._resolver.resolve(path)
            if not isinstance(found, Resolved):
                return
            facts = found.facts
        if stat.S_ISREG(facts.st_mode) and facts.st_size >= SMALLEST_BYTES:
            self._links += _LINK.pack(facts.st_dev, facts.st_ino, len(path)) + path

    def _settle_links(self) -> None:
        """Add the links that lead to something, in the order in which they were met."""
        walked = len(self._findings)
        outside: dict[bytes, list[bytes]] = {}
        for path, device, inode in self._iterate_links():
            index = self._by_file.get((device, inode))
            if index is None and self._everything:
                continue
            target = self._target_of(path)
            if not target:
                continue
            if index is not None and index < walked:
                self._add_link(path, target, self._findings[index])
            elif not self._is_walked(target):
                outside.setdefault(target, []).append(path)
        self._links.clear()
        self._read_outside(outside)

    def _iterate_links(self) -> Iterator[tuple[bytes, int, int]]:
        position, links = 0, self._links
        while position < len(links):
            device, inode, length = _LINK.unpack_from(links, position)
            position += _LINK.size + length
            yield bytes(links[position - length : position]), device, inode

    def _target_of(self, path: bytes) -> bytes:
        """Return where a link ends, canonical within the root; empty if that is out of reach."""
        if self._plain:
            target = kernels_target(path)
            if target and territory(self._mounts.at(target).type) is Territory.LOCAL:
                return target
        found = self._resolver.resolve(path)
        return found.path if isinstance(found, Resolved) else b""

    def _is_walked(self, path: bytes) -> bool:
        """Whether the walk has been at the file `path`, or was told to stay away from it."""
        within = any(root in (b"/", path) or path.startswith(root + b"/") for root in self._roots)
        return within or self._is_excluded(path)

    def _is_excluded(self, path: bytes) -> bool:
        directory = path
        while directory != b"/":
            if self._request.exclude.reason(directory, directory.rpartition(b"/")[2]):
                return True
            directory = parent_of(directory)
        return False

    def _add_link(self, path: bytes, target_path: bytes, target: Finding) -> None:
        place = self._builder.for_link(path, target_path, target.place)
        self._findings.append(Finding(place, target.parsed))

    def _read_outside(self, outside: dict[bytes, list[bytes]]) -> None:
        """Read files that only links of the scanned roots lead to; they are no places themselves."""
        walked = len(self._findings)
        for target in outside:
            try:
                fd = self._resolver.open_parent(target)
            except OSError:
                continue
            try:
                name = target.rpartition(b"/")[2]
                mount = self._mounts.at(target)
                directory = Directory(parent_of(target), fd, mount, [], [], [], [], listed=False)
                self._inspector.inspect_all(directory, (os.fsdecode(name),))
            except OSError:
                continue
            finally:
                os.close(fd)
        self._inspector.finish()
        read = self._findings[walked:]
        del self._findings[walked:]
        for finding in read:
            for path in outside[finding.place.path]:
                self._add_link(path, finding.place.path, finding)

    # --- packages -----------------------------------------------------------------------------

    def _find_packages(self) -> None:
        """Add to each place the package that owns its name."""
        if not self._findings:
            return
        paths = [finding.place.path for finding in self._findings]
        owners = PackageDatabases(self._resolver).owners(paths)
        for database in owners.unread:
            self._coverage.count(f"{database}-database-unread")
        for number, finding in enumerate(self._findings):
            package = owners.by_path.get(finding.place.path)
            if package is not None:
                role = role_with(finding.place.role, package)
                place = replace(finding.place, package=package, role=role)
                self._findings[number] = Finding(place, finding.parsed)


class Compactor:
    """Makes results small: without public bytes, and each certificate's text once.

    The same bundle lies on a machine twenty times; what is told of it needs to be held only once.
    """

    def __init__(self) -> None:
        self._details: dict[bytes, CertificateDetail] = {}
        self._parsed: dict[tuple[bytes, str, str, str], Parsed] = {}

    def compact(self, parsed: Parsed) -> Parsed:
        """Return an equal result without blobs, shared with equal ones seen before."""
        key = (parsed.manifest, parsed.format, parsed.status.value, parsed.reason)
        known = self._parsed.get(key) if parsed.manifest else None
        if known is not None:
            return known
        details = tuple(
            self._details.setdefault(detail.sha256, detail) for detail in parsed.details
        )
        small = replace(parsed, blobs=(), details=details)
        if parsed.manifest:
            self._parsed[key] = small
        return small


def certificates_by_key(findings: list[Finding]) -> dict[bytes, list[bytes]]:
    """Return, per key id, the SHA-256 of each certificate in `findings` that holds this key."""
    holders: dict[bytes, set[bytes]] = {}
    for finding in findings:
        for detail in finding.parsed.details:
            if detail.key_id:
                holders.setdefault(detail.key_id, set()).add(detail.sha256)
    return {key_id: sorted(hashes) for key_id, hashes in holders.items()}
