"""Which RPM package owns a path, in any of the three forms of rpm's database.

Runs in the reader. One pass over the packages' headers for all paths at once; of a package without a wanted
directory only the names of its directories are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from keycensus_agent.context import rpm_berkeley, rpm_ndb, rpm_sqlite
from keycensus_agent.context.root_files import BlobFile, RootFiles
from keycensus_agent.context.rpm_header import files_of
from keycensus_agent.model import Package

# Where distributions keep it; the later ones put a link at the first.
_DIRECTORIES = (b"/var/lib/rpm", b"/usr/lib/sysimage/rpm", b"/usr/share/rpm")
# The newest form first: what a conversion left behind comes after it.
_FORMS: tuple[tuple[bytes, Callable[[BlobFile], Iterator[bytes]]], ...] = (
    (b"rpmdb.sqlite", rpm_sqlite.blobs),
    (b"Packages.db", rpm_ndb.blobs),
    (b"Packages", rpm_berkeley.blobs),
)
DATABASES = tuple(directory + b"/" + name for directory in _DIRECTORIES for name, _ in _FORMS)


class Rpm:
    """The database of one root."""

    def __init__(self, files: RootFiles) -> None:
        self._files = files

    def owners(self, paths: Collection[bytes]) -> dict[bytes, Package]:
        """Return the package of each of `paths` that one owns; DamagedError, OSError."""
        for directory in _DIRECTORIES:
            for name, blobs in _FORMS:
                path = directory + b"/" + name
                facts = self._files.find(path)
                # rpm makes an empty one where it only looked.
                if facts is not None and facts.st_size:
                    return self._look(path, blobs, paths)
        return {}

    def _look(
        self,
        database: bytes,
        blobs: Callable[[BlobFile], Iterator[bytes]],
        paths: Collection[bytes],
    ) -> dict[bytes, Package]:
        names: dict[bytes, set[bytes]] = {}
        for path in paths:
            directory, slash, name = path.rpartition(b"/")
            names.setdefault(directory + slash, set()).add(name)
        wanted = {directory: frozenset(bases) for directory, bases in names.items()}
        found: dict[bytes, Package] = {}
        with self._files.open_file(database) as descriptor:
            for blob in blobs(BlobFile(descriptor)):
                package_files = files_of(blob, wanted)
                if package_files is not None:
                    package, owned = package_files
                    found.update((path, package) for path in owned if path not in found)
        return found
