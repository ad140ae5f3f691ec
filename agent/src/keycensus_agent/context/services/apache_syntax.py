"""Apache's configuration as a tree of directives: conditions decided, variables, macros and includes in place.

Sources: httpd's "Configuration Files", core (Define, IfModule, IfDefine, IfFile, Include), mod_so, mod_macro;
server/util.c (ap_getword_conf), server/core.c (ap_resolve_env). Conditions are met in the order in which httpd meets them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from keycensus_agent.context.sources import INCLUDE_DEPTH, Sources, absolute

_WORD = re.compile(r""""((?:\\.|[^"\\])*)"?|'((?:\\.|[^'\\])*)'?|(\S+)""")
_ESCAPED = re.compile(r"\\([\"'\\])")
_VARIABLE = re.compile(r"\$\{(\w[^}:]{0,200})\}")
_SECTION = re.compile(r"<(/?)\s*(\w+)(.*)\Z", re.DOTALL)
_BLOCK_DEPTH = 50
_LINE_LIMIT = 65536
# What variables may add to one line, and how much of that costs as much as a statement.
_GROWTH_LIMIT = 4096
_GROWTH_STATEMENT = 16
# Sections that only put what is in them together.
_TRANSPARENT = frozenset(
    {"ifmodule", "ifdefine", "iffile", "ifversion", "ifdirective", "ifsection"}
)
# Modules that are built into every httpd.
_BUILT_IN = frozenset(
    {"core.c", "mod_so.c", "http_core.c", "so_module", "core_module", "http_module"}
)


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive, its name in lower case, with what its section holds; where it stands."""

    name: str
    arguments: tuple[str, ...]
    path: str
    line: int
    block: list[Directive] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Tree:
    """A whole configuration: its directives, and the directory that relative paths are meant in."""

    top: list[Directive]
    server_root: str


def parse(sources: Sources, main: str, root: str, variables: Mapping[str, str]) -> Tree:
    """Return what a main configuration says; `root` is what was compiled in as ServerRoot."""
    parser = _Parser(sources, root, variables)
    parser.read(main, ())
    return Tree(parser.top, parser.server_root)


@dataclass(slots=True)
class _Open:
    """A section that was not closed yet; without a block it is passed over."""

    name: str
    block: list[Directive] | None


class _Parser:
    def __init__(self, sources: Sources, root: str, variables: Mapping[str, str]) -> None:
        self.server_root = root
        self.top: list[Directive] = []
        self._sources = sources
        self._variables = dict(variables)
        self._defined = set(variables)
        self._modules = set(_BUILT_IN)
        self._open = [_Open("", self.top)]
        self._macros: dict[str, tuple[tuple[str, ...], list[tuple[int, str]], str]] = {}

    def read(self, path: str, including: tuple[str, ...]) -> None:
        """Add the directives of a file to the innermost open section."""
        if path in including or len(including) >= INCLUDE_DEPTH:
            self._sources.note(path, 0, "included by itself, or too deep")
            return
        self._lines(path, logical_lines(self._sources.text(path) or ""), (*including, path))

    def _lines(
        self, path: str, lines: Iterator[tuple[int, str]], including: tuple[str, ...]
    ) -> None:
        opened = len(self._open)
        for number, line in lines:
            if not self._sources.affords(path):
                break
            if line.startswith("<"):
                self._section(path, number, line, lines)
            elif self._open[-1].block is not None:
                self._directive(path, number, line, including)
            if len(self._open) > _BLOCK_DEPTH:
                self._sources.note(path, number, "sections too deep in each other")
                break
        if len(self._open) > opened:
            self._sources.note(path, 0, "ends in the middle of a section")
        del self._open[max(opened, 1) :]

    def _section(self, path: str, number: int, line: str, lines: Iterator[tuple[int, str]]) -> None:
        match = _SECTION.match(line)
        if match is None:
            return
        name, block = match[2].lower(), self._open[-1].block
        head = match[3].strip().removesuffix(">").removesuffix("/")
        if match[1]:
            if self._open[-1].name == name:
                self._open.pop()
            else:
                self._sources.note(path, number, "closes a section that is not open")
        elif block is None:
            self._open.append(_Open(name, None))
        elif name == "macro":
            self._define_macro(path, head, lines)
        elif name in _TRANSPARENT:
            holds = self._holds(name, self._resolve(head).strip())
            self._open.append(_Open(name, block if holds else None))
        else:
            made = Directive(name, tuple(words(self._resolve(head))), path, number)
            block.append(made)
            self._open.append(_Open(name, made.block))

    def _holds(self, name: str, condition: str) -> bool:
        negated = condition.startswith("!")
        what = condition.lstrip("!").strip().strip("\"'")
        if name == "ifmodule":
            holds = what.rpartition("/")[2] in self._modules
        elif name == "ifdefine":
            holds = what in self._defined
        elif name == "iffile":
            holds = self._sources.facts(absolute(self.server_root, what)) is not None
        else:  # of versions and directives nothing is known here: what is said there is read
            return True
        return holds != negated

    def _directive(self, path: str, number: int, line: str, including: tuple[str, ...]) -> None:
        name, _, rest = line.partition(" ") if " " in line else line.partition("\t")
        if "\t" in name:
            name, _, rest = line.partition("\t")
        name = name.lower()
        arguments = tuple(words(self._resolve(rest)))
        if name in ("include", "includeoptional"):
            for pattern in arguments[:1]:
                self._include(path, pattern, including)
        elif name == "use" and arguments:
            self._use(path, number, arguments, including)
        elif not self._remember(name, arguments):
            block = self._open[-1].block
            if block is not None:
                block.append(Directive(name, arguments, path, number))

    def _remember(self, name: str, arguments: Sequence[str]) -> bool:
        """Take in what changes how later lines are read."""
        first, second = (*arguments, "", "")[:2]
        if name == "define":
            self._defined.add(first)
            self._variables[first] = second[:_GROWTH_LIMIT]
        elif name == "undefine":
            self._defined.discard(first)
            self._variables.pop(first, None)
        elif name == "loadmodule":
            stem = second.rpartition("/")[2].removesuffix(".so")
            self._modules.update((first, f"{stem}.c", f"mod_{first.removesuffix('_module')}.c"))
        elif name == "serverroot":
            self.server_root = first
        else:
            return False
        return True

    def _include(self, path: str, pattern: str, including: tuple[str, ...]) -> None:
        for found in self._sources.included(path, absolute(self.server_root, pattern)):
            if self._sources.is_directory(found):
                for name in self._sources.names(found):
                    self.read(f"{found}/{name}", including)
            else:
                self.read(found, including)

    def _define_macro(self, path: str, head: str, lines: Iterator[tuple[int, str]]) -> None:
        body: list[tuple[int, str]] = []
        for number, line in lines:
            if re.match(r"</\s*macro\s*>", line, re.IGNORECASE):
                break
            body.append((number, line))
        name, *parameters = words(head) or [""]
        self._macros[name.lower()] = (tuple(parameters), body, path)

    def _use(
        self, path: str, number: int, arguments: tuple[str, ...], including: tuple[str, ...]
    ) -> None:
        name = f"macro {arguments[0].lower()}"
        macro = self._macros.get(arguments[0].lower())
        if macro is None or name in including or len(including) >= INCLUDE_DEPTH:
            self._sources.note(path, number, "uses a macro that is not there, or itself")
            return
        parameters, body, defined_in = macro
        # Longer names first: $ab is not $a with a b behind it.
        values = sorted(zip(parameters, arguments[1:], strict=False), key=lambda one: -len(one[0]))
        self._lines(
            defined_in, _replaced(body, [one for one in values if one[0]]), (*including, name)
        )

    def _resolve(self, text: str) -> str:
        if "${" not in text:
            return text
        return _VARIABLE.sub(lambda found: self._variables.get(found[1], found[0]), text)[
            :_LINE_LIMIT
        ]


def _replaced(
    lines: Sequence[tuple[int, str]], values: Sequence[tuple[str, str]]
) -> Iterator[tuple[int, str]]:
    for number, line in lines:
        text = line
        for name, value in values:
            text = text.replace(name, value)[:_LINE_LIMIT]
        yield number, text


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines that say something, with the number of their first; a backslash at the end continues."""
    pieces: list[str] = []
    start = 0
    for number, line in enumerate(text.split("\n"), start=1):
        start = start if pieces else number
        stripped = line.rstrip("\r")
        if stripped.endswith("\\"):
            pieces.append(stripped[:-1])
            continue
        whole = "".join([*pieces, stripped]).strip() if pieces else stripped.strip()
        pieces = []
        if whole and not whole.startswith("#"):
            yield start, whole


def words(text: str) -> list[str]:
    """Split arguments: by white space, with both quotes, in which a backslash escapes a quote."""
    found = []
    for double, single, bare in _WORD.findall(text):
        quoted = double or single
        found.append(_ESCAPED.sub(r"\1", quoted) if quoted else bare)
    return found
