"""Single compressed files: gzip, bzip2, xz, and zstd where the running Python has it.

Parser side, pure. Several streams one after another are one file, as their tools have it. Checksums and
lengths behind the data are not looked at: what came out is there. Sources: RFC 1952, RFC 8878, the
descriptions of bzip2 and of xz (The .xz File Format 1.2).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from keycensus_agent.parser.archive.effort import Effort
from keycensus_agent.parser.archive.member import Member, Members, Opened
from keycensus_agent.parser.archive.streams import (
    Decompressed,
    Decompressor,
    Inflate,
    Stream,
    Xz,
    bzip2,
)

# Of the fields of a gzip header; honest names have under 256 bytes.
_HEADER_FIELD_BYTES = 64 * 1024
# Between two streams of xz, and frames that carry nothing before one of zstd: what is honest has few.
_PADDING_BYTES = 64 * 1024
_SKIPPABLE_FRAMES = 1024
_EXTRA, _NAME, _COMMENT, _HEADER_CRC = 4, 8, 16, 2
# zstd: the largest window that is read, as a power of two: 16 MiB. Its tool takes 8 MiB unless asked.
_ZSTD_WINDOW_LOG = 24
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = range(0x184D2A50, 0x184D2A60)


@dataclass(frozen=True, slots=True)
class Compression:
    """One scheme: `begin` reads up to the data of a stream, or says that none follows."""

    begin: Callable[[Stream], bool]
    make: Callable[[], Decompressor]
    end: Callable[[Stream], object] = lambda _: None


class _Unpacked(Stream):
    """What comes out of all the streams of a compressed file."""

    def __init__(self, below: Stream, compression: Compression, effort: Effort) -> None:
        super().__init__()
        self._below = below
        self._compression = compression
        self._effort = effort
        self._current: Decompressed | None = None
        self._ended = False

    def _more(self, wanted: int) -> bytes:
        del wanted
        while not self._ended:
            # Streams may be empty, and any number of them.
            self._effort.take_bytes(0)
            if self._current is None:
                if not self._compression.begin(self._below):
                    self._ended = True
                    break
                self._current = Decompressed(self._below, self._compression.make, self._effort)
            piece = self._current.piece()
            if piece:
                return piece
            self.problem = self._current.problem
            self._ended = bool(self.problem)
            self._compression.end(self._below)
            self._current = None
        return b""


def members(opened: Opened, compression: Compression) -> Members:
    """Yield the one file that was compressed; it has no name of its own."""
    yield Member(b"", _Unpacked(opened.stream, compression, opened.effort))


def _follows(below: Stream, magic: bytes) -> bool:
    head = below.read(len(magic))
    below.unread(head)
    return head == magic


def _begin_gzip(below: Stream) -> bool:
    head = below.read(10)
    if head[:3] != b"\x1f\x8b\x08" or len(head) < 10:
        return False
    flags = head[3]
    if flags & _EXTRA:
        below.skip(int.from_bytes(below.read(2), "little"))
    for field in (_NAME, _COMMENT):
        if flags & field and not _skip_text(below):
            return False
    return not flags & _HEADER_CRC or below.skip(2)


def _skip_text(below: Stream) -> bool:
    """Pass over text that ends with NUL."""
    field = below.read(_HEADER_FIELD_BYTES)
    end = field.find(b"\0") + 1
    below.unread(field[end:])
    return end > 0


def _begin_xz(below: Stream) -> bool:
    # Between streams there may be padding, in fours.
    padding = below.read(_PADDING_BYTES)
    below.unread(padding.lstrip(b"\0"))
    return _follows(below, b"\xfd7zXZ\0")


def _begin_zstd(below: Stream) -> bool:
    for _ in range(_SKIPPABLE_FRAMES):
        head = below.read(4)
        if int.from_bytes(head, "little") not in _ZSTD_SKIPPABLE:
            below.unread(head)
            return head == _ZSTD_MAGIC
        if not below.skip(int.from_bytes(below.read(4), "little")):
            break
    return False


def _zstd() -> Callable[[], Decompressor] | None:
    """Return what makes a decompressor of one frame; None before Python 3.14."""
    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        return None
    options = {module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    return lambda: cast("Decompressor", module.ZstdDecompressor(options=options))


GZIP = Compression(_begin_gzip, Inflate, lambda below: below.skip(8))
BZIP2 = Compression(lambda below: _follows(below, b"BZh"), bzip2)
XZ = Compression(_begin_xz, Xz)
_MAKE_ZSTD = _zstd()
ZSTD = Compression(_begin_zstd, _MAKE_ZSTD) if _MAKE_ZSTD else None
