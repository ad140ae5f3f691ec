"""tar: ustar, GNU and pax, read front to back.

Parser side, pure. A header is one if its checksum says so. Sparse files are read as they are stored,
without their holes. Sources: POSIX.1-2017 pax "ustar Interchange Format" and "pax Extended Header",
GNU tar's manual, "Basic Tar Format".
"""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_agent.parser.archive.member import (
    NAME_BYTES,
    Damage,
    Member,
    Members,
    Opened,
    suffix_of,
)
from keycensus_agent.parser.archive.streams import Part, Stream

_BLOCK = 512
_REGULAR = frozenset((b"0", b"\0", b"7", b"S"))
# Extended headers are read up to here; honest ones have a few hundred bytes.
_EXTENDED_BYTES = 64 * 1024
# Two blocks of zeros end an archive; joined archives go on behind them, and tapes are padded.
_ZERO_BLOCKS = 64
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
    stream = opened.stream
    extended = _Extended()
    zeros = 0
    while True:
        block = stream.read(_BLOCK)
        opened.effort.take_members(1)
        if len(block) < _BLOCK:
            if block.strip(b"\0"):
                yield Damage("truncated")
            elif stream.problem:
                yield Damage(stream.problem)
            return
        if not block.strip(b"\0"):
            zeros += 1
            if zeros > _ZERO_BLOCKS:
                return
            continue
        try:
            name, size, kind = _header(block)
        except _DamagedError:
            # Behind its end anything may follow.
            if not zeros:
                yield Damage("malformed-tar")
            return
        zeros = 0
        if kind in _EXTENDING:
            _EXTENDING[kind](extended, stream.read(min(size, _EXTENDED_BYTES)))
            left = max(0, size - _EXTENDED_BYTES) + -size % _BLOCK
            if not stream.skip(left):
                yield Damage("truncated")
                return
            continue
        name, size = extended.name or name, extended.size if extended.size >= 0 else size
        extended = _Extended()
        if kind == b"S" and block[_SPARSE_MORE]:
            _skip_sparse_map(stream)
        body = Part(stream, size)
        if kind in _REGULAR and not name.endswith(b"/"):
            if suffix_of(name) in opened.passed_over:
                opened.count_passed(1)
            else:
                yield Member(name[:NAME_BYTES], body, size)
        if not (body.finish() and stream.skip(-size % _BLOCK)):
            yield Damage(stream.problem or "truncated")
            return


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
    while len(block := stream.read(_BLOCK)) == _BLOCK and block[_SPARSE_BLOCK_MORE]:
        pass


def _long_name(extended: _Extended, data: bytes) -> None:
    extended.name = data.partition(b"\0")[0]


def _pax(extended: _Extended, data: bytes) -> None:
    """Read records of the form "LENGTH KEY=VALUE\\n"."""
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
