"""Files that are not even opened, by their directory and name: a third to a half of what is installed.

Pure. Nor are they asked for their state when a sweep lists them: whatever changed, nobody looks. What stands here was opened, recognised by its first bytes and passed over, every time; that cost as
much as all other files together. Both parts of a rule must hold, so that a key under a false name is missed
only where nobody keeps files of his own, or where an interpreter writes them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import product
from typing import NamedTuple

from keycensus_agent.parser.archive.policy import COMPRESSED, is_searched
from keycensus_agent.parser.triage import among_programs


class Rule(NamedTuple):
    """Endings of names that are passed over, and what they are counted as."""

    endings: tuple[str, ...]
    counter: str


class Unopened(NamedTuple):
    """What is passed over in one directory: its rules, and the endings of them all."""

    rules: tuple[Rule, ...]
    endings: tuple[str, ...]


_ARCHIVES = Rule(COMPRESSED, "archives-not-searched")
# What Python compiles its sources to, which are read themselves, before 3.2 beside them (PEP 3147); catalogues of
# messages (gettext).
_COMPILED = Rule((".pyc", ".pyo"), "binary-skipped")
_BESIDE_SOURCES = re.compile(rb"/lib/python2\.[0-9]/")
_MESSAGES = Rule((".mo",), "binary-skipped")
_PICTURES = Rule(
    (".png", ".gif", ".jpg", ".ico", ".ttf", ".otf", ".woff", ".woff2"), "binary-skipped"
)
# Web pages that packages generate from their sources, a hundred thousand for a compiler: what they show of keys is
# shown. Everything else below these directories is opened, keys and certificates of examples among it.
_DOCUMENTATION = Rule((".html", ".htm", ".xhtml", ".css", ".js", ".svg"), "documentation-skipped")
_DOCUMENTED_IN = re.compile(rb"/share/(?:doc|gtk-doc|help|javadoc)/")


def _together(*rules: Rule) -> Unopened:
    return Unopened(rules, tuple(ending for rule in rules for ending in rule.endings))


_NOTHING = _together()
_ONLY_COMPILED = _together(_COMPILED)
_ONLY_MESSAGES = _together(_MESSAGES)
# By whether archives are searched, and what the path says.
_AMONG_PROGRAMS = {
    (searched, documented, beside_sources): _together(
        _PICTURES,
        *([] if searched else [_ARCHIVES]),
        *([_DOCUMENTATION] if documented else []),
        *([_COMPILED] if beside_sources else []),
    )
    for searched, documented, beside_sources in product((False, True), repeat=3)
}


@lru_cache(maxsize=4)
def unopened_in(directory: bytes) -> Unopened:
    """Return what is not opened in `directory` (absolute, within the root).

    Asked when a directory is listed, and for each file of it in a row.
    """
    if directory.endswith(b"/__pycache__"):
        return _ONLY_COMPILED
    if directory.endswith(b"/LC_MESSAGES"):
        return _ONLY_MESSAGES
    path = directory + b"/"
    searched = is_searched(path)
    if searched and not among_programs(path):
        return _NOTHING
    documented = _DOCUMENTED_IN.search(path) is not None
    return _AMONG_PROGRAMS[searched, documented, _BESIDE_SOURCES.search(path) is not None]
