"""Make text from files safe to show: on terminals, in logs, in CSV.

Certificates and file names are written by strangers. Control characters, bidirectional overrides,
zero-width characters and lone surrogates become visible escapes; nothing else changes.
"""

from __future__ import annotations

import re
import unicodedata

# General categories that can move the cursor, reorder or hide text: control, format, surrogate,
# private use, unassigned, line and paragraph separator (Unicode Standard, chapter 4.5).
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe_text(value: str) -> str:
    r"""Return `value` with every unsafe character as \xNN, \uNNNN or \UNNNNNNNN, and \ as \\ ."""
    if value.isprintable() and "\\" not in value:
        return value
    return "".join(map(_safe_character, value))


def _safe_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if unicodedata.category(character) not in _UNSAFE_CATEGORIES:
        return character
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def safe_path(value: bytes) -> str:
    r"""Return a path as text: bytes that are not UTF-8 as \xNN, the rest as `safe_text`."""
    pieces: list[str] = []
    for character in value.decode("utf-8", "surrogateescape"):
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            pieces.append(f"\\x{code - 0xDC00:02x}")
        else:
            pieces.append(_safe_character(character))
    return "".join(pieces)


_ESCAPED = re.compile(r"\\\\|\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U(000[0-9a-f]{5}|0010[0-9a-f]{4})")


def plain_text(value: str) -> str:
    r"""Return what `safe_text` was given: for text that was shown, kept in a file, and comes back."""
    return _ESCAPED.sub(_plain_character, value)


def _plain_character(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    return chr(int(code, 16)) if code else "\\"
