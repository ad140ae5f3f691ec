"""YAML read strictly, with the line of everything, so that all mistakes can be told at once.

A value is the text that stands there, whatever YAML takes it for (`query: 2026` is text). Anchors and
aliases are refused: a few lines of them can mean millions.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from keycensus_client.errors import UsageError
from keycensus_client.text import safe_text

# A company's views are some kilobytes; more is not what this is for.
_MOST_BYTES = 4 * 1024 * 1024
_MOST_DEPTH = 20


@dataclass(slots=True)
class Mistakes:
    """What is wrong in the files of a directory, each with its place."""

    directory: Path
    found: list[tuple[str, int, str]] = field(default_factory=list)

    def add(self, file: Path, line: int, text: str) -> None:
        """Note a mistake at a line, counted from 1."""
        self.found.append((safe_text(str(file.relative_to(self.directory))), line, text))

    def check(self) -> None:
        """Raise UsageError with all of them, if there are any."""
        if self.found:
            number = f"{len(self.found)} mistakes" if len(self.found) > 1 else "a mistake"
            lines = "\n".join(f"  {file}:{line}: {text}" for file, line, text in sorted(self.found))
            raise UsageError(f"{number} in {self.directory}; nothing was changed:\n{lines}")


@dataclass(frozen=True, slots=True)
class Value:
    """Something in a file: text, a list of values, or values by name, and the line where it begins."""

    content: str | list[Value] | dict[str, Value]
    line: int


def read(file: Path, mistakes: Mistakes) -> Value | None:
    """Return what a file says; None, and mistakes noted, if it can't be read."""
    try:
        node = _composed(_text(file))
    except _UnreadableError as error:
        mistakes.add(file, error.line, str(error))
        return None
    return None if node is None else _value(node, file, mistakes)


class _UnreadableError(Exception):
    """A file that can't be read, and where."""

    def __init__(self, text: str, line: int = 1) -> None:
        super().__init__(text)
        self.line = line


def read_text(file: Path, mistakes: Mistakes) -> str:
    """Return a file as text; empty, and a mistake noted, if it can't be read."""
    try:
        return _text(file)
    except _UnreadableError as error:
        mistakes.add(file, error.line, str(error))
        return ""


def _text(file: Path) -> str:
    """Return what is in a file. A link could lead to what is nobody's business who sent the files."""
    try:
        if file.is_symlink() or not file.is_file():
            raise _UnreadableError("it is no regular file")
        with file.open("rb") as opened:
            data = opened.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise _UnreadableError(f"it has more than {_MOST_BYTES:,} bytes")
        return data.decode()
    except OSError as error:
        raise _UnreadableError(f"it can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise _UnreadableError("it is not UTF-8") from None


def _composed(text: str) -> yaml.Node | None:
    try:
        _check_events(text)
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise _UnreadableError(f"it is no YAML: {safe_text(error.problem or '')}", line) from None
    except yaml.YAMLError as error:
        raise _UnreadableError(f"it is no YAML: {safe_text(str(error))}") from None


def _check_events(text: str) -> None:
    """Refuse what takes long before anything is made of it: aliases, and brackets in brackets in brackets."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = _line(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            raise _UnreadableError("anchors and aliases are not read", line)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MOST_DEPTH:
            raise _UnreadableError("it is nested too deep", line)


def _line(mark: Any) -> int:  # noqa: ANN401 - two classes without a name in common
    return int(mark.line) + 1


def _value(node: yaml.Node, file: Path, mistakes: Mistakes) -> Value:
    line = _line(node.start_mark)
    if isinstance(node, yaml.SequenceNode):
        return Value([_value(item, file, mistakes) for item in node.value], line)
    if not isinstance(node, yaml.MappingNode):
        return Value(node.value, line)
    members: dict[str, Value] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            mistakes.add(file, _line(key.start_mark), "a name is text")
        elif key.value in members:
            where = _line(key.start_mark)
            mistakes.add(
                file,
                where,
                f"{safe_text(key.value)} stands twice, also in line {members[key.value].line}",
            )
        else:
            members[key.value] = _value(value, file, mistakes)
    return Value(members, line)


@dataclass(frozen=True, slots=True)
class Members:
    """The members of one mapping, taken one by one; what nobody takes is a mistake."""

    values: dict[str, Value]
    line: int
    file: Path
    mistakes: Mistakes

    def text(self, name: str, *, default: str | None = None) -> str:
        """Return a member that is text; a missing one is a mistake unless it has a default."""
        value = self._take(name, required=default is None)
        if value is None:
            return default or ""
        if isinstance(value.content, str):
            return value.content
        self.mistakes.add(self.file, value.line, f"{name} is text")
        return ""

    def choice(self, name: str, choices: Sequence[str], *, default: str | None = None) -> str:
        """Return a member that is one of some words; empty, and a mistake noted, if it is none."""
        line = self.values[name].line if name in self.values else self.line
        word = self.text(name, default=default)
        if word in choices:
            return word
        if word:
            self.mistakes.add(
                self.file,
                line,
                f"{name} is one of {', '.join(choices)}, and not {safe_text(word)!r}",
            )
        return ""

    def texts(self, name: str) -> list[str]:
        """Return a member that is a list of texts; without it, none."""
        value = self._take(name, required=False)
        if value is None:
            return []
        items = value.content if isinstance(value.content, list) else [value]
        found = [item.content for item in items if isinstance(item.content, str)]
        if len(found) < len(items) or not isinstance(value.content, list):
            self.mistakes.add(self.file, value.line, f"{name} is a list of texts")
        return found

    def labels(self, name: str) -> dict[str, str]:
        """Return a member that is texts by name."""
        value = self._take(name, required=True)
        if value is None:
            return {}
        content = value.content if isinstance(value.content, dict) else {}
        said = {key: item.content for key, item in content.items() if isinstance(item.content, str)}
        if not said or len(said) < len(content):
            self.mistakes.add(self.file, value.line, f"{name} are texts by name, as in env: prod")
        return said

    def end(self, known: Sequence[str]) -> None:
        """Note what is there and not known."""
        for name, value in self.values.items():
            if name not in known:
                text = f"there is no {safe_text(name)!r} here, but {', '.join(known)}"
                self.mistakes.add(self.file, value.line, text)

    def _take(self, name: str, *, required: bool) -> Value | None:
        if name not in self.values and required:
            self.mistakes.add(self.file, self.line, f"{name} is missing")
        return self.values.get(name)


def members_of(root: Value | None, file: Path, mistakes: Mistakes) -> Members:
    """Return the members of a file; none, and a mistake noted, if it holds anything else."""
    content = {} if root is None or root.content == "" else root.content
    if isinstance(content, dict):
        return Members(content, 1, file, mistakes)
    mistakes.add(file, root.line if root else 1, "it holds members, each on a line of its own")
    return Members({}, 1, file, mistakes)


def line_of(root: Value | None, said: str) -> int:
    """Return the line of the first name or text that a message has in quotes; 1 if it names none."""
    if root is None:
        return 1
    if isinstance(root.content, str):
        return root.line if root.content and repr(root.content) in said else 1
    if isinstance(root.content, list):
        return next((line for part in root.content if (line := line_of(part, said)) > 1), 1)
    return next(
        (
            line
            for name, part in root.content.items()
            if (line := part.line if repr(name) in said else line_of(part, said)) > 1
        ),
        1,
    )


def dumped(content: dict[str, Any]) -> str:
    """Return content as YAML, as people would write it."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=1_000)


def means_the_same(file: Path, text: str) -> bool:
    """Whether a file says what a text says, with whatever comments and spaces."""
    try:
        return _plain(_composed(_text(file))) == _plain(_composed(text))
    except _UnreadableError:
        return False


def _plain(node: yaml.Node | None) -> object:
    """Return what a node says, without its place."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _plain(value) for key, value in node.value}
    return node.value if isinstance(node, yaml.ScalarNode) else None


def write(file: Path, text: str) -> None:
    """Write a file, whole or not at all. UsageError if it can't be."""
    try:
        _replace(file, text)
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}") from None


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, new = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(text)
        # As others in a checkout: mkstemp's is for its owner alone.
        mask = os.umask(0)
        os.umask(mask)
        Path(new).chmod(0o666 & ~mask)
        Path(new).replace(file)
    except BaseException:
        Path(new).unlink(missing_ok=True)
        raise
