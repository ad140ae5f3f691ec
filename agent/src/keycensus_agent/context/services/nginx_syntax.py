"""nginx's configuration as a tree of directives, includes in place. Source: ngx_conf_file.c."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from keycensus_agent.context.sources import INCLUDE_DEPTH, Sources, absolute

_TOKEN = re.compile(
    r"""\s+ | \#[^\n]* | (?P<mark>[;{}])
    | "(?P<double>(?:\\.|[^"\\])*)"? | '(?P<single>(?:\\.|[^'\\])*)'?
    | (?P<bare>(?:\\.|\$\{|[^\s;{\\])+) | \\""",
    re.DOTALL | re.VERBOSE,
)
_ESCAPE = re.compile(r"\\([\"'\\trn])")
_ESCAPES = {"t": "\t", "r": "\r", "n": "\n"}
_LUA = "_by_lua_block"
_LUA_TOKEN = re.compile(
    r"""--\[\[.*?\]\] | --[^\n]* | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | \[\[.*?\]\] | [{}]""",
    re.DOTALL | re.VERBOSE,
)
# Blocks in blocks: http, server, location, and a few locations more.
_BLOCK_DEPTH = 50
# What it costs to go through a file again, in statements.
_FILE_STATEMENTS = 10


@dataclass(frozen=True, slots=True)
class Directive:
    """One directive, with what its block holds; where it stands."""

    name: str
    arguments: tuple[str, ...]
    path: str
    line: int
    block: list[Directive] = field(default_factory=list)


def parse(sources: Sources, main: str) -> list[Directive]:
    """Return the directives of a main configuration, as far as they can be read."""
    top: list[Directive] = []
    _Parser(sources, main.rpartition("/")[0]).read(main, [top], ())
    return top


class _Parser:
    def __init__(self, sources: Sources, prefix: str) -> None:
        self._sources = sources
        self._prefix = prefix

    def read(
        self, path: str, open_blocks: list[list[Directive]], including: tuple[str, ...]
    ) -> None:
        """Add the directives of a file to the innermost open block."""
        if path in including or len(including) >= INCLUDE_DEPTH:
            self._sources.note(path, 0, "included by itself, or too deep")
            return
        if not self._sources.affords(path, _FILE_STATEMENTS):
            return
        blocks = [open_blocks[-1]]
        words: list[str] = []
        start = 0
        for kind, word, line in _tokens(self._sources.text(path) or ""):
            if kind == "word":
                start = start if words else line
                words.append(word)
                continue
            if not self._sources.affords(path):
                return
            if words or kind == "{":
                made = Directive(words[0] if words else "", tuple(words[1:]), path, start)
                self._add(made, kind, blocks, (*including, path))
                words = []
            if kind == "}" and len(blocks) > 1:
                blocks.pop()
            if len(blocks) > _BLOCK_DEPTH:
                self._sources.note(path, line, "blocks too deep in each other")
                return
        if words or len(blocks) > 1:
            self._sources.note(path, start, "ends in the middle of a block or directive")

    def _add(
        self, made: Directive, kind: str, blocks: list[list[Directive]], including: tuple[str, ...]
    ) -> None:
        if made.name == "include" and kind == ";":
            self._include(made, blocks, including)
        else:
            blocks[-1].append(made)
        if kind == "{":
            blocks.append(made.block)

    def _include(
        self, made: Directive, blocks: list[list[Directive]], including: tuple[str, ...]
    ) -> None:
        # Relative to the directory of the main configuration, wherever the directive stands.
        for pattern in made.arguments[:1]:
            for path in self._sources.included(made.path, absolute(self._prefix, pattern)):
                self.read(path, blocks, including)


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Yield "word", the word and its line; or one of ";{}"."""
    position, line, word = 0, 1, ""
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            break
        kind = match.lastgroup
        if kind == "mark":
            mark = match["mark"]
            yield mark, "", line
            if mark == "{" and word.endswith(_LUA):
                end = _end_of_lua(text, match.end())
                line += text.count("\n", position, end)
                position = end
                continue
            word = ""
        elif kind is not None:
            piece = match[kind]
            word = word or piece
            yield "word", _ESCAPE.sub(_unescaped, piece) if "\\" in piece else piece, line
        line += text.count("\n", position, match.end())
        position = match.end()


def _end_of_lua(text: str, start: int) -> int:
    """Return where the brace stands that ends a block of Lua which starts at `start`."""
    depth = 1
    for match in _LUA_TOKEN.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if depth == 0:
            return match.start()
    return len(text)


def _unescaped(match: re.Match[str]) -> str:
    return _ESCAPES.get(match[1], match[1])
