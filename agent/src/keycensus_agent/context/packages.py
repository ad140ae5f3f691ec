"""Which package owns a path, by whichever databases the root has: dpkg, rpm, apk.

Runs in the reader. All paths are looked up at once, after a walk: one pass over the databases costs less than an
index of every file of every package, in time and in memory, and nothing of it stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from keycensus_agent.context import apk, dpkg, rpm
from keycensus_agent.context.root_files import DamagedError, RootFiles
from keycensus_agent.model import Package
from keycensus_agent.reader.discovery.links import Resolver

# Directories of a merged /usr that packages may still name by their old path.
_MERGED = (b"/bin", b"/sbin", b"/lib", b"/lib32", b"/lib64", b"/libx32", b"/libo32")
# Characters that a row may have in a word (protos/README.md); only a database made to hurt has more.
_TEXT_LIMIT = 256


@dataclass(frozen=True, slots=True)
class Owners:
    """Packages by path; `unread` names databases that are there and could not be read."""

    by_path: dict[bytes, Package] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


class PackageDatabases:
    """The package databases of one root, which `resolver` resolves paths of."""

    def __init__(self, resolver: Resolver) -> None:
        self._files = RootFiles(resolver)

    def owners(self, paths: Collection[bytes]) -> Owners:
        """Return the owners of canonical paths of files or links; never raises for the databases."""
        spellings = self._spellings(paths)
        found: dict[bytes, Package] = {}
        unread: list[str] = []
        databases: tuple[tuple[str, Callable[[Collection[bytes]], dict[bytes, Package]]], ...] = (
            ("dpkg", dpkg.Dpkg(self._files).owners),
            ("rpm", rpm.Rpm(self._files).owners),
            ("apk", apk.Apk(self._files).owners),
        )
        for name, look in databases:
            missing = [spelled for spelled, path in spellings.items() if path not in found]
            if not missing:
                break
            try:
                owned = look(missing)
            except (OSError, DamagedError):
                unread.append(name)
                continue
            for spelled in missing:
                if spelled in owned and _is_sound(owned[spelled]):
                    found.setdefault(spellings[spelled], owned[spelled])
        return Owners(found, tuple(unread))

    def mark(self) -> bytes:
        """Return what differs when a package came or went: files' identities, hashed."""
        marks = hashlib.sha256()
        for path in (*dpkg.MARKED, *rpm.DATABASES, *apk.DATABASES):
            facts = self._files.find(path)
            if facts is not None:
                marks.update(
                    b"%b %d %d %d\n" % (path, facts.st_ino, facts.st_ctime_ns, facts.st_size)
                )
        return marks.digest()

    def _spellings(self, paths: Collection[bytes]) -> dict[bytes, bytes]:
        """Return every path that a package may name a file by, with the path it stands for."""
        aliases = [
            (target + b"/", old + b"/")
            for old in _MERGED
            if (target := self._files.link_target(old)) == b"/usr" + old
        ]
        spellings = {path: path for path in paths}
        for target, old in aliases:
            for path in paths:
                if path.startswith(target):
                    spellings[old + path[len(target) :]] = path
        return spellings


def _is_sound(package: Package) -> bool:
    """Whether name and version are such that a collector takes them."""
    return max(len(package.name), len(package.version)) <= _TEXT_LIMIT
