"""Text and paths of an agent's rows, checked for length and escaped. Pure."""

from __future__ import annotations

from keycensus_collector.intake.model import MalformedError
from keycensus_collector.text import safe_path, safe_text

# PATH_MAX of Linux. Longer ones can't be opened by name, and nobody could be told where they are.
PATH_BYTES = 4096
# Stable words of the protocol, and names of users and groups (LOGIN_NAME_MAX is 256).
WORD_CHARACTERS = 256


def word(value: str) -> str:
    """Return a short text, escaped; MalformedError if it is not short."""
    if len(value) > WORD_CHARACTERS:
        raise MalformedError("a word is too long")
    return safe_text(value)


def path_text(path: bytes) -> str:
    """Return `safe_path(path)`; most paths need no look at each character."""
    if path.isascii():
        text = path.decode("ascii")
        if text.isprintable() and "\\" not in text:
            return text
    return safe_path(path)
