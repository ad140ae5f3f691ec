"""Walk containers of BER that may break off, so that what stands before the break is read.

Parser side: pure, on hostile bytes. Containers are taken as far as they go; what is in them must be
whole, or its hash would be that of something else. Source: X.690.
"""

from __future__ import annotations

from collections.abc import Iterator

from keycensus_agent.parser import der

_END_OF_CONTENTS = b"\0\0"
# Deeper nesting of pieces than any writer's.
_DEPTH_LIMIT = 32
_PIECES_LIMIT = 100_000


class CutBer:
    """Reads containers; `cut` tells whether one of them broke off."""

    def __init__(self) -> None:
        self.cut = False

    def read(self, data: bytes, offset: int, limit: int) -> der.Element:
        """Return the container at `offset`, up to `limit` if it does not end before."""
        try:
            return der.read(data, offset, limit)
        except der.DerError:
            start = _content_start(data, offset, limit)
        self.cut = True
        return der.Element(data[offset], offset, start, limit, limit)

    def children(self, data: bytes, element: der.Element) -> Iterator[der.Element]:
        """Yield what a container holds, the last of it as far as it goes."""
        position, limit = element.body, element.body_end
        while position < limit and data[position : position + 2] != _END_OF_CONTENTS:
            try:
                child = self.read(data, position, limit)
            except der.DerError:
                self.cut = True
                return
            yield child
            position = child.end

    def octets(self, data: bytes, element: der.Element) -> bytes:
        """Return the value of an OCTET STRING, joined of its pieces, as far as they go."""
        if not element.tag & der.CONSTRUCTED:
            return der.content(data, element)
        pieces: list[bytes] = []
        waiting = [self.children(data, element)]
        while waiting:
            piece = next(waiting[-1], None)
            if piece is None:
                waiting.pop()
            elif piece.tag & der.CONSTRUCTED:
                if len(waiting) >= _DEPTH_LIMIT:
                    raise der.DerError("too deep")
                waiting.append(self.children(data, piece))
            else:
                pieces.append(der.content(data, piece))
                if len(pieces) > _PIECES_LIMIT:
                    raise der.DerError("too many elements")
        return b"".join(pieces)


def _content_start(data: bytes, offset: int, limit: int) -> int:
    """Return where the content of an element starts whose length is not believed."""
    if offset + 2 > limit or data[offset] & 0x1F == 0x1F:
        raise der.DerError("truncated")
    length = data[offset + 1]
    start = offset + 2 + (length & 0x7F if length & 0x80 else 0)
    if start > limit or not data[offset] & (der.CONSTRUCTED | der.OCTET_STRING):
        raise der.DerError("truncated")
    return start
