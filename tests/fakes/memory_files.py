"""A root whose files are texts in memory: for readers that are tried with thousands of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from keycensus_agent.context.root_files import RootFiles

# The facts of some file and some directory.
_FILE = Path(__file__).stat()
_DIRECTORY = Path(__file__).parent.stat()


class MemoryFiles(RootFiles):
    """Files by their absolute paths; directories are those that they lie in, and there are no links."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._data = {path.encode("utf-8", "surrogateescape"): data for path, data in files.items()}
        self._inside: dict[bytes, set[bytes]] = {b"/": set()}
        for path in self._data:
            while path != b"/":
                parent, _, name = path.rpartition(b"/")
                path = parent or b"/"  # noqa: PLW2901 - up to the root
                self._inside.setdefault(path, set()).add(name)

    def find(self, path: bytes) -> os.stat_result | None:
        """Return the facts of a file or directory."""
        whole = os.path.normpath(path)
        if whole in self._data:
            return _FILE
        if whole in self._inside:
            return _DIRECTORY
        return None

    def canonical(self, path: bytes) -> bytes:
        """Return the path, if something is there."""
        return os.path.normpath(path) if self.find(path) is not None else b""

    def link_target(self, path: bytes) -> bytes:
        """Return nothing: there are no links."""
        del path
        return b""

    def written_targets(self, directory: bytes) -> dict[bytes, bytes]:
        """Return nothing: there are no links."""
        del directory
        return {}

    def names(self, path: bytes, limit: int) -> list[bytes]:
        """Return the names in a directory."""
        del limit
        if path not in self._inside:
            raise FileNotFoundError(errno.ENOENT, "ENOENT")
        return sorted(self._inside[path])

    def read(self, path: bytes, limit: int) -> bytes:
        """Return a file's bytes."""
        whole = os.path.normpath(path)
        if whole not in self._data:
            raise FileNotFoundError(errno.ENOENT, "ENOENT")
        return self._data[whole][:limit]

    def open_directory(self, path: bytes) -> AbstractContextManager[int]:
        """Refuse: nothing can be opened."""
        raise FileNotFoundError(errno.ENOENT, "ENOENT", path)
