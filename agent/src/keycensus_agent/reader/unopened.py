"""Files that are not even opened, by their directory and name: a third of what a distribution installs.

Pure. What stands here was opened, recognised by its first bytes and passed over, every time; that cost as
much as all other files together. Both parts of a rule must hold, so that a key under a false name is missed
only where nobody keeps files of his own, or where an interpreter writes them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from keycensus_agent.parser.archive.policy import COMPRESSED, is_searched
from keycensus_agent.parser.triage import among_programs


class Unopened(NamedTuple):
    """Endings of names that are passed over in one directory, and what they are counted as."""

    endings: tuple[str, ...]
    counter: str


_ARCHIVES = Unopened(COMPRESSED, "archives-not-searched")
# What Python compiles its sources to, which are read themselves, before 3.2 beside them (PEP 3147); catalogues of
# messages (gettext).
_COMPILED = Unopened((".pyc", ".pyo"), "binary-skipped")
_BESIDE_SOURCES = re.compile(rb"/lib/python2\.[0-9]/")
_MESSAGES = Unopened((".mo",), "binary-skipped")
_PICTURES = Unopened(
    (".png", ".gif", ".jpg", ".ico", ".ttf", ".otf", ".woff", ".woff2"), "binary-skipped"
)
# Web pages that packages generate from their sources, a hundred thousand for a compiler: what they show of keys is
# shown. Everything else below these directories is opened, keys and certificates of examples among it.
_DOCUMENTATION = Unopened(
    (".html", ".htm", ".xhtml", ".css", ".js", ".svg"), "documentation-skipped"
)
_DOCUMENTED_IN = re.compile(rb"/share/(?:doc|gtk-doc|help|javadoc)/")


@lru_cache(maxsize=4)
def unopened_in(directory: bytes) -> tuple[Unopened, ...]:
    """Return what is not opened in `directory` (absolute, within the root).

    Asked for each file of a directory in a row.
    """
    if directory.endswith(b"/__pycache__"):
        return (_COMPILED,)
    if directory.endswith(b"/LC_MESSAGES"):
        return (_MESSAGES,)
    path = directory + b"/"
    searched = is_searched(path)
    if searched and not among_programs(path):
        return ()
    rules = [_PICTURES]
    if not searched:
        rules.append(_ARCHIVES)
    if _DOCUMENTED_IN.search(path):
        rules.append(_DOCUMENTATION)
    if _BESIDE_SOURCES.search(path):
        rules.append(_COMPILED)
    return tuple(rules)
