"""Bytes of an archive's members, read front to back, plain or decompressed, a piece at a time.

Parser side, pure. A stream never raises for what its bytes are: damage ends it, and `problem` says so
afterwards, so that what came before the damage is used.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol

from keycensus_agent.parser.archive.effort import Effort

# What is taken from below at a time: a few pages, so that small members cost no more.
_PIECE = 16 * 1024
# xz -8 needs 33 MiB and -9 65 MiB. Of a larger window only as much may come out as fits into memory:
# pages that nothing was written to cost none.
_XZ_MEMORY = 36 * 1024 * 1024
_XZ_MEMORY_LARGE = 72 * 1024 * 1024
_LARGE_WINDOW_OUTPUT = 24 * 1024 * 1024


class Source(Protocol):
    """Bytes that can be read anywhere."""

    @property
    def size(self) -> int:
        """How many bytes there are."""
        ...

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the bytes there; fewer only at the end."""
        ...


class BytesSource:
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return len(self._data)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the bytes there; fewer only at the end."""
        return self._data[offset : offset + size]


class Window:
    """A part of another source: a member that is stored as it is."""

    def __init__(self, source: Source, start: int, size: int) -> None:
        self._source = source
        self._start = start
        self._size = max(0, min(size, source.size - start))

    @property
    def size(self) -> int:
        """How many bytes there are."""
        return self._size

    def read_at(self, offset: int, size: int) -> bytes:
        """Return the bytes there; fewer only at the end."""
        return self._source.read_at(self._start + offset, max(0, min(size, self._size - offset)))


class Stream(ABC):
    """Bytes to be read once, from the front. `problem` is "" until damage ends it."""

    def __init__(self) -> None:
        # Where the same bytes can be read anywhere, from their beginning.
        self.source: Source | None = None
        self.problem = ""
        self._ahead = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes; fewer only at the end."""
        ahead = self._ahead
        if self._at + size <= len(ahead):
            self._at += size
            return ahead[self._at - size : self._at]
        pieces = [ahead[self._at :]]
        missing = size - len(pieces[0])
        self._ahead, self._at = b"", 0
        while missing > 0:
            piece = self._more(missing)
            if not piece:
                break
            if len(piece) > missing:
                self._ahead, self._at = piece, missing
                piece = piece[:missing]
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)

    def unread(self, data: bytes) -> None:
        """Put bytes back in front."""
        self._ahead, self._at = data + self._ahead[self._at :], 0

    def skip(self, size: int) -> bool:
        """Pass over bytes; false if there were fewer."""
        while size > 0:
            passed = len(self.read(min(size, 4 * _PIECE)))
            if not passed:
                return False
            size -= passed
        return True

    def piece(self) -> bytes:
        """Return some next bytes, as many as come at once; none at the end."""
        ahead = len(self._ahead) - self._at
        return self.read(min(ahead, _PIECE)) if ahead else self._more(_PIECE)

    @abstractmethod
    def _more(self, wanted: int) -> bytes:
        """Return some bytes, perhaps more or fewer than wanted; none at the end."""


class Plain(Stream):
    """A source from its beginning to its end."""

    def __init__(self, source: Source) -> None:
        super().__init__()
        self.source = self.whole = source
        self._position = 0

    @property
    def position(self) -> int:
        """Where the next byte stands."""
        return self._position - len(self._ahead) + self._at

    def skip(self, size: int) -> bool:
        """Pass over bytes without reading them; false if there were fewer."""
        ahead = len(self._ahead) - self._at
        if size <= ahead:
            self._at += size
            return True
        self._ahead, self._at = b"", 0
        self._position += size - ahead
        return self._position <= self.whole.size

    def _more(self, wanted: int) -> bytes:
        data = self.whole.read_at(self._position, max(wanted, _PIECE))
        self._position += len(data)
        return data


class Part(Stream):
    """So many bytes of another stream, which goes on behind them."""

    def __init__(self, below: Stream, size: int) -> None:
        super().__init__()
        self._below = below
        self.left = size
        if isinstance(below, Plain):
            self.source = Window(below.whole, below.position, size)

    def skip(self, size: int) -> bool:
        """Pass over bytes; false if there were fewer."""
        ahead = min(size, len(self._ahead) - self._at)
        self._at += ahead
        wanted = min(size - ahead, self.left)
        self.left -= wanted
        return self._below.skip(wanted) and wanted == size - ahead

    def finish(self) -> bool:
        """Pass over what was not read; false if the bytes end before it does."""
        left, self.left = self.left, 0
        return self._below.skip(left)

    def _more(self, wanted: int) -> bytes:
        data = self._below.read(min(wanted, self.left))
        self.left -= len(data)
        if not data and self.left:
            self.left = 0
            self.problem = "truncated"
        return data


class Decompressor(Protocol):
    """One run of compressed bytes, of which as much comes out as is asked for."""

    @property
    def eof(self) -> bool:
        """Whether the end was reached."""
        ...

    @property
    def needs_input(self) -> bool:
        """Whether nothing comes out without more bytes."""
        ...

    @property
    def unused_data(self) -> bytes:
        """What stood behind the end."""
        ...

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take in bytes, and return at most so many."""
        ...


class Inflate:
    """Raw deflate (RFC 1951) with the interface of the other two."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(-zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        """Whether the end was reached."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What stood behind the end."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take in bytes, and return at most so many."""
        out = self._inner.decompress(self._inner.unconsumed_tail + data, max_length)
        self.needs_input = not self._inner.unconsumed_tail and len(out) < max_length
        return out


class Xz:
    """One xz stream, held to a bound of memory whatever window it asks for."""

    def __init__(self) -> None:
        self._inner = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        # The beginning, to be fed again if the first window turns out to be a large one.
        self._beginning: bytes | None = b""
        self._left: int | None = None

    @property
    def eof(self) -> bool:
        """Whether the end was reached."""
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing comes out without more bytes."""
        return self._inner.needs_input

    @property
    def unused_data(self) -> bytes:
        """What stood behind the end."""
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Take in bytes, and return at most so many. MemoryLimitError if it needs too much."""
        if self._beginning is not None:
            self._beginning += data
        try:
            out = self._inner.decompress(data, max_length)
        except lzma.LZMAError as error:
            if not is_memory_limit(error) or self._beginning is None:
                raise
            self._inner = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_LARGE)
            self._left = _LARGE_WINDOW_OUTPUT
            fed, self._beginning = self._beginning, None
            out = self._inner.decompress(fed, max_length)
        if out or (self._beginning and len(self._beginning) > _PIECE):
            self._beginning = None
        if self._left is not None:
            self._left -= len(out)
            if self._left < 0:
                raise MemoryLimitError
        return out


def is_memory_limit(error: Exception) -> bool:
    """Tell the one error of lzma that is no damage; it has no type of its own."""
    return isinstance(error, lzma.LZMAError) and "emory" in str(error)


class MemoryLimitError(Exception):
    """Decompression would take too much memory."""


# What the modules of compression raise at damage. zlib.error is no OSError.
_DAMAGE = (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError)


class Decompressed(Stream):
    """What comes out of a compressed stream; what stands behind its end is put back below."""

    def __init__(self, below: Stream, make: Callable[[], Decompressor], effort: Effort) -> None:
        super().__init__()
        self._below = below
        self._inner = make()
        self._effort = effort
        self._ended = False

    def finish(self) -> bool:
        """Read to the end; false if it is damaged."""
        while self._more(4 * _PIECE):
            pass
        return not self.problem

    def _more(self, wanted: int) -> bytes:
        while not self._ended:
            fed = b""
            if self._inner.needs_input:
                fed = self._below.piece()
                if not fed:
                    self._end("truncated")
                    break
            out = self._decompress(fed, wanted)
            if self._inner.eof and not self.problem:
                self._end("")
            if out:
                self._effort.take_bytes(len(out))
                return out
        return b""

    def _decompress(self, fed: bytes, wanted: int) -> bytes:
        try:
            return self._inner.decompress(fed, max(wanted, 512))
        except MemoryLimitError:
            self._end("limit-memory")
        except _DAMAGE as error:
            self._end("limit-memory" if is_memory_limit(error) else "malformed")
        return b""

    def _end(self, problem: str) -> None:
        self._ended = True
        self.problem = problem
        if not problem and self._inner.unused_data:
            self._below.unread(self._inner.unused_data)


def bzip2() -> Decompressor:
    """Return a decompressor of one bzip2 stream."""
    return bz2.BZ2Decompressor()
