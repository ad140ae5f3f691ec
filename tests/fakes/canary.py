"""Keys whose private numbers are searched for wherever they must not be."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, rsa

CanaryKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

# Shorter pieces of a number than this could be there by chance.
_PIECE_BYTES = 16


def private_numbers(key: CanaryKey) -> list[int]:
    """Return the numbers of the private half."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        return [numbers.d, numbers.p, numbers.q, numbers.dmp1, numbers.dmq1, numbers.iqmp]
    return [key.private_numbers().private_value]


def traces(key: CanaryKey) -> Iterator[bytes]:
    """Yield byte strings of which any occurrence is a leak.

    Each number raw (pieces of it, both byte orders), as base64 at each alignment and as text in
    decimal and hexadecimal.
    """
    for number in private_numbers(key):
        raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
        for data in (raw, raw[::-1]):
            for start in range(0, len(data) - _PIECE_BYTES + 1, _PIECE_BYTES):
                yield data[start : start + _PIECE_BYTES]
        for offset in range(3):
            # The first and last characters of an alignment depend on the neighbours.
            yield base64.b64encode(raw[offset : offset + 24])[2:-2]
        yield raw[:_PIECE_BYTES].hex().encode()
        yield raw[:_PIECE_BYTES].hex().upper().encode()
        yield raw[:_PIECE_BYTES].hex(":").encode()
        yield str(number)[:40].encode()


def leaks(keys: Iterable[CanaryKey], contents: dict[str, bytes]) -> list[str]:
    """Return where a trace of any key was found."""
    needles = [needle for key in keys for needle in traces(key)]
    return [
        name for name, content in contents.items() if any(needle in content for needle in needles)
    ]


def files_below(*directories: Path) -> dict[str, bytes]:
    """Return every regular file below the directories, with its bytes."""
    return {
        str(path): path.read_bytes()
        for directory in directories
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
