"""Follow symbolic links by hand, so that they end within the scanned root and on safe ground.

Runs in the reader. The kernel would follow a link out of `--root`, into an automount, or onto a
file server that is away; here each component is looked at before the next is touched.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from keycensus_agent.reader.discovery.mounts import MountTable, Territory, territory
from keycensus_agent.reader.whereabouts import HERE

# The kernel's own bound (path_resolution(7)).
LINK_LIMIT = 40
# Longer than any path that a system call takes; a chain of links can build more.
COMPONENT_LIMIT = 4096

# To pass through a directory: that needs the right to search it, not to list it.
PASS_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# To list it.
OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


@dataclass(frozen=True, slots=True)
class Resolved:
    """Where a path leads: `path` is canonical within the root, `facts` are the file's own."""

    path: bytes
    facts: os.stat_result


@dataclass(frozen=True, slots=True)
class Unresolved:
    """Why a path leads nowhere that may be read.

    `reason` is an errno name ("ENOENT", "ELOOP", "EACCES"), "pseudo-file-system",
    "network-file-system" or "automount"; `path` is the component at which it was found.
    """

    path: bytes
    reason: str


class Resolver:
    """Resolves paths within one root directory, given as an open descriptor that stays open.

    `network` allows network file systems, as for the walk.
    """

    def __init__(self, root_fd: int, mounts: MountTable, *, network: bool = False) -> None:
        self._root_fd = root_fd
        self._mounts = mounts
        self._network = network

    def resolve(self, path: bytes, *, follow_last: bool = True) -> Resolved | Unresolved:
        """Follow the absolute `path` within the root, links and all; never raises OSError.

        With `follow_last` false a link as the last component is the answer, not followed.
        """
        trail = _Trail(self._root_fd)
        pending = _components(path)
        links = 0
        HERE.at = (path, "")
        try:
            while pending:
                name = pending.pop()
                if name == b"..":
                    trail.back()
                    continue
                here = trail.path_of(name)
                refusal = self._refusal(here)
                if refusal:
                    return Unresolved(here, refusal)
                facts = os.stat(name, dir_fd=trail.descriptor, follow_symlinks=False)
                if stat.S_ISLNK(facts.st_mode) and (pending or follow_last):
                    links += 1
                    if links > LINK_LIMIT:
                        return Unresolved(here, "ELOOP")
                    target = os.readlink(name, dir_fd=trail.descriptor)
                    if target.startswith(b"/"):
                        trail.restart()
                    pending += _components(target)
                elif pending:
                    trail.enter(name)
                else:
                    return Resolved(here, facts)
            return Resolved(trail.path, os.fstat(trail.descriptor))
        except OSError as error:
            return Unresolved(trail.path, errno_name(error))
        finally:
            HERE.at = None
            trail.close()

    def is_scoped(self, directory: bytes) -> bool:  # noqa: ARG002 - others have scopes
        """Whether links in a directory are meant from another root than the kernel's."""
        return False

    def _refusal(self, path: bytes) -> str:
        if path not in self._mounts.points:
            return ""
        ground = territory(self._mounts.at(path).type)
        if ground is Territory.PSEUDO and not self._mounts.islands(path):
            return "pseudo-file-system"
        if ground is Territory.AUTOMATIC:
            return "automount"
        return "network-file-system" if ground is Territory.NETWORK and not self._network else ""

    def open_parent(self, path: bytes) -> int:
        """Pass to the directory that the canonical `path` lies in; OSError if a component changed.

        The descriptor serves to open names in it, not to list it.
        """
        components = [name for name in path.split(b"/") if name][:-1]
        return open_beneath(self._root_fd, components, PASS_DIRECTORY)


class _Trail:
    """The directory reached so far: its components, and a descriptor of it that is ours to close."""

    def __init__(self, root_fd: int) -> None:
        self._root_fd = root_fd
        self._components: list[bytes] = []
        self.descriptor = os.dup(root_fd)

    @property
    def path(self) -> bytes:
        return b"/" + b"/".join(self._components)

    def path_of(self, name: bytes) -> bytes:
        return self.path.rstrip(b"/") + b"/" + name

    def enter(self, name: bytes) -> None:
        if len(self._components) >= COMPONENT_LIMIT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        self._swap(os.open(name, PASS_DIRECTORY, dir_fd=self.descriptor))
        self._components.append(name)

    def back(self) -> None:
        self._swap(open_beneath(self._root_fd, self._components[:-1], PASS_DIRECTORY))
        del self._components[-1:]

    def restart(self) -> None:
        self._swap(os.dup(self._root_fd))
        self._components.clear()

    def close(self) -> None:
        os.close(self.descriptor)

    def _swap(self, descriptor: int) -> None:
        os.close(self.descriptor)
        self.descriptor = descriptor


def open_beneath(root_fd: int, components: list[bytes], flags: int = OPEN_DIRECTORY) -> int:
    """Open the directory of these plain components below `root_fd`, following no link; OSError.

    Only the last one is opened with `flags`; the others are passed through.
    """
    descriptor = os.dup(root_fd)
    for number, name in enumerate(components, start=1):
        how = flags if number == len(components) else PASS_DIRECTORY
        try:
            entered = os.open(name, how, dir_fd=descriptor)
        finally:
            os.close(descriptor)
        descriptor = entered
    return descriptor


def kernels_target(path: bytes) -> bytes:
    """Return where the kernel says that the absolute `path` ends, links and all; empty if it can't.

    Three system calls whatever the depth, but only for paths of the running system that can lead
    nowhere that hangs (proc(5), /proc/PID/fd).
    """
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        target = os.readlink(b"/proc/self/fd/%d" % descriptor)  # noqa: PTH115 - thousands of times
    except OSError:
        return b""
    finally:
        os.close(descriptor)
    return target if target.startswith(b"/") and not target.endswith(b" (deleted)") else b""


def errno_name(error: OSError) -> str:
    """Return the stable word for an error of the scanned host: "EACCES"; "EIO" if it has none."""
    return errno.errorcode.get(error.errno or 0, "EIO")


def _components(path: bytes) -> list[bytes]:
    """Split into components, last first, so that they can be popped."""
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]
