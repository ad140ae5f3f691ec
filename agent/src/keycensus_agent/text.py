"""Make text from files safe to show: on terminals, in logs, in CSV.

Certificates and file names are written by strangers. Control characters, bidirectional overrides,
zero-width characters and lone surrogates become visible escapes; nothing else changes.
"""

from __future__ import annotations

import unicodedata

# General categories that can move the cursor, reorder or hide text: control, format, surrogate,
# private use, unassigned, line and paragraph separator (Unicode Standard, chapter 4.5).
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def safe_text(value: str) -> str:
    r"""Return `value` with every unsafe character as \xNN, \uNNNN or \UNNNNNNNN, and \ as \\ ."""
    if value.isprintable():
        return value.replace("\\", "\\\\")
    return "".join(map(_safe_character, value))


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return "1 file", "1,200 files": a number with its noun; `plural` where an s is not enough."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


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
    text = value.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return safe_text(text)
    pieces: list[str] = []
    for character in text:
        code = ord(character)
        if 0xDC80 <= code <= 0xDCFF:
            pieces.append(f"\\x{code - 0xDC00:02x}")
        else:
            pieces.append(_safe_character(character))
    return "".join(pieces)
