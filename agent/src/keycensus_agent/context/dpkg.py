"""Which Debian package owns a path: dpkg's database as text, and that of images without dpkg.

Format: dpkg's own dpkg(1), deb-conffiles(5), lib/dpkg/fsys-*.c and db-fsys-divert.c: a list of paths per package
in `info/NAME[:ARCH].list`, diversions as triplets of lines (from, to, package), versions in `status`.
Distroless images have `status.d/NAME` and `status.d/NAME.md5sums` instead.
Runs in the reader. One pass over the lists for all paths at once; nothing of it is kept.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from keycensus_agent.context.root_files import RootFiles, open_regular, read_up_to
from keycensus_agent.model import Package

DIRECTORY = b"/var/lib/dpkg"
_INFO = DIRECTORY + b"/info"
_STATUS = DIRECTORY + b"/status"
_STATUS_PARTS = DIRECTORY + b"/status.d"
_DIVERSIONS = DIRECTORY + b"/diversions"
# A kernel's headers list 3 MB of paths. More packages than this no system has.
_LIST_LIMIT = 64 * 1024 * 1024
_LISTS_LIMIT = 100_000
_STATUS_LIMIT = 256 * 1024 * 1024
# Removed meanwhile, or a link, which dpkg makes none of.
_NO_LIST = frozenset({errno.ENOENT, errno.ELOOP})
_FIELD = re.compile(rb"^(Package|Version|Architecture):[ \t]*(\S+)", re.MULTILINE)
# Marks of what changes when a package comes or goes.
MARKED = (_INFO, _STATUS, _DIVERSIONS, _STATUS_PARTS)


# The name of a package's list, and when it was written: at installation.
_List = tuple[bytes, int]


@dataclass(frozen=True, slots=True)
class _Diversion:
    """The file that other packages ship as `source` lies at `target`, but not that of `package`."""

    source: bytes
    target: bytes
    package: bytes

    def is_by(self, one: _List) -> bool:
        """Whether the package of a list is the one that diverts; the administrator (":") has none."""
        return _bare(one[0]) == self.package


class Dpkg:
    """The database of one root."""

    def __init__(self, files: RootFiles) -> None:
        self._files = files

    def owners(self, paths: Collection[bytes]) -> dict[bytes, Package]:
        """Return the package of each of `paths` that one owns, as dpkg spells them; OSError."""
        diversions = self._diversions()
        by_source = {diversion.source: diversion for diversion in diversions}
        by_target = {diversion.target: diversion for diversion in diversions}
        wanted = set(paths)
        wanted.update(by_target[path].source for path in paths if path in by_target)
        listed: dict[bytes, list[_List]] = {}
        for name, installed_ns, lines in self._lists():
            for path in wanted.intersection(lines):
                listed.setdefault(path, []).append((name, installed_ns))
        found: dict[bytes, _List] = {}
        for path in paths:
            divert = by_target.get(path)
            if divert is not None:
                lists = [one for one in listed.get(divert.source, ()) if not divert.is_by(one)]
            else:
                taker = by_source.get(path)
                lists = [one for one in listed.get(path, ()) if taker is None or taker.is_by(one)]
            if lists:
                found[path] = min(lists)
        versions = self._versions({name for name, _ in found.values()})
        return {
            path: Package("dpkg", _text(_bare(name)), _text(versions.get(name, b"")), installed_ns)
            for path, (name, installed_ns) in found.items()
        }

    def _diversions(self) -> list[_Diversion]:
        try:
            lines = self._files.read(_DIVERSIONS, _LIST_LIMIT).split(b"\n")
        except OSError:
            return []
        return [_Diversion(*lines[at : at + 3]) for at in range(0, len(lines) - len(lines) % 3, 3)]

    def _lists(self) -> Iterator[tuple[bytes, int, list[bytes]]]:
        """Yield each package's name, with its architecture if the list has one, its time and paths."""
        if self._files.find(_INFO) is not None:
            for name, written_ns, data in self._each(_INFO, b".list"):
                yield name, written_ns, data.split(b"\n")
        elif self._files.find(_STATUS_PARTS) is not None:
            for name, written_ns, data in self._each(_STATUS_PARTS, b".md5sums"):
                yield name, written_ns, [b"/" + line[34:] for line in data.split(b"\n")]

    def _each(self, directory: bytes, ending: bytes) -> Iterator[tuple[bytes, int, bytes]]:
        with self._files.open_directory(directory) as descriptor:
            with os.scandir(descriptor) as entries:
                names = sorted(os.fsencode(entry.name) for entry in entries)
            lists = [name for name in names if name.endswith(ending)]
            for name in lists[:_LISTS_LIMIT]:
                try:
                    file = open_regular(descriptor, name)
                except OSError as error:
                    if error.errno not in _NO_LIST:
                        raise
                    continue
                try:
                    written_ns = os.fstat(file).st_mtime_ns
                    yield name[: -len(ending)], written_ns, read_up_to(file, _LIST_LIMIT)
                finally:
                    os.close(file)

    def _versions(self, names: set[bytes]) -> dict[bytes, bytes]:
        """Return the versions of packages, by the names of their lists."""
        versions: dict[bytes, bytes] = {}
        if not names:
            return versions
        for stanza in self._stanzas(names):
            fields = dict(_FIELD.findall(stanza))
            package, version = fields.get(b"Package", b""), fields.get(b"Version", b"")
            versions.setdefault(package, version)
            versions[package + b":" + fields.get(b"Architecture", b"")] = version
        return versions

    def _stanzas(self, names: set[bytes]) -> Iterator[bytes]:
        try:
            status = self._files.read(_STATUS, _STATUS_LIMIT)
        except OSError:
            status = b""
        wanted = {b"Package: " + _bare(name) for name in names}
        for stanza in status.split(b"\n\n"):
            if stanza.lstrip(b"\n").partition(b"\n")[0] in wanted:
                yield stanza
        for name in names if not status else ():
            try:
                yield self._files.read(_STATUS_PARTS + b"/" + name, _LIST_LIMIT)
            except OSError:
                continue


def _bare(name: bytes) -> bytes:
    """Return a package's name without the architecture that its list may have."""
    return name.partition(b":")[0]


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
