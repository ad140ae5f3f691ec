"""Files of the scanned root by their path, read as the reader reads: no link leads out, nothing blocks.

Runs in the reader. Databases of a foreign root are a stranger's files: what is opened is a regular
file, of bounded size, and never on a network file system.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice

from keycensus_agent.reader.discovery.links import OPEN_DIRECTORY, Resolved, Resolver

_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class DamagedError(Exception):
    """A database does not say what its format would have it say; the text says what is wrong."""


class BlobFile:
    """One open file that is read by offsets. `size` is what it had when it was opened."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        # Each byte of a sound database belongs to one blob; a damaged one may name it a thousand times.
        self._left = 2 * self.size + 65536

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly `length` bytes; DamagedError if they are not there, OSError as it comes."""
        if length > self._left:
            raise DamagedError("it names its bytes too often")
        self._left -= length
        data = os.pread(self._descriptor, length, offset) if length else b""
        if len(data) != length:
            raise DamagedError("it ends too early")
        return data


class RootFiles:
    """The files of one root, whose open descriptor and resolver these are."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def find(self, path: bytes) -> os.stat_result | None:
        """Return what is known of the file or directory that `path` leads to; None if nothing is."""
        found = self._resolver.resolve(path)
        return found.facts if isinstance(found, Resolved) else None

    def link_target(self, path: bytes) -> bytes:
        """Return where `path` ends if it is a link that leads somewhere; else b""."""
        end = self._resolver.resolve(path, follow_last=False)
        if not isinstance(end, Resolved) or not stat.S_ISLNK(end.facts.st_mode):
            return b""
        found = self._resolver.resolve(path)
        return found.path if isinstance(found, Resolved) else b""

    def open_file(self, path: bytes) -> AbstractContextManager[int]:
        """Open a regular file for reading; OSError if it is none, or is not there."""
        return self._open(path, open_regular)

    def open_directory(self, path: bytes) -> AbstractContextManager[int]:
        """Open a directory, to list it and to open files in it; OSError if it is none."""
        return self._open(path, _open_directory)

    @contextmanager
    def _open(self, path: bytes, open_in: Callable[[int, bytes], int]) -> Iterator[int]:
        """Open what `path` leads to by `open_in`, given its parent's descriptor and its name there."""
        found = self._resolver.resolve(path)
        if not isinstance(found, Resolved):
            raise FileNotFoundError(errno.ENOENT, found.reason)
        parent = self._resolver.open_parent(found.path)
        try:
            # The root itself has no name in a parent.
            descriptor = open_in(parent, found.path.rpartition(b"/")[2] or b".")
        finally:
            os.close(parent)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def canonical(self, path: bytes) -> bytes:
        """Return the name that a walk knows `path` by: links followed up to its directory only.

        b"" if nothing is there, or out of reach.
        """
        end = self._resolver.resolve(path, follow_last=False)
        return end.path if isinstance(end, Resolved) else b""

    def names(self, path: bytes, limit: int) -> list[bytes]:
        """Return the names in a directory, sorted; OSError, also if it has more than `limit`."""
        with self.open_directory(path) as descriptor, os.scandir(descriptor) as entries:
            names = [os.fsencode(entry.name) for entry in islice(entries, limit + 1)]
        if len(names) > limit:
            raise OSError(errno.E2BIG, f"a directory of more than {limit} names")
        return sorted(names)

    def written_targets(self, directory: bytes) -> dict[bytes, bytes]:
        """Return what is written in each link of a directory, wherever that leads; OSError."""
        found = {}
        with self.open_directory(directory) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                if entry.is_symlink():
                    name = os.fsencode(entry.name)
                    found[name] = os.readlink(name, dir_fd=descriptor)
        return found

    def read(self, path: bytes, limit: int) -> bytes:
        """Return a file's first `limit` bytes; OSError."""
        with self.open_file(path) as descriptor:
            return read_up_to(descriptor, limit)


def open_regular(directory: int, name: str | bytes) -> int:
    """Open a name of an open directory; OSError, also if it is a link or no regular file."""
    descriptor = os.open(name, _OPEN_FILE, dir_fd=directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(errno.ENOENT, "no regular file", name)
    return descriptor


def _open_directory(directory: int, name: bytes) -> int:
    return os.open(name, OPEN_DIRECTORY, dir_fd=directory)


def read_up_to(descriptor: int, limit: int) -> bytes:
    """Return the bytes of an open file up to `limit`; OSError."""
    size = min(os.fstat(descriptor).st_size, limit)
    pieces: list[bytes] = []
    while size > 0:
        piece = os.read(descriptor, size)
        if not piece:
            break
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
