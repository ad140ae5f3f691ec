"""Read S-expressions as libgcrypt writes them, canonical or for people.

Parser side: pure, on hostile bytes. Nothing recurses; depth and number of atoms are limited. Sources:
draft-rivest-sexp, src/sexp.c of libgcrypt.
"""

from __future__ import annotations

import binascii
import re

# Either an atom or a list of them; a key nests five deep.
Expression = bytes | list["Expression"]

_DEPTH_LIMIT = 16
_ATOMS_LIMIT = 10_000
_BLANKS = re.compile(rb"[\s]*")
_COUNTED = re.compile(rb"(\d{1,8}):")
_HEXADECIMAL = re.compile(rb"#([0-9A-Fa-f\s]*)#")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_TOKEN = re.compile(rb"[A-Za-z0-9\-./_:*+=]+")


class ExpressionError(ValueError):
    """The bytes are no S-expression. Carries no byte of them."""


def read_expression(data: bytes) -> Expression:
    """Return the first list of `data`, which it must start with; ExpressionError."""
    stack: list[list[Expression]] = []
    position = atoms = 0
    while True:
        match = _BLANKS.match(data, position)
        position = match.end() if match else position
        mark = data[position : position + 1]
        if mark == b"(":
            if len(stack) >= _DEPTH_LIMIT:
                raise ExpressionError("too deep")
            stack.append([])
            position += 1
        elif mark == b")" and stack:
            closed = stack.pop()
            position += 1
            if not stack:
                return closed
            stack[-1].append(closed)
        elif not stack:
            raise ExpressionError("no list")
        else:
            atom, position = _atom(data, position)
            stack[-1].append(atom)
        atoms += 1
        if atoms > _ATOMS_LIMIT:
            raise ExpressionError("too long")


def _atom(data: bytes, position: int) -> tuple[bytes, int]:
    if match := _COUNTED.match(data, position):
        end = match.end() + int(match[1])
        if end > len(data):
            raise ExpressionError("truncated")
        return data[match.end() : end], end
    if match := _HEXADECIMAL.match(data, position):
        try:
            return binascii.unhexlify(b"".join(match[1].split())), match.end()
        except binascii.Error:
            raise ExpressionError("odd digits") from None
    if (match := _QUOTED.match(data, position)) or (match := _TOKEN.match(data, position)):
        return match[match.lastindex or 0], match.end()
    raise ExpressionError("no atom")
