"""What is searched on this host: the root, what lies within it, and the mounts as they are now.

Made anew for each sweep, and kept beside the watches; whoever makes one closes it. Runs in the reader.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import Self

from keycensus_agent.config import Config
from keycensus_agent.errors import ConfigurationError
from keycensus_agent.model import Gap
from keycensus_agent.reader.discovery.directory import Directory
from keycensus_agent.reader.discovery.exclude import SNAPSHOT_NAMES, Exclude
from keycensus_agent.reader.discovery.links import (
    PASS_DIRECTORY,
    Resolved,
    Resolver,
    open_beneath,
)
from keycensus_agent.reader.discovery.mounts import (
    MountTable,
    Territory,
    parent_of,
    read_mountinfo,
    territory,
)
from keycensus_agent.reader.discovery.walk import walk
from keycensus_agent.reader.scopes import ScopedResolver, find_scopes
from keycensus_agent.text import safe_path


class Ground:
    """The rules of the walk over one root. ConfigurationError if the root can't be opened."""

    def __init__(self, config: Config) -> None:
        self._scan = config.scan
        self._real_root = os.path.realpath(config.scan.root)
        patterns = tuple(os.fsdecode(pattern) for pattern in config.scan.exclude)
        self.root_fd = _open_root(config.scan.root)
        self.mounts = self.read_mounts()
        network = self._scan.network_file_systems
        self.scopes = find_scopes(
            Resolver(self.root_fd, self.mounts, network=network),
            self.mounts,
            read_mountinfo(),
            self._real_root,
        )
        self.resolver = ScopedResolver(
            self.root_fd, self.mounts, network=network, scopes=self.scopes
        )
        # Layers are seen in the container that they are of.
        self.own = own_directories(config) | self.scopes.layers
        self.exclude = Exclude(patterns, own=self.own)
        # Canonical, since everything that is found is; a root that is no directory has nothing below.
        self._roots = tuple(self._canonical_roots())

    def _canonical_roots(self) -> Iterator[bytes]:
        for root in self._scan.roots:
            end = self.resolver.resolve(root)
            if isinstance(end, Resolved) and stat.S_ISDIR(end.facts.st_mode):
                yield end.path

    @property
    def real_root(self) -> bytes:
        """The root in the host's own paths, canonical."""
        return self._real_root

    @property
    def plain(self) -> bool:
        """Whether the kernel may follow a link: it can lead nowhere that hangs or is outside."""
        return self._scan.root == b"/" and not self.mounts.has_remote

    def read_mounts(self) -> MountTable:
        """Read the mounts as they are at this moment."""
        return MountTable.read(self._real_root)

    def walk_from(self, roots: list[bytes]) -> Iterator[Directory | Gap]:
        """Walk roots with the excludes in force."""
        return walk(
            roots,
            root=self._scan.root,
            exclude=self.exclude,
            mounts=self.mounts,
            network=self._scan.network_file_systems,
        )

    def inside(self, path: bytes) -> bool:
        """Whether a path is one of the directories that are searched, or below one."""
        return any(
            path == root or path.startswith(root.rstrip(b"/") + b"/") for root in self._roots
        )

    def is_entered(self, path: bytes) -> bool:
        """Whether the walk reaches a directory from directory to directory.

        Not what lies under a pseudo file system, which is walked apart, nor under an exclude.
        """
        while path != b"/":
            name = path.rpartition(b"/")[2]
            if territory(self.mounts.at(path).type) is not Territory.LOCAL or path in self.own:
                return False
            if self.exclude.reason(path, name) or os.fsdecode(name) in SNAPSHOT_NAMES:
                return False
            path = parent_of(path)
        return True

    def open(self, path: bytes) -> int | None:
        """Open a directory by its plain components to watch it; None if it is none of ours.

        OSError as it comes.
        """
        if not self.inside(path) or not self.is_entered(path):
            return None
        components = [name for name in path.split(b"/") if name]
        if not components:
            return os.dup(self.root_fd)
        return open_beneath(self.root_fd, components, PASS_DIRECTORY)

    def close(self) -> None:
        """Close the root."""
        self.resolver.close()
        os.close(self.root_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def own_directories(config: Config) -> frozenset[bytes]:
    """Return state and identity as paths within the scanned root; the walk stays out of them."""
    root = os.path.realpath(config.scan.root).rstrip(b"/")
    directories = (config.state.directory, config.identity_directory)
    own = [os.fsencode(os.path.realpath(directory)) for directory in directories]
    return frozenset(path[len(root) :] for path in own if path.startswith(root + b"/"))


def _open_root(root: bytes) -> int:
    try:
        return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigurationError(
            f"the directory to scan, {safe_path(root)}, can't be opened: {error.strerror}. "
            "Correct [scan] root in the configuration."
        ) from error
