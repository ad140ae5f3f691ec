"""What one reader of configurations may read of a root: by names as text, within bounds, its troubles noted.

Runs in the reader. A configuration is a stranger's text: it may be endless, go round in circles, or name a
million files. Bytes that are no UTF-8 stand in text as lone surrogates, so that a path goes out as it came in.
"""

from __future__ import annotations

import errno
import posixpath
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from fnmatch import translate
from functools import cache
from itertools import islice
from os import stat_result
from typing import TypeVar

from keycensus_agent.context.bindings import Problem
from keycensus_agent.context.root_files import RootFiles
from keycensus_agent.reader.discovery.links import errno_name

# Configurations written by hand have kilobytes, those that programs write for 10,000 sites some megabytes.
FILE_LIMIT = 2 * 1024 * 1024
TOTAL_LIMIT = 32 * 1024 * 1024
FILES_LIMIT = 5_000
# Names in one directory, and in all directories that patterns lead to.
_NAMES_LIMIT = 50_000
_ALL_NAMES_LIMIT = 200_000
# Deeper than any service lets its configuration include; nginx, Apache and MySQL stop at 10 to 128.
INCLUDE_DEPTH = 20
# Statements that one reader looks at, those of files that are included twice twice. 10,000 sites have 200,000.
_STATEMENTS_LIMIT = 600_000
# What a directive that includes costs of them, and a look whether a file is there: both go to the file system.
_INCLUSION_STATEMENTS = 50
_LOOK_STATEMENTS = 5
# Of one reader; a thousandth mistake teaches no more.
_PROBLEMS_LIMIT = 50
_PATH_LIMIT = 4096
_WILD = re.compile(r"[*?\[]")
_NOTHING_THERE = frozenset({"ENOENT", "ENOTDIR", "no regular file"})

_Found = TypeVar("_Found")


class Sources:
    """The files of a root, for one reader; `problems` are its troubles, `opened` what it read."""

    def __init__(self, files: RootFiles, reader: str) -> None:
        self.files = files
        self.reader = reader
        self.problems: list[Problem] = []
        self.opened: dict[str, str | None] = {}
        self._globs: dict[str, list[str]] = {}
        self._bytes_left = TOTAL_LIMIT
        self._names_left = _ALL_NAMES_LIMIT
        self._statements_left = _STATEMENTS_LIMIT
        self._is_exhausted = False
        self._canonical = cache(self._canonical_directory)

    def note(self, configuration: str, line: int, text: str) -> None:
        """Note something that was not read or not understood."""
        problem = Problem(self.reader, to_bytes(configuration), line, text)
        if len(self.problems) < _PROBLEMS_LIMIT and problem not in self.problems:
            self.problems.append(problem)

    def affords(self, configuration: str, statements: int = 1) -> bool:
        """Whether some more statements may be looked at; if not, that is noted."""
        enough = self._statements_left >= statements
        self._statements_left -= statements
        if not enough and not self._is_exhausted:
            self._is_exhausted = True
            self.note(configuration, 0, "not read whole: the configuration says too much")
        return enough

    def text(self, path: str, limit: int = FILE_LIMIT) -> str | None:
        """Return what a file says, as far as it is text; None if there is none or it can't be read.

        What is not there is no problem; what is too long is read to the limit.
        """
        if path not in self.opened:
            self.opened[path] = self._read(path, limit)
        return self.opened[path]

    def _read(self, path: str, limit: int) -> str | None:
        if len(self.opened) >= FILES_LIMIT or self._bytes_left <= 0:
            self.note(path, 0, "not read: the configuration has too many files, or too long ones")
            return None
        limit = min(limit, self._bytes_left)
        try:
            data = self.files.read(to_bytes(_checked(path)), limit + 1)
        except OSError as error:
            # What the resolver could not come to is ENOENT, with its reason as the text.
            reason = error.strerror if error.errno == errno.ENOENT else errno_name(error)
            if reason not in _NOTHING_THERE:
                self.note(path, 0, f"not read ({reason})")
            return None
        self._bytes_left -= len(data)
        if len(data) > limit:
            self.note(path, 0, f"longer than {limit:,} bytes: read to there")
            data = data[:limit]
        if b"\0" in data:
            self.note(path, 0, "no text: it has NUL bytes")
            return None
        return to_text(data)

    def facts(self, path: str) -> stat_result | None:
        """Return what is known of the file or directory that `path` leads to; None if nothing is."""
        if not _is_possible(path) or not self.affords(path, _LOOK_STATEMENTS):
            return None
        return self.files.find(to_bytes(path))

    def is_file(self, path: str) -> bool:
        """Whether a regular file is there."""
        facts = self.facts(path)
        return facts is not None and stat.S_ISREG(facts.st_mode)

    def is_directory(self, path: str) -> bool:
        """Whether a directory is there."""
        facts = self.facts(path)
        return facts is not None and stat.S_ISDIR(facts.st_mode)

    def first(self, paths: Iterable[str]) -> str:
        """Return the first of some paths where a file is; "" if there is none."""
        return next(filter(self.is_file, paths), "")

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory, sorted as bytes; none if it can't be listed."""
        try:
            names = self.files.names(
                to_bytes(_checked(directory)), min(self._names_left, _NAMES_LIMIT)
            )
        except OSError as error:
            reason = error.strerror if error.errno == errno.ENOENT else errno_name(error)
            if reason not in _NOTHING_THERE:
                self.note(directory, 0, f"not listed ({reason})")
            return []
        self._names_left -= len(names)
        return [to_text(name) for name in names]

    def links(self, directory: str, target: str) -> frozenset[str]:
        """Return the names in a directory that are links in which `target` is written."""
        try:
            found = self.files.written_targets(to_bytes(_checked(directory)))
        except OSError:
            return frozenset()
        wanted = to_bytes(target)
        return frozenset(to_text(name) for name, written in found.items() if written == wanted)

    def glob(self, pattern: str) -> list[str]:
        """Return what an absolute pattern matches: names, sorted by bytes, not only of files."""
        if pattern not in self._globs:
            self._globs[pattern] = self._glob(pattern) if _is_possible(pattern) else []
        return self._globs[pattern]

    def included(self, configuration: str, pattern: str) -> list[str]:
        """Return what a directive of `configuration` includes by an absolute pattern, if that is afforded."""
        if not self.affords(configuration, _INCLUSION_STATEMENTS):
            return []
        return self.glob(pattern)

    def _glob(self, pattern: str) -> list[str]:
        found = [""]
        for part in [piece for piece in pattern.split("/") if piece]:
            if not _WILD.search(part):
                found = [f"{path}/{part}" for path in found]
                continue
            match = re.compile(translate(part)).match
            found = [
                f"{path}/{name}"
                for path in found
                for name in self.names(path or "/")
                if match(name) and (not name.startswith(".") or part.startswith("."))
            ]
            if len(found) > FILES_LIMIT:
                self.note(pattern, 0, f"a pattern matches more than {FILES_LIMIT:,} names")
                del found[FILES_LIMIT:]
        return [path for path in found if self.facts(path) is not None]

    def place(self, path: str) -> bytes:
        """Return the name that a walk knows an absolute path by: its directory's links followed."""
        path = posixpath.normpath(path) if _is_odd(path) else path.rstrip("/") or "/"
        directory, _, name = path.rpartition("/")
        return to_bytes(self._canonical(directory or "/") + "/" + name)

    def _canonical_directory(self, directory: str) -> str:
        possible = _is_possible(directory) and self.affords(directory, _LOOK_STATEMENTS)
        found = self.files.canonical(to_bytes(directory)) if possible else b""
        if found and self.files.link_target(found):
            found = self.files.link_target(found)
        return (to_text(found) or directory).rstrip("/")


def _is_possible(path: str) -> bool:
    """Whether a path could be one at all."""
    return "\0" not in path and len(path) <= _PATH_LIMIT


def _checked(path: str) -> str:
    """Return a path; FileNotFoundError if it could not be one."""
    if not _is_possible(path):
        raise FileNotFoundError(errno.ENOENT, "ENOENT")
    return path


def _is_odd(path: str) -> bool:
    return "//" in path or "/." in path


def absolute(base: str, path: str) -> str:
    """Return `path` as a service takes it that resolves relative ones within `base`."""
    return path if path.startswith("/") else f"{base.rstrip('/')}/{path}"


def to_bytes(text: str) -> bytes:
    """Return the bytes that a piece of a file's text stands for."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # an escape of JSON or YAML can be half a character
        return text.encode("utf-8", "replace")


def to_text(data: bytes) -> str:
    """Return bytes of a file as text that can go back."""
    return data.decode("utf-8", "surrogateescape")


def shown(text: str) -> str:
    """Return text of a file for a field that may have valid characters only; still unescaped."""
    return to_bytes(text).decode("utf-8", "backslashreplace")


def decimal(text: str, default: int = 0) -> int:
    """Return a number written in ASCII digits, of at most 18; else `default`."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else default


def contained(
    sources: Sources, read: Callable[[], Iterator[_Found]], limit: int, too_many: str
) -> Iterator[_Found]:
    """Yield what a reader finds, up to `limit`; beyond it, or if it fails, that is noted (`too_many`)."""
    try:
        found = read()
        yield from islice(found, limit)
        if next(found, None) is not None:
            sources.note("/", 0, f"{too_many}: the rest is left out")
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - the one border where a reader's failure is contained
        # The type alone: a message could quote the file.
        sources.note("/", 0, f"not read: {type(error).__name__}")
