"""Pass over one serialized Java object, to reach what stands behind it.

Parser side: pure, on hostile bytes. JCEKS writes secret keys as objects without a length. Nothing is
interpreted: classes are kept only as the layout of their fields, as long as the stream may refer to
them. Steps and nesting are limited. Source: Java Object Serialization Specification, chapter 6.
"""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_agent.parser.cursor import Cursor, CutError

_STREAM_HEADER = b"\xac\xed\x00\x05"
_NULL, _REFERENCE, _CLASS_DESCRIPTION, _OBJECT, _STRING, _ARRAY, _CLASS = range(0x70, 0x77)
_BLOCK, _END_OF_BLOCK, _RESET, _LONG_BLOCK = range(0x77, 0x7B)
_LONG_STRING, _PROXY_CLASS, _ENUM = 0x7C, 0x7D, 0x7E
_FIRST_HANDLE = 0x7E0000
# Flags of a class (6.4.2).
_WRITE_METHOD, _SERIALIZABLE, _EXTERNALIZABLE, _BLOCK_DATA = 1, 2, 4, 8
_PRIMITIVE_BYTES = {"B": 1, "C": 2, "D": 8, "F": 4, "I": 4, "J": 8, "S": 2, "Z": 1}
# A sealed secret key is a dozen objects, three deep.
_STEPS_LIMIT = 10_000
_NESTING_LIMIT = 32


@dataclass(slots=True)
class _Class:
    """What a class description says of the bytes of its objects."""

    name: bytes = b""
    flags: int = _SERIALIZABLE
    fields: str = ""
    parent: _Class | None = None


def skip(data: bytes, position: int) -> int:
    """Return where the object whose stream starts at `position` ends; CutError if it is none."""
    stream = _Stream(Cursor(data, position))
    if stream.cursor.take(4) != _STREAM_HEADER:
        raise CutError("malformed-secret-key")
    stream.content(0)
    return stream.cursor.position


class _Stream:
    """One stream: where it is, and the handles that it has given out."""

    def __init__(self, cursor: Cursor) -> None:
        self.cursor = cursor
        self._handles: list[_Class | None] = []
        self._steps = 0

    def content(self, depth: int) -> int:
        """Pass over one element of content (6.4); return its type."""
        self._steps += 1
        if self._steps > _STEPS_LIMIT or depth > _NESTING_LIMIT:
            raise CutError("malformed-secret-key")
        kind = self.cursor.number(1)
        if kind == _OBJECT:
            self._object(depth)
        elif kind == _ARRAY:
            self._array(depth)
        elif kind in {_CLASS_DESCRIPTION, _PROXY_CLASS}:
            self._new_class(kind, depth)
        elif kind == _CLASS:
            self._class(depth)
            self._handles.append(None)
        elif kind == _ENUM:
            self._class(depth)
            self._handles.append(None)
            self.content(depth + 1)
        else:
            self._leaf(kind)
        return kind

    def _leaf(self, kind: int) -> None:
        """Pass over what holds no other content."""
        if kind in {_STRING, _LONG_STRING}:
            self._handles.append(None)
            self.cursor.counted(2 if kind == _STRING else 8)
        elif kind == _REFERENCE:
            self.cursor.take(4)
        elif kind in {_BLOCK, _LONG_BLOCK}:
            self.cursor.counted(1 if kind == _BLOCK else 4)
        elif kind not in {_NULL, _END_OF_BLOCK}:
            # A reset or an exception: not in the middle of one object.
            raise CutError("malformed-secret-key")

    def _class(self, depth: int) -> _Class | None:
        """Read a classDesc: a new one, one seen before, or none."""
        self._steps += 1
        kind = self.cursor.number(1)
        if kind == _NULL:
            return None
        if kind == _REFERENCE:
            index = self.cursor.number(4) - _FIRST_HANDLE
            if not 0 <= index < len(self._handles) or self._handles[index] is None:
                raise CutError("malformed-secret-key")
            return self._handles[index]
        return self._new_class(kind, depth)

    def _new_class(self, kind: int, depth: int) -> _Class:
        if kind not in {_CLASS_DESCRIPTION, _PROXY_CLASS} or depth > _NESTING_LIMIT:
            raise CutError("malformed-secret-key")
        described = _Class()
        if kind == _CLASS_DESCRIPTION:
            described.name = self.cursor.counted(2)
            self.cursor.take(8)
            self._handles.append(described)
            described.flags = self.cursor.number(1)
            described.fields = self._fields(depth)
        else:
            self._handles.append(described)
            for _ in range(self.cursor.number(4)):
                self.cursor.counted(2)
        self._annotation(depth)
        described.parent = self._class(depth + 1)
        return described

    def _fields(self, depth: int) -> str:
        codes = []
        for _ in range(self.cursor.number(2)):
            code = chr(self.cursor.number(1))
            self.cursor.counted(2)
            if code in "[L":
                self.content(depth + 1)
            elif code not in _PRIMITIVE_BYTES:
                raise CutError("malformed-secret-key")
            codes.append(code)
        return "".join(codes)

    def _annotation(self, depth: int) -> None:
        while self.content(depth + 1) != _END_OF_BLOCK:
            pass

    def _object(self, depth: int) -> None:
        described = self._class(depth)
        self._handles.append(None)
        lineage: list[_Class] = []
        while described is not None:
            lineage.append(described)
            described = described.parent
            if len(lineage) > _NESTING_LIMIT:
                raise CutError("malformed-secret-key")
        for each in reversed(lineage):
            if each.flags & _SERIALIZABLE:
                self._values(each.fields, depth)
                if each.flags & _WRITE_METHOD:
                    self._annotation(depth)
            elif each.flags & _EXTERNALIZABLE:
                if not each.flags & _BLOCK_DATA:
                    # Its end is known to its class alone.
                    raise CutError("malformed-secret-key")
                self._annotation(depth)

    def _values(self, codes: str, depth: int) -> None:
        for code in codes:
            self._value(code, depth)

    def _value(self, code: str, depth: int) -> None:
        if code in _PRIMITIVE_BYTES:
            self.cursor.take(_PRIMITIVE_BYTES[code])
        else:
            self.content(depth + 1)

    def _array(self, depth: int) -> None:
        described = self._class(depth)
        self._handles.append(None)
        element = described.name[1:2].decode("latin-1") if described else ""
        count = self.cursor.number(4)
        if element in _PRIMITIVE_BYTES:
            self.cursor.take(count * _PRIMITIVE_BYTES[element])
            return
        for _ in range(count):
            self.content(depth + 1)
