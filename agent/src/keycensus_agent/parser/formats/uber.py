"""Bouncy Castle's UBER keystore: recognised, and reported as locked.

Pure, on hostile bytes. It is BKS under Twofish, which no library here has, so that not even the number of
entries can be told. Source: BcKeyStoreSpi.java (BouncyCastleStore) of Bouncy Castle.
"""

from __future__ import annotations

from keycensus_agent.model import Status
from keycensus_agent.parser.cursor import Cursor, CutError
from keycensus_agent.parser.findings import (
    Confidence,
    FormatResult,
    Hint,
    Request,
    sealed_container,
)

NAME = "uber"
DESCRIPTION = "Bouncy Castle's UBER keystore: that it is there"
SUFFIXES = ("uber", "ubr", "keystore")

# What its writer writes: 20 bytes of salt, 1,024 to 2,047 iterations, whole blocks.
_SALT_BYTES = 20
_ITERATIONS = range(1024, 2048)
_HEADER_BYTES = 12 + _SALT_BYTES
_BLOCK = 16


def recognise(data: bytes, hint: Hint) -> Confidence:
    """Tell by a header whose numbers are those that its writer writes, and whole blocks behind it."""
    del hint
    store = Cursor(data)
    try:
        version, salt_bytes = store.number(4), store.number(4)
        store.take(_SALT_BYTES)
        iterations = store.number(4)
    except CutError:
        return Confidence.NO
    header = version <= 1 and salt_bytes == _SALT_BYTES and iterations in _ITERATIONS
    whole = store.left >= 2 * _BLOCK and not store.left % _BLOCK
    # After the formats whose entries can be seen: their header is the same.
    return Confidence.MAYBE if header and whole else Confidence.NO


def parse(data: bytes, request: Request) -> FormatResult:
    """Return the store as one locked container."""
    del request
    found = sealed_container(data[_HEADER_BYTES:], "unsupported-keystore")
    return FormatResult(NAME, (found,), Status.LOCKED, "unsupported-keystore")
