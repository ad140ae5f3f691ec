"""What the walk is told to stay out of: globs over paths, compiled once.

Runs in the reader. `*`, `?` and `**` are the only wildcards. A pattern with a slash is matched against the whole path within
the scanned root: `*` and `?` stay inside one component, `**` crosses them. A pattern without a slash
is matched against each name at any depth. What matches is pruned with everything below it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field

from keycensus_agent.errors import UsageError

# Directories of read-only copies of what is walked anyway: snapper and ZFS snapshots.
SNAPSHOT_NAMES = frozenset({".snapshots", ".zfs"})


@dataclass(frozen=True, slots=True)
class Exclude:
    """Compiled excludes, and directories that are the agent's own.

    `own` holds canonical paths (the state directory): they are passed over without a gap, since the
    agent reports its own identity by itself. UsageError for a pattern that can't be meant.
    """

    patterns: tuple[str, ...] = ()
    own: frozenset[bytes] = frozenset()
    _names: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)
    _paths: re.Pattern[bytes] | None = field(init=False, repr=False, compare=False)
    # Directories in which, and trees in and below which, a pattern with a slash can match a name.
    _parents: frozenset[bytes] = field(init=False, repr=False, compare=False)
    _trees: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names: list[str] = []
        paths: list[str] = []
        parents: set[bytes] = set()
        trees: set[bytes] = set()
        for pattern in self.patterns:
            trimmed = pattern.rstrip("/")
            if not trimmed or "\0" in trimmed:
                msg = f"exclude {pattern!r} would exclude everything or nothing; name a path or a file name"
                raise UsageError(msg)
            if "/" not in trimmed:
                names.append(_translate(trimmed))
                trees.add(b"/")
                continue
            absolute = trimmed if trimmed.startswith(("/", "**")) else "**/" + trimmed
            paths.append(_translate(absolute))
            parent, wild = _fixed_parent(absolute)
            (trees if wild else parents).add(os.fsencode(parent))
        object.__setattr__(self, "_names", _compile(names))
        object.__setattr__(self, "_paths", _compile(paths))
        object.__setattr__(self, "_parents", frozenset(parents))
        object.__setattr__(self, "_trees", tuple(trees))

    @property
    def selective(self) -> bool:
        """Whether any pattern is set, so that names must be looked at one by one."""
        return bool(self.patterns)

    def concerns(self, directory: bytes) -> bool:
        """Whether a pattern can match a name in `directory`; the names of others need no look."""
        if directory in self._parents:
            return True
        return bool(self._trees) and (directory.rstrip(b"/") + b"/").startswith(self._trees)

    def reason(self, path: bytes, name: bytes) -> str:
        """Say why the walk must not enter or read `path`, whose last component is `name`; "" if it may."""
        if self._names is not None and self._names.match(name):
            return "pattern"
        return "pattern" if self._paths is not None and self._paths.match(path) else ""


def _compile(expressions: list[str]) -> re.Pattern[bytes] | None:
    if not expressions:
        return None
    return re.compile(b"|".join(os.fsencode(expression) for expression in expressions))


def _fixed_parent(pattern: str) -> tuple[str, bool]:
    """Return the directory that names matching a path pattern lie in, or, if true, in or below.

    A tree ends in a slash, so that it is no beginning of another name.
    """
    fixed = re.split(r"[*?]", pattern, maxsplit=1)[0]
    parent = fixed.rpartition("/")[0]
    if fixed == pattern or ("/" not in pattern[len(fixed) :] and "**" not in pattern):
        return parent or "/", False
    return parent + "/", True


def _translate(pattern: str) -> str:
    """Turn a path glob into a regular expression over bytes that are text with surrogates."""
    pieces: list[str] = []
    position = 0
    while position < len(pattern):
        if pattern.startswith("**/", position):
            pieces.append("(?:.*/)?")
            position += 3
        elif pattern.startswith("**", position):
            pieces.append(".*")
            position += 2
        else:
            pieces.append(_translate_one(pattern[position]))
            position += 1
    return f"(?s:{''.join(pieces)})\\Z"


def _translate_one(character: str) -> str:
    if character == "*":
        return "[^/]*"
    return "[^/]" if character == "?" else re.escape(character)
