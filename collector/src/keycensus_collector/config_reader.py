"""Takes values out of a parsed TOML file: every mistake is gathered and named by file and key. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from keycensus_collector.errors import ConfigurationError
from keycensus_collector.text import safe_text

_Value = TypeVar("_Value")


class Reader:
    """Takes values out of sections, and gathers every mistake and unknown key until `finish`."""

    def __init__(self, source: str, document: Mapping[str, object]) -> None:
        self._source = source
        self._document = document
        self._known: dict[str, set[str]] = {}
        self._mistakes: list[str] = []

    def take(
        self, section: str, key: str, check: Callable[[object], _Value], default: _Value
    ) -> _Value:
        """Return what stands at a key as `check` makes it, whose ValueError is a mistake."""
        self._known.setdefault(section, set()).add(key)
        table = self._document.get(section, {})
        if not isinstance(table, dict) or key not in table:
            return default
        try:
            return check(table[key])
        except ValueError as error:
            self.mistake(f"{section}.{key}", str(error))
            return default

    def need(self, section: str, key: str, check: Callable[[object], str], example: str) -> str:
        """Return the text at a key that must be there; empty, and a mistake, if it is not."""
        table = self._document.get(section, {})
        if isinstance(table, dict) and key not in table:
            self.mistake(f"{section}.{key}", f"write it, as in {example}")
        return self.take(section, key, check, "")

    def mistake(self, name: str, text: str) -> None:
        """Note what is wrong with a key."""
        self._mistakes.append(f"{self._source}: {safe_text(name)}: {text}")

    def finish(self) -> None:
        """Raise ConfigurationError with all mistakes, a line each, if there are any."""
        for section, table in self._document.items():
            if section not in self._known:
                self._unknown(section, list(self._known))
            elif not isinstance(table, dict):
                self.mistake(section, f"write it as a table [{section}]")
            else:
                known = self._known[section]
                for key in table.keys() - known:
                    self._unknown(f"{section}.{key}", [f"{section}.{name}" for name in known])
        if self._mistakes:
            raise ConfigurationError("\n".join(sorted(self._mistakes)))

    def _unknown(self, name: str, known: list[str]) -> None:
        close = difflib.get_close_matches(name, known, 1, 0.5)
        hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(sorted(known))}"
        self.mistake(name, f"there is no such key; {hint}")


def absolute_path(value: object) -> Path:
    """Return a path; ValueError says what would be right."""
    if not isinstance(value, str) or not value.startswith("/") or "\0" in value:
        raise ValueError('write an absolute path, as in "/var/lib/keycensus-collector"')
    return Path(value)


def one_of(words: tuple[str, ...]) -> Callable[[object], str]:
    """Return a check for one of some words."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in words:
            raise ValueError(f"write one of: {', '.join(words)}")
        return value

    return check
