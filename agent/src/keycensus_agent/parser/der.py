"""Read DER and BER with strict bounds, for hostile bytes; write the little DER that identities need.

Parser side: pure computing. Own code rather than a library's, because a library refuses odd
certificates that still have a hash and a key, and because an identity must not change when a
library learns more. Nothing here recurses; nesting and counts are limited. Source: X.690.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
NULL = 0x05
OBJECT_IDENTIFIER = 0x06
ENUMERATED = 0x0A
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18
SEQUENCE = 0x30
SET = 0x31
CONSTRUCTED = 0x20

# Deeper nesting of indefinite lengths than any real file has; each level costs another pass.
_MAXIMUM_DEPTH = 32
# More elements at one level than any real container has (certificates of a bundle, names of a
# certificate); the list of them is what costs memory.
_MAXIMUM_CHILDREN = 100_000
# Longest object identifier that is read, in bytes: real ones are under 20.
_MAXIMUM_OID_BYTES = 64
_INDEFINITE = 0x80


class DerError(ValueError):
    """The bytes are not the ASN.1 that was expected; `str()` is a stable word or two."""


class Element(NamedTuple):
    """One tag-length-value within some bytes: offsets only.

    `tag` is the identifier octet (of a multi-byte tag the first). Content is `body:body_end`, the
    whole element `start:end`; `end` differs from `body_end` by the end-of-contents octets of an
    indefinite length.
    """

    tag: int
    start: int
    body: int
    body_end: int
    end: int


# A named tuple's own constructor is a function of Python; this is what it calls.
_new_element = tuple.__new__


def read(data: bytes, offset: int, limit: int) -> Element:
    """Return the element at `offset`, which must end at or before `limit`; else DerError."""
    if offset + 2 > limit:
        raise DerError("truncated")
    tag = data[offset]
    position = offset + 1
    if tag & 0x1F == 0x1F:
        position = _skip_long_tag(data, position, limit)
    if position >= limit:
        raise DerError("truncated")
    length = data[position]
    position += 1
    if length == _INDEFINITE:
        if not tag & CONSTRUCTED:
            raise DerError("indefinite primitive")
        end = _indefinite_end(data, position, limit)
        return Element(tag, offset, position, end - 2, end)
    if length > _INDEFINITE:
        count = length & 0x7F
        if position + count > limit:
            raise DerError("truncated")
        length = int.from_bytes(data[position : position + count], "big")
        position += count
    end = position + length
    if end > limit:
        raise DerError("truncated")
    return Element(tag, offset, position, end, end)


def _skip_long_tag(data: bytes, position: int, limit: int) -> int:
    for index in range(position, min(limit, position + 5)):
        if not data[index] & 0x80:
            return index + 1
    raise DerError("long tag")


def _indefinite_end(data: bytes, position: int, limit: int) -> int:
    """Return where an indefinite length ends, after its end-of-contents octets (X.690, 8.1.5)."""
    depth = 1
    while depth:
        if data[position : position + 2] == b"\0\0" and position + 2 <= limit:
            depth -= 1
            position += 2
            continue
        if depth > _MAXIMUM_DEPTH:
            raise DerError("too deep")
        opened = _opens_indefinite(data, position, limit)
        if opened:
            depth += 1
            position = opened
        else:
            position = read(data, position, limit).end
    return position


def _opens_indefinite(data: bytes, position: int, limit: int) -> int:
    """Return where the content of an indefinite element starts, or 0 if it is not one."""
    if position + 2 > limit:
        raise DerError("truncated")
    if data[position] & 0x1F == 0x1F or data[position + 1] != _INDEFINITE:
        return 0
    if not data[position] & CONSTRUCTED:
        raise DerError("indefinite primitive")
    return position + 2


def read_whole(data: bytes, tag: int = SEQUENCE) -> Element:
    """Return the one element that `data` consists of; DerError if it is another, or not alone."""
    element = read(data, 0, len(data))
    if element.tag != tag:
        raise DerError("unexpected tag")
    if element.end != len(data):
        raise DerError("trailing data")
    return element


def children(data: bytes, element: Element) -> list[Element]:
    """Return the elements inside a constructed element, in order; DerError if they do not fit."""
    found: list[Element] = []
    position, limit = element.body, element.body_end
    # What nearly all elements are, a tag and a definite length of one to three bytes, is read here:
    # a call for each would double what a certificate costs.
    while position < limit:
        body = position + 2
        tag = data[position]
        length = data[position + 1] if body <= limit else _INDEFINITE
        if length == 0x82 and body + 2 <= limit:
            length = data[body] << 8 | data[body + 1]
            body += 2
        elif length == 0x81 and body < limit:
            length = data[body]
            body += 1
        elif length >= _INDEFINITE:
            length = limit
        end = body + length
        if end > limit or tag & 0x1F == 0x1F:
            child = read(data, position, limit)
        else:
            child = _new_element(Element, (tag, position, body, end, end))
        found.append(child)
        position = child.end
        if len(found) > _MAXIMUM_CHILDREN:
            raise DerError("too many elements")
    return found


def content(data: bytes, element: Element) -> bytes:
    """Return the content octets."""
    return data[element.body : element.body_end]


def encoding(data: bytes, element: Element) -> bytes:
    """Return the whole element as it stands, with tag and length."""
    return data[element.start : element.end]


def expect(data: bytes, element: Element, *tags: int) -> list[Element]:
    """Return the children of `element` if their tags start with `tags`; else DerError."""
    found = children(data, element)
    if len(found) < len(tags):
        raise DerError("unexpected structure")
    for child, tag in zip(found, tags, strict=False):
        if child.tag != tag:
            raise DerError("unexpected structure")
    return found


def octets(data: bytes, element: Element) -> bytes:
    """Return the value of an OCTET STRING; a constructed one (BER) is joined (X.690, 8.7.3)."""
    if not element.tag & CONSTRUCTED:
        return content(data, element)
    pieces: list[bytes] = []
    waiting = children(data, element)[::-1]
    while waiting:
        piece = waiting.pop()
        if piece.tag & CONSTRUCTED:
            waiting.extend(children(data, piece)[::-1])
            if len(waiting) > _MAXIMUM_CHILDREN:
                raise DerError("too many elements")
        else:
            pieces.append(content(data, piece))
    return b"".join(pieces)


def integer(data: bytes, element: Element) -> int:
    """Return the value of an INTEGER; DerError if `element` is none."""
    if element.tag != INTEGER or element.body == element.body_end:
        raise DerError("no integer")
    return int.from_bytes(content(data, element), "big", signed=True)


def bit_string(data: bytes, element: Element) -> bytes:
    """Return the octets of a BIT STRING without unused bits; else DerError."""
    if element.tag != BIT_STRING or element.body == element.body_end or data[element.body]:
        raise DerError("no whole bit string")
    return data[element.body + 1 : element.body_end]


def dotted(data: bytes, element: Element) -> str:
    """Return an OBJECT IDENTIFIER as dotted numbers; DerError if it is malformed or absurd."""
    body = content(data, element)
    if element.tag != OBJECT_IDENTIFIER or not 0 < len(body) <= _MAXIMUM_OID_BYTES:
        raise DerError("no object identifier")
    return _dotted(body)


@lru_cache(maxsize=512)
def _dotted(body: bytes) -> str:
    """Return the content octets of an OBJECT IDENTIFIER as dotted numbers; the same few all the time."""
    if body[-1] & 0x80:
        raise DerError("no object identifier")
    arcs: list[int] = []
    value = 0
    for octet in body:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(value)
            value = 0
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


def encode(tag: int, *parts: bytes) -> bytes:
    """Return the DER of one element whose content is the parts joined."""
    body = b"".join(parts)
    length = len(body)
    if length < 0x80:
        return bytes((tag, length)) + body
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + body


def encode_oid(name: str) -> bytes:
    """Return the DER of an OBJECT IDENTIFIER given as dotted numbers."""
    first, second, *rest = map(int, name.split("."))
    body = bytearray()
    for arc in (40 * first + second, *rest):
        group = [arc & 0x7F]
        while arc := arc >> 7:
            group.append(arc & 0x7F | 0x80)
        body += bytes(reversed(group))
    return encode(OBJECT_IDENTIFIER, bytes(body))


def encode_integer(value: int) -> bytes:
    """Return the DER of a non-negative INTEGER."""
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def encode_bit_string(value: bytes) -> bytes:
    """Return the DER of a BIT STRING of whole octets."""
    return encode(BIT_STRING, b"\0", value)
