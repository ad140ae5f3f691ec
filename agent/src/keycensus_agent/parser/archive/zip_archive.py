"""zip, and what is one by another name: jar, war, ear, apk, wheels, office documents, jmod.

Parser side, pure. Where bytes can be read anywhere, the central directory tells what there is, as it
does for those who use the archive; what stands before the first member (a script, a program) is passed
over. Without one (cut off, damaged, inside a compressed archive) the local headers are read front to
back. Source: PKWARE's APPNOTE.TXT 6.3.10; the central directory's place follows from its end, as Info-ZIP
and Java have it.
"""

from __future__ import annotations

import lzma
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from keycensus_agent.parser.archive.compressed import ZSTD
from keycensus_agent.parser.archive.member import (
    NAME_BYTES,
    UNKNOWN_SIZE,
    Damage,
    Member,
    Members,
    Opened,
)
from keycensus_agent.parser.archive.streams import (
    Decompressed,
    Decompressor,
    Inflate,
    Part,
    Plain,
    Source,
    Stream,
    Window,
    Xz,
    bzip2,
)

LOCAL_MAGIC = b"PK\x03\x04"
_CENTRAL_MAGIC = b"PK\x01\x02"
_END_MAGIC = b"PK\x05\x06"
_SIGNATURE_MAGIC = b"PK\x05\x05"
_DESCRIPTOR_MAGIC = b"PK\x07\x08"
_LOCAL = struct.Struct("<4s5HIIIHH")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LENGTHS = struct.Struct("<3H")
_LOCAL_LENGTHS = struct.Struct("<2H")
_END = struct.Struct("<4s4H2IH")
_END_64_LOCATOR = struct.Struct("<4sIQI")
_END_64 = struct.Struct("<4sQ2H2I4Q")
# The comment behind the end of the central directory has at most 65,535 bytes.
_TAIL_BYTES = _END.size + 0xFFFF
_SHORT_TAIL_BYTES = 1024
_ENCRYPTED, _DESCRIPTOR_FOLLOWS = 1, 8
_EXTRA_64 = 1
_IN_EXTRA = 0xFFFFFFFF
# A local header without the signature of its data's compression is looked for this far in.
_FIRST_MEMBER_BYTES = 1024 * 1024
# The directory is read in pieces; a record may have up to 192 KiB.
_DIRECTORY_PIECE = 1024 * 1024
# Of a larger window only this much is kept: what refers further back is damage.
_LZMA_WINDOW = 16 * 1024 * 1024
# So many names (as a power of two) that hold nothing count as one member: they cost next to nothing.
_PASSED_FOR_ONE = 6
_PASSED_MASK = (1 << _PASSED_FOR_ONE) - 1


class _Listed(NamedTuple):
    """What a header says of a member."""

    name: bytes
    flags: int
    method: int
    compressed: int
    size: int
    offset: int = 0


class Directory(NamedTuple):
    """Where the central directory is, and where the archive begins: not always at the front."""

    start: int
    size: int
    base: int


def members(opened: Opened) -> Members:
    """Yield the members, and what is damaged."""
    source = opened.stream.source
    directory = _find_directory(source) if source is not None else None
    if source is None or directory is None:
        yield from _front_to_back(opened)
        return
    if directory.base > 0 and _starts_with_member(source):
        # Another archive stands before it.
        before = Plain(Window(source, 0, directory.base))
        yield from _front_to_back(replace(opened, stream=before))
    yield from _by_directory(source, directory, opened)


# --- by the central directory ---------------------------------------------------------------------


def _find_directory(source: Source) -> Directory | None:
    """Return where the central directory is, by the record behind it; None if there is none."""
    # Few archives have a comment.
    return _find_in_tail(source, _SHORT_TAIL_BYTES) or _find_in_tail(source, _TAIL_BYTES)


def _find_in_tail(source: Source, size: int) -> Directory | None:
    start = max(0, source.size - size)
    tail = source.read_at(start, size)
    at = tail.rfind(_END_MAGIC)
    while at >= 0:
        record = tail[at : at + _END.size]
        found = _directory(source, start + at, record) if len(record) == _END.size else None
        if found is not None:
            ends_here = at + _END.size + int.from_bytes(record[-2:], "little") == len(tail)
            # A member that is an archive has such a record, too: of one that is cut off, it is the last.
            if ends_here or found.base == 0 or not _starts_with_member(source):
                return found
        at = tail.rfind(_END_MAGIC, 0, at)
    return None


def _starts_with_member(source: Source) -> bool:
    return source.read_at(0, len(LOCAL_MAGIC)) == LOCAL_MAGIC


def _directory(source: Source, end_at: int, record: bytes) -> Directory | None:
    """Return the directory that an end record means, if something begins where it should."""
    *_, count, size, offset, _ = _END.unpack(record)
    locator = source.read_at(max(0, end_at - _END_64_LOCATOR.size), _END_64_LOCATOR.size)
    if locator[:4] == b"PK\x06\x07" and len(locator) == _END_64_LOCATOR.size:
        _, _, at_64, _ = _END_64_LOCATOR.unpack(locator)
        # Something may stand before the archive: then the record is right before its locator.
        for at in (at_64, end_at - _END_64_LOCATOR.size - _END_64.size):
            record_64 = source.read_at(at, _END_64.size) if at >= 0 else b""
            if record_64[:4] == b"PK\x06\x06" and len(record_64) == _END_64.size:
                *_, count, size, offset = _END_64.unpack(record_64)
                end_at = at
                break
    start = end_at - size
    if not count or start < 0:
        return None
    if source.read_at(start, 4) == _CENTRAL_MAGIC:
        return Directory(start, size, start - offset)
    # Something stands between the directory and its end: then its own words count.
    if source.read_at(offset, 4) == _CENTRAL_MAGIC:
        return Directory(offset, size, 0)
    return None


def _by_directory(source: Source, directory: Directory, opened: Opened) -> Members:
    selection, effort, unpack = opened.selection, opened.effort, _LENGTHS.unpack_from
    passed_over, promising = selection.passed_over, selection.promising
    passed = 0
    for piece in _pieces(source, directory):
        if selection.takes_none_of(piece):
            names = piece.count(_CENTRAL_MAGIC)
            passed += names
            effort.take_members(names >> _PASSED_FOR_ONE)
            continue
        buffer, classes = _without_classes(piece)
        passed += classes
        effort.take_members(classes >> _PASSED_FOR_ONE)
        at, last = 0, len(buffer) - _CENTRAL.size
        while at <= last and buffer.startswith(_CENTRAL_MAGIC, at):
            name_size, extra_size, comment_size = unpack(buffer, at + 28)
            start, name_at = at, at + _CENTRAL.size
            name_end = name_at + name_size
            at = name_end + extra_size + comment_size
            suffix_at = buffer.rfind(b".", name_at, name_end) + 1
            if (suffix_at and buffer[suffix_at:name_end].lower() in passed_over) or (
                promising and not selection.takes(buffer[name_at:name_end])
            ):
                passed += 1
                if not passed & _PASSED_MASK:
                    effort.take_members(1)
            elif not buffer.endswith(b"/", name_at, name_end):
                effort.take_members(1)
                listed = _listed(buffer, start, buffer[name_at:name_end], name_end, at)
                yield _member(source, directory, listed, opened)
        if at < len(buffer) and not buffer.startswith(_SIGNATURE_MAGIC, at):
            yield Damage("malformed-zip")
            break
    opened.count_passed(passed)


def _pieces(source: Source, directory: Directory) -> Iterator[bytes]:
    """Yield the directory, cut between two records."""
    position, end = directory.start, directory.start + directory.size
    while position < end:
        piece = source.read_at(position, min(_DIRECTORY_PIECE, end - position))
        if not piece:
            return
        # The last record that surely is whole ends before the last magic number.
        whole = position + len(piece) >= end
        cut = len(piece) if whole else max(piece.rfind(_CENTRAL_MAGIC), 0) or len(piece)
        yield piece[:cut]
        position += cut


def _without_classes(piece: bytes) -> tuple[bytes, int]:
    """Return a part of the directory without the plain records of Java classes, and their number.

    Jars list a quarter of a million of them on one machine: three steps for each.
    """
    first, *records = piece.split(_CENTRAL_MAGIC)
    kept = [
        record
        for record in records
        # The lengths: of the name, which is the rest of the record, and of nothing behind it.
        if not record.endswith(b".class")
        or record[24:30] != (len(record) - 42 & 0xFFFF).to_bytes(2, "little") + b"\0\0\0\0"
    ]
    return _CENTRAL_MAGIC.join((first, *kept)), len(records) - len(kept)


def _listed(buffer: bytes, start: int, name: bytes, name_end: int, end: int) -> _Listed:
    fields = _CENTRAL.unpack_from(buffer, start)
    listed = _Listed(name, fields[3], fields[4], fields[8], fields[9], fields[16])
    return _with_extra_64(listed, buffer[name_end:end])


def _with_extra_64(listed: _Listed, extra: bytes) -> _Listed:
    """Take from the extra field what was too large for 32 bits."""
    position = 0
    while position + 4 <= len(extra):
        kind, size = struct.unpack_from("<HH", extra, position)
        if kind == _EXTRA_64:
            body = extra[position + 4 : position + 4 + size]
            large = [int.from_bytes(body[at : at + 8], "little") for at in range(0, len(body), 8)]
            values = [listed.size, listed.compressed, listed.offset]
            values = [large.pop(0) if value == _IN_EXTRA and large else value for value in values]
            return listed._replace(size=values[0], compressed=values[1], offset=values[2])
        position += 4 + size
    return listed


def _member(source: Source, directory: Directory, listed: _Listed, opened: Opened) -> Member:
    """Return a member at the place that the directory names, by the directory's word."""
    name = listed.name[:NAME_BYTES]
    if listed.flags & _ENCRYPTED:
        return Member(name, None, listed.size, "password-needed")
    at = directory.base + listed.offset
    head = source.read_at(at, _LOCAL.size + len(listed.name)) if at >= 0 else b""
    if len(head) < _LOCAL.size or head[:4] != LOCAL_MAGIC:
        return Member(name, None, listed.size, "malformed-zip")
    name_size, extra_size = _LOCAL_LENGTHS.unpack_from(head, 26)
    start = at + _LOCAL.size + name_size + extra_size
    same = name_size == len(listed.name) and head.endswith(listed.name)
    problem = "" if same else "mismatched-headers"
    below = Plain(Window(source, start, listed.compressed))
    stream = _opened(below, listed.method, opened)
    if stream is None:
        return Member(name, None, listed.size, "unknown-compression")
    return Member(name, stream, listed.size, problem)


# --- front to back --------------------------------------------------------------------------------


def _front_to_back(opened: Opened) -> Members:
    """Yield members by their local headers, up to where that is not possible any more."""
    stream = opened.stream
    head = stream.read(_FIRST_MEMBER_BYTES)
    first = head.find(LOCAL_MAGIC)
    if first < 0:
        yield Damage("malformed-zip")
        return
    stream.unread(head[first:])
    # Archives have their directory at the end; one that is only cut off has none.
    while True:
        head = stream.read(_LOCAL.size)
        opened.effort.take_members(1)
        if head[:4] in (_CENTRAL_MAGIC, _END_MAGIC, b"PK\x06\x06", b"PK\x06\x08"):
            return
        if len(head) < _LOCAL.size or head[:4] != LOCAL_MAGIC:
            yield Damage(stream.problem or ("malformed-zip" if len(head) > 3 else "truncated"))
            return
        fields = _LOCAL.unpack(head)
        name, extra = stream.read(fields[9]), stream.read(fields[10])
        listed = _Listed(name, fields[2], fields[3], fields[7], fields[8])
        listed = _with_extra_64(listed, extra)
        unsized = bool(listed.flags & _DESCRIPTOR_FOLLOWS) and not listed.compressed
        body: Stream = stream if unsized else Part(stream, listed.compressed)
        inside = _opened(body, listed.method, opened)
        if unsized and not isinstance(inside, Decompressed):
            # Stored, or encrypted, of unknown length: where the next one begins can't be told.
            yield Member(name[:NAME_BYTES], None, 0, "malformed-zip")
            return
        taken = opened.selection.takes(name)
        if name[-1:] != b"/" and taken:
            yield _local_member(listed, inside, unsized=unsized)
        opened.count_passed(not taken)
        if not _passed(stream, body, inside):
            yield Damage(stream.problem or (inside and inside.problem) or "truncated")
            return


def _local_member(listed: _Listed, inside: Stream | None, *, unsized: bool) -> Member:
    name = listed.name[:NAME_BYTES]
    if listed.flags & _ENCRYPTED:
        return Member(name, None, listed.size, "password-needed")
    if inside is None:
        return Member(name, None, listed.size, "unknown-compression")
    return Member(name, inside, UNKNOWN_SIZE if unsized else listed.size)


def _passed(stream: Stream, body: Stream, inside: Stream | None) -> bool:
    """Go to behind the member; false if the bytes end before, or don't tell where that is."""
    if body is not stream:
        # The decompressor put back what it took too much of: into the part.
        return isinstance(body, Part) and body.finish()
    if not isinstance(inside, Decompressed) or not inside.finish():
        return False
    descriptor = stream.read(4)
    return stream.skip(12 if descriptor == _DESCRIPTOR_MAGIC else 8)


# --- compression ----------------------------------------------------------------------------------


def _lzma(below: Stream) -> Decompressor | None:
    """Read the header of LZMA in zip (APPNOTE 5.8.8), and return its decompressor."""
    head = below.read(4)
    properties = below.read(int.from_bytes(head[2:4], "little"))
    if len(properties) != 5 or properties[0] >= 225:
        return None
    packed, window = properties[0], int.from_bytes(properties[1:], "little")
    options = {
        "id": lzma.FILTER_LZMA1,
        "lc": packed % 9,
        "lp": packed // 9 % 5,
        "pb": packed // 45,
        "dict_size": max(4096, min(window, _LZMA_WINDOW)),
    }
    return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options])


_STORED, _LZMA = 0, 14
_MAKE: dict[int, Callable[[], Decompressor]] = {
    8: Inflate,
    12: bzip2,
    95: Xz,
    **({93: ZSTD.make} if ZSTD is not None else {}),
}


def _opened(below: Stream, method: int, opened: Opened) -> Stream | None:
    """Return a member's plain bytes; None if its compression is not known."""
    if method == _STORED:
        return below
    if method == _LZMA:
        inner = _lzma(below)
        return Decompressed(below, lambda: inner, opened.effort) if inner is not None else None
    make = _MAKE.get(method)
    return Decompressed(below, make, opened.effort) if make is not None else None
