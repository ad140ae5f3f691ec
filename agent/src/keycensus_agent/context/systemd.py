"""systemd's units as their files say: which there are, which start by themselves, what they set. No program asked.

Runs in the reader. Sources: systemd.unit(5) (search path, drop-ins, specifiers, masking), systemd.syntax(7)
(lines, quoting), systemctl(1) (enabling makes links in NAME.wants). Units of the system manager only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from keycensus_agent.context.sources import Sources

# In the order of precedence; /lib is one of its own before /usr was merged.
DIRECTORIES = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
_NULL = "/dev/null"
_UNIT_LIMIT = 256 * 1024
_SECTION = re.compile(r"\[(\w[\w-]*)\]\s*\Z")
_LINKS = (".wants", ".requires", ".upholds")


@dataclass(frozen=True, slots=True)
class Assignment:
    """One line of a unit: "Service", "ExecStart", what it is set to, and where that stands."""

    section: str
    key: str
    value: str
    path: str
    line: int


class Units:
    """The units of one root."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._assignments: dict[str, list[Assignment]] = {}

    @cached_property
    def _listed(self) -> list[tuple[str, list[str]]]:
        """The directories that there are, each once, with what is in them."""
        places = {self._sources.place(path + "/x"): path for path in reversed(DIRECTORIES)}
        return [(path, self._sources.names(path)) for path in reversed(places.values())]

    @cached_property
    def _paths(self) -> dict[str, str]:
        """Where each unit's own file is, by name; "" if it is masked."""
        found: dict[str, str] = {}
        for directory, names in self._listed:
            masked = self._sources.links(directory, _NULL)
            for name in names:
                if name not in found and "." in name and not name.endswith((".d", *_LINKS)):
                    found[name] = "" if name in masked else f"{directory}/{name}"
        return found

    @cached_property
    def _wanted(self) -> frozenset[str]:
        return frozenset(
            unit
            for directory, names in self._listed
            for name in names
            if name.endswith(_LINKS)
            for unit in self._sources.names(f"{directory}/{name}")
        )

    def names(self, ending: str) -> list[str]:
        """Return the names of all units of a kind (".timer") that are not masked, sorted; no templates."""
        started = (name for name in self._wanted if "@" in name and self.path(name))
        known = (name for name, path in self._paths.items() if path)
        return sorted(
            name for name in {*known, *started} if name.endswith(ending) and "@." not in name
        )

    def path(self, name: str) -> str:
        """Return the file of a unit, of its template if it has none; "" if there is none, or masked."""
        if name in self._paths:
            return self._paths[name]
        prefix, at, rest = name.partition("@")
        return self._paths.get(f"{prefix}@.{rest.rpartition('.')[2]}", "") if at else ""

    def first(self, *names: str) -> str:
        """Return the first of some units that there is, preferring those that start; or ""."""
        there = [name for name in names if self.path(name)]
        return next((name for name in there if self.is_enabled(name)), there[0] if there else "")

    def is_enabled(self, name: str) -> bool:
        """Whether something that is started by itself wants this unit."""
        return name in self._wanted and bool(self.path(name))

    def assignments(self, name: str) -> list[Assignment]:
        """Return what a unit's file and its drop-ins set, in the order in which it counts."""
        if name not in self._assignments:
            path = self.path(name)
            files = [path, *self._drop_ins(name)] if path else []
            self._assignments[name] = [one for file in files for one in self._lines(file)]
        return self._assignments[name]

    def values(self, name: str, section: str, key: str) -> list[Assignment]:
        """Return the assignments of a key that are in force: an empty one takes back those before it."""
        found: list[Assignment] = []
        for one in self.assignments(name):
            if one.section == section and one.key == key:
                found = [*found, one] if one.value else []
        return found

    def commands(self, name: str) -> list[list[str]]:
        """Return the words of each ExecStart= of a service, variables put in, without prefixes."""
        environment = self.environment(name)
        found = []
        for one in self.values(name, "Service", "ExecStart"):
            line = [word for text in words(one.value) for word in _expanded(text, environment)]
            if line:
                found.append([line[0].lstrip("@-:+!"), *line[1:]])
        return found

    def environment(self, name: str) -> dict[str, str]:
        """Return the variables that a service is started with; files go before what the unit says."""
        found: dict[str, str] = {}
        for one in self.values(name, "Service", "Environment"):
            found.update(_variables(words(one.value)))
        for one in self.values(name, "Service", "EnvironmentFile"):
            text = self._sources.text(one.value.lstrip("-"), _UNIT_LIMIT) or ""
            for _, line in logical_lines(text):
                variable, _, value = line.partition("=")
                found.update(_variables([f"{variable.strip()}={' '.join(words(value))}"]))
        return found

    def _drop_ins(self, name: str) -> list[str]:
        found: dict[str, str] = {}
        for directory_name in _drop_in_directories(name):
            for directory, names in self._listed:
                if directory_name in names:
                    inside = self._sources.names(f"{directory}/{directory_name}")
                    for file in inside:
                        if file.endswith(".conf"):
                            found.setdefault(file, f"{directory}/{directory_name}/{file}")
        return [found[file] for file in sorted(found)]

    def _lines(self, path: str) -> Iterator[Assignment]:
        section = ""
        for number, line in logical_lines(self._sources.text(path, _UNIT_LIMIT) or ""):
            header = _SECTION.match(line)
            if header is not None:
                section = header[1]
                continue
            key, equals, value = line.partition("=")
            if equals:
                yield Assignment(section, key.strip(), value.strip(), path, number)


def _drop_in_directories(name: str) -> Iterator[str]:
    """Yield the names of directories whose files count for a unit, the closest first."""
    yield name + ".d"
    stem, _, kind = name.rpartition(".")
    if "@" in stem:
        yield f"{stem.partition('@')[0]}@.{kind}.d"
    stem = stem.partition("@")[0]
    for at in reversed([at for at, character in enumerate(stem) if character == "-"][:20]):
        yield f"{stem[: at + 1]}.{kind}.d"
    yield kind + ".d"


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield a file's lines that say something, with the number of their first; continued ones joined."""
    pieces: list[str] = []
    start = 0
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped.startswith(("#", ";")) or (not stripped and not pieces):
            continue
        start = start if pieces else number
        if stripped.endswith("\\"):
            pieces.append(stripped[:-1])
            continue
        yield start, " ".join([*pieces, stripped])
        pieces = []
    if pieces:
        yield start, " ".join(pieces)


_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\w+)\Z", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
# A value can be put in a thousand times.
_EXPANDED_LIMIT = 65536


def _variables(texts: list[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        name, equals, value = text.partition("=")
        if equals and _NAME.match(name):
            yield name, value


def _expanded(word: str, environment: dict[str, str]) -> list[str]:
    """Put variables in: "${A}" within a word, "$A" as a word of its own, which may become several."""
    if "$" not in word:
        return [word]
    whole = _VARIABLE.fullmatch(word)
    if whole is not None and whole[2]:
        return environment.get(whole[2], "").split()
    text = _VARIABLE.sub(lambda found: environment.get(found[1] or found[2], ""), word)
    return [text[:_EXPANDED_LIMIT]]


_WORD = re.compile(r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\\.|[^\s"'\\])+""", re.DOTALL)
_PIECE = re.compile(r""""((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|((?:\\.|[^"'\\])+)""", re.DOTALL)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{3}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "s": " ", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


def words(value: str) -> list[str]:
    """Split a value as systemd does: by white space, with both quotes and escapes of C."""
    return [
        "".join(_unescape("".join(piece.groups(""))) for piece in _PIECE.finditer(word[0]))
        for word in _WORD.finditer(value)
    ]


def _unescape(text: str) -> str:
    return _ESCAPE.sub(_character, text) if "\\" in text else text


def _character(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 3:
        return chr(int(code[1:], 16) if code[0] == "x" else int(code, 8))
    return _ESCAPES.get(code, code)
