"""tar: ustar, GNU and pax, read front to back.

Parser side, pure. A header is one if its checksum says so. Sparse files are read as they are stored,
without their holes. Sources: POSIX.1-2017 pax "ustar Interchange Format" and "pax Extended Header",
GNU tar's manual, "Basic Tar Format".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from keycensus_agent.parser.archive.member import (
    NAME_BYTES,
    Damage,
    Member,
    Members,
    Opened,
)
from keycensus_agent.parser.archive.streams import Part, Stream

_BLOCK = 512
_REGULAR = frozenset((b"0", b"\0", b"7", b"S"))
# Extended headers are read up to here; honest ones have a few hundred bytes.
_EXTENDED_BYTES = 64 * 1024
# Two blocks of zeros end an archive; joined archives go on behind them, and tapes are padded.
_ZERO_BLOCKS = 64
# A block of a sparse file's map has 21 rows.
_SPARSE_BLOCKS = 10_000
_SPARSE_MORE = 482
_SPARSE_BLOCK_MORE = 504


@dataclass(slots=True)
class _Extended:
    """What extended headers say of the next member."""

    name: bytes = b""
    size: int = -1


class _DamagedError(ValueError):
    """The header is none."""


def members(opened: Opened) -> Members:
    """Yield the regular files, and what is damaged."""
    extended = _Extended()
    for block in _blocks(opened):
        if isinstance(block, Damage):
            yield block
            return
        try:
            name, size, kind = _header(block)
        except _DamagedError:
            yield Damage("malformed-tar")
            return
        if kind in _EXTENDING:
            whole = _extend(extended, kind, size, opened.stream)
        else:
            name = extended.name or name
            size = extended.size if extended.size >= 0 else size
            extended = _Extended()
            if kind == b"S" and block[_SPARSE_MORE]:
                _skip_sparse_map(opened.stream)
            body = Part(opened.stream, size)
            if kind in _REGULAR and name[-1:] != b"/":
                yield from _regular(name, size, body, opened)
            whole = body.finish() and opened.stream.skip(-size % _BLOCK)
        if not whole:
            yield Damage(opened.stream.problem or "truncated")
            return


def _blocks(opened: Opened) -> Iterator[bytes | Damage]:
    """Yield the blocks that should be headers; after the end, what is none ends it."""
    stream = opened.stream
    zeros = 0
    while zeros <= _ZERO_BLOCKS:
        block = stream.read(_BLOCK)
        opened.effort.take_members(1)
        blank = not block.strip(b"\0")
        if len(block) < _BLOCK:
            if stream.problem or not blank:
                yield Damage(stream.problem or "truncated")
            return
        if blank:
            zeros += 1
            continue
        # Behind its end anything may follow.
        if zeros and not is_header(block):
            return
        zeros = 0
        yield block


def _regular(name: bytes, size: int, body: Part, opened: Opened) -> Members:
    if not opened.selection.takes(name):
        opened.count_passed(1)
    else:
        yield Member(name[:NAME_BYTES], body, size)


def _extend(extended: _Extended, kind: bytes, size: int, stream: Stream) -> bool:
    """Read an extended header of the next member; false if the bytes end before it does."""
    data = stream.read(min(size, _EXTENDED_BYTES))
    _EXTENDING[kind](extended, data)
    return stream.skip(size - len(data) + -size % _BLOCK)


def is_header(block: bytes) -> bool:
    """Tell whether a block starts a tar archive."""
    try:
        _header(block[:_BLOCK])
    except _DamagedError:
        return False
    return True


def _header(block: bytes) -> tuple[bytes, int, bytes]:
    """Return name, size and type of a member."""
    if len(block) < _BLOCK:
        raise _DamagedError
    written = _number(block[148:156])
    # Some old writers summed signed bytes; the field itself counts as blanks.
    total = sum(block) - sum(block[148:156]) + 256
    if written not in (total, total - 256 * sum(byte > 127 for byte in block)):
        raise _DamagedError
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0":
        prefix = block[345:500].partition(b"\0")[0]
        name = prefix + b"/" + name if prefix else name
    kind = block[156:157]
    size = _number(block[124:136])
    # Links, directories and devices have no bytes, whatever the field says.
    return name, 0 if kind in b"123456" and kind != b"\0" else size, kind


def _number(field: bytes) -> int:
    """Read octal digits, or GNU's base 256; negative numbers are damage."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b"\0 ")
    if not digits:
        return 0
    if digits.translate(None, b"01234567"):
        raise _DamagedError
    return int(digits, 8)


def _skip_sparse_map(stream: Stream) -> None:
    for _ in range(_SPARSE_BLOCKS):
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK or not block[_SPARSE_BLOCK_MORE]:
            return


def _long_name(extended: _Extended, data: bytes) -> None:
    extended.name = data.partition(b"\0")[0]


def _pax(extended: _Extended, data: bytes) -> None:
    """Read records: their length, a blank, key, "=", value, a line end."""
    position = 0
    while position < len(data):
        digits, blank, _ = data[position : position + 20].partition(b" ")
        if not (blank and digits.isdigit()) or int(digits) <= len(digits):
            return
        record = data[position + len(digits) + 1 : position + int(digits)]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if key in (b"path", b"GNU.sparse.name"):
            extended.name = value
        elif key == b"size" and value.isdigit() and len(value) < 20:
            extended.size = int(value)
        position += int(digits)


def _ignore(extended: _Extended, data: bytes) -> None:
    """Pass over a long link name, or what is said of all members."""


_EXTENDING = {b"L": _long_name, b"x": _pax, b"X": _pax, b"K": _ignore, b"g": _ignore}
