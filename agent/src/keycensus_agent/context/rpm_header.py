"""An RPM header as its database keeps it: which files a package has. Pure.

Format: rpm's docs/manual/format_header.md and lib/header.c. A blob is two counts (index entries, data bytes), then
16 bytes per index entry (tag, type, offset, count), then the data; all numbers are big-endian.
File names are split into base names, directory names and, per base name, the number of its directory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping

from keycensus_agent.context.root_files import DamagedError
from keycensus_agent.model import Package

_NAME, _VERSION, _RELEASE, _EPOCH, _INSTALLED = 1000, 1001, 1002, 1003, 1008
_OLD_FILE_NAMES = 1027
_DIRECTORY_NUMBERS, _BASE_NAMES, _DIRECTORY_NAMES = 1116, 1117, 1118
_TAGS = frozenset(
    {
        *(_NAME, _VERSION, _RELEASE, _EPOCH, _INSTALLED, _OLD_FILE_NAMES),
        *(_DIRECTORY_NUMBERS, _BASE_NAMES, _DIRECTORY_NAMES),
    }
)
# rpm's own bounds (lib/header_internal.h): entries of an index, bytes of data.
_ENTRIES_LIMIT = 0xFFFF
_DATA_LIMIT = 0x0FFFFFFF
_ENTRY = struct.Struct(">IIII")


def files_of(
    blob: bytes, wanted: Mapping[bytes, frozenset[bytes]]
) -> tuple[Package, list[bytes]] | None:
    """Return the package of a header and those of its files that are wanted; None if none is.

    `wanted` has base names by directory ("/etc/ssl/"). DamagedError if it is no header.
    """
    header = _Header(blob)
    directories = header.strings(_DIRECTORY_NAMES)
    numbers = [number for number, name in enumerate(directories) if name in wanted]
    if not numbers and not header.has(_OLD_FILE_NAMES):
        return None
    paths = list(_matching(header, directories, frozenset(numbers), wanted))
    return (header.package(), paths) if paths else None


def _matching(
    header: _Header,
    directories: list[bytes],
    numbers: frozenset[int],
    wanted: Mapping[bytes, frozenset[bytes]],
) -> Iterator[bytes]:
    if numbers:
        base_names = header.strings(_BASE_NAMES)
        indexes = header.numbers(_DIRECTORY_NUMBERS)
        for name, number in zip(base_names, indexes, strict=False):
            if number in numbers and name in wanted[directories[number]]:
                yield directories[number] + name
    # Packages of the 1990s, and what was never rebuilt since.
    for path in header.strings(_OLD_FILE_NAMES):
        directory, slash, name = path.rpartition(b"/")
        if name in wanted.get(directory + slash, ()):
            yield path


class _Header:
    def __init__(self, blob: bytes) -> None:
        if len(blob) < 8:
            raise DamagedError("a header is too short")
        entries, size = struct.unpack_from(">II", blob)
        start = 8 + 16 * entries
        if entries > _ENTRIES_LIMIT or size > _DATA_LIMIT or start + size > len(blob):
            raise DamagedError("a header is longer than what holds it")
        self._data = blob[start : start + size]
        self._tags = {
            tag: (offset, count)
            for tag, _, offset, count in _ENTRY.iter_unpack(blob[8:start])
            if tag in _TAGS
        }

    def has(self, tag: int) -> bool:
        """Whether the header has this tag."""
        return tag in self._tags

    def strings(self, tag: int) -> list[bytes]:
        """Return an array of strings; empty if there is none."""
        offset, count = self._tags.get(tag, (0, 0))
        if offset > len(self._data) or count > len(self._data):
            raise DamagedError("a header points outside of itself")
        return self._data[offset:].split(b"\0", count)[:count] if count else []

    def numbers(self, tag: int) -> tuple[int, ...]:
        """Return an array of 32-bit numbers; empty if there is none."""
        offset, count = self._tags.get(tag, (0, 0))
        if offset + 4 * count > len(self._data):
            raise DamagedError("a header points outside of itself")
        return struct.unpack_from(f">{count}I", self._data, offset)

    def package(self) -> Package:
        """Return name and version as rpm spells them, [EPOCH:]VERSION-RELEASE, and when it came."""
        name, version, release = (
            b"".join(self.strings(tag)[:1]) for tag in (_NAME, _VERSION, _RELEASE)
        )
        epoch = b"".join(b"%d:" % number for number in self.numbers(_EPOCH)[:1])
        whole = epoch + version + (b"-" + release if release else b"")
        seconds = sum(self.numbers(_INSTALLED)[:1])
        return Package("rpm", _text(name), _text(whole), seconds * 1_000_000_000)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
