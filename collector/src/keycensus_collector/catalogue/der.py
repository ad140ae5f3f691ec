"""Just enough DER (ITU-T X.690) to read certificates that libraries refuse.

Runs in the limited catalogue child on hostile bytes, so it never recurses, never copies more than the
element asked for, and answers anything odd with `DerError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31

# Lengths of more octets than this belong to no object that the caps let in.
_LENGTH_OCTETS = 4
# Arcs of object identifiers in certificates are short; a longer one is kept as it is, in hexadecimal.
_OID_BYTES = 64


class DerError(ValueError):
    """The bytes are not DER, or not the structure that was expected."""


@dataclass(frozen=True, slots=True)
class Element:
    """One type-length-value: `tag` is the identifier octet, `start` to `end` covers the header too."""

    data: bytes
    tag: int
    start: int
    body: int
    end: int

    @property
    def content(self) -> bytes:
        """The value octets."""
        return self.data[self.body : self.end]

    @property
    def encoded(self) -> bytes:
        """The whole element with its header."""
        return self.data[self.start : self.end]

    def expect(self, tag: int) -> Element:
        """Return self; DerError if it has another tag."""
        if self.tag != tag:
            raise DerError(f"tag 0x{self.tag:02x} where 0x{tag:02x} belongs")
        return self

    def children(self) -> Iterator[Element]:
        """Yield the elements inside, one after another; DerError where one does not fit."""
        position = self.body
        while position < self.end:
            child = read_element(self.data, position, self.end)
            yield child
            position = child.end

    def first_child(self) -> Element:
        """Return the first element inside; DerError if there is none."""
        return read_element(self.data, self.body, self.end)


def read_element(data: bytes, position: int, limit: int) -> Element:
    """Read the element at `position`, which must end by `limit`. DerError if it does not."""
    if limit - position < 2:
        raise DerError("cut short")
    tag, first = data[position], data[position + 1]
    if tag & 0x1F == 0x1F:
        raise DerError("tag of several octets")
    body = position + 2
    length = first
    if first & 0x80:
        octets = first & 0x7F
        if octets == 0 or octets > _LENGTH_OCTETS or body + octets > limit:
            raise DerError("length that DER does not allow")
        length = int.from_bytes(data[body : body + octets], "big")
        body += octets
    if length > limit - body:
        raise DerError("cut short")
    return Element(data, tag, position, body, body + length)


def read_whole(data: bytes, tag: int) -> Element:
    """Read `data` as one element with `tag` and nothing behind it."""
    element = read_element(data, 0, len(data)).expect(tag)
    if element.end != len(data):
        raise DerError("bytes behind the end")
    return element


def read_integer(element: Element) -> int:
    """Return the value of an INTEGER."""
    content = element.expect(INTEGER).content
    if not content:
        raise DerError("integer without octets")
    return int.from_bytes(content, "big", signed=True)


def read_magnitude_bits(element: Element) -> int:
    """Return the length in bits of an INTEGER read as unsigned, as careless writers mean it."""
    return int.from_bytes(element.expect(INTEGER).content, "big").bit_length()


def read_oid(element: Element) -> str:
    """Return an OBJECT IDENTIFIER in dotted form."""
    content = element.expect(OBJECT_IDENTIFIER).content
    if not content or len(content) > _OID_BYTES or content[-1] & 0x80:
        raise DerError("object identifier that DER does not allow")
    arcs: list[int] = []
    value = 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def read_bits(element: Element) -> bytes:
    """Return the octets of a BIT STRING whose last octet is used whole."""
    content = element.expect(BIT_STRING).content
    if not content or content[0] != 0:
        raise DerError("bit string with unused bits")
    return content[1:]


def encode(tag: int, content: bytes) -> bytes:
    """Return one element in DER."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content
