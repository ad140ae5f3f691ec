"""The YAML file of rules: read with its line numbers, all mistakes told together.

Only the tree of nodes is taken from the YAML library, in its safe form: nothing is constructed, and a
name that stands for another part (an alias) is refused.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import yaml

from keycensus_collector.errors import QueryError, UsageError
from keycensus_collector.ownership.rules import WHATS
from keycensus_collector.query.bind import bind
from keycensus_collector.query.model import Node, Or, Query, Term, both, joined
from keycensus_collector.query.parse import parse
from keycensus_collector.text import safe_text

MOST_CHARACTERS = 1_000_000
MOST_RULES = 2_000
_MOST_MISTAKES = 50
# A rule's value that is a list is four levels down.
_DEEPEST = 10
MATCHERS = ("host", "path", "name", "issuer", "package", "service", "label")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_LABEL = re.compile(r"([a-z0-9][a-z0-9._-]{0,62})=(.+)", re.DOTALL)
# The section of labels of which the host's own word counts; the others are of rules.
_TRUST = "trust"
_SECTIONS = {"owners": ("owner",), "labels": ("set",), "importance": ("points",)}
# Lists that a section can be about.
_OF = {"owners": WHATS, "labels": ("hosts", "certificates"), "importance": ("certificates",)}
MOST_POINTS = 1_000
# What every rule can have: its name, the list that is asked, a query, a word to people.
_OWN = ("rule", "of", "query", "note")


@dataclass(frozen=True, slots=True)
class Written:
    """One rule as written, checked. `says`: by section, as `owner`."""

    section: str
    name: str
    what: str
    query: Query
    says: dict[str, str]
    note: str
    line: int


@dataclass(slots=True)
class _Reader:
    now_ms: int
    mistakes: list[str] = field(default_factory=list)

    def wrong(self, node: yaml.Node, text: str) -> None:
        self.mistakes.append(f"line {_line(node)}: {text}")


def _line(node: yaml.Node) -> int:
    return 0 if node.start_mark is None else node.start_mark.line + 1


@dataclass(frozen=True, slots=True)
class RuleText:
    """A file of rules, checked. `trusted`: the labels that it lets hosts say of themselves."""

    rules: list[Written]
    trusted: frozenset[str]


def read_rules(text: str, now_ms: int) -> RuleText:
    """Return what a file says; UsageError with every mistake, a line each."""
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"a file of rules has at most {MOST_CHARACTERS:,} characters")
    reader = _Reader(now_ms)
    trusted: set[str] = set()
    rules = list(_sections(reader, _composed(text), trusted))
    seen: dict[tuple[str, str], int] = {}
    for rule in rules:
        before = seen.setdefault((rule.section, rule.name), rule.line)
        if before != rule.line:
            reader.mistakes.append(
                f"line {rule.line}: there is a rule {rule.name} in line {before} already"
            )
    if len(rules) > MOST_RULES:
        reader.mistakes.append(f"there are more than {MOST_RULES:,} rules")
    if reader.mistakes:
        more = len(reader.mistakes) - _MOST_MISTAKES
        told = reader.mistakes[:_MOST_MISTAKES] + ([f"and {more} more"] if more > 0 else [])
        raise UsageError("the rules were not taken:\n" + "\n".join(told))
    return RuleText(rules, frozenset(trusted))


def _trusted(reader: _Reader, node: yaml.Node) -> Iterator[str]:
    if not isinstance(node, yaml.SequenceNode):
        reader.wrong(node, f"{_TRUST}: write a list of labels' keys, each with - before it")
        return
    for item in node.value:
        name = _text(reader, _TRUST, item)
        if _NAME.fullmatch(name):
            yield name
        elif isinstance(item, yaml.ScalarNode):
            reader.wrong(item, f"{_TRUST}: a label's key has up to 63 of a-z, 0-9 and . _ -")


def _composed(text: str) -> yaml.Node | None:
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                raise UsageError("this YAML is nested too deeply")
            if isinstance(event, yaml.AliasEvent):
                raise UsageError(
                    f"*{safe_text(str(event.anchor))}: write it out, aliases are not taken here"
                )
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark is not None else ""
        said = getattr(error, "problem", None) or "it can't be read"
        raise UsageError(f"{where}this is no YAML: {safe_text(str(said))}") from None


def _sections(reader: _Reader, node: yaml.Node | None, trusted: set[str]) -> Iterator[Written]:
    """Yield the rules, and gather the labels of the section `trust`."""
    if node is None:
        return
    for key, value in _pairs(reader, node, "write sections: owners, labels, importance, trust"):
        if key.value == _TRUST:
            trusted.update(_trusted(reader, value))
        elif key.value not in _SECTIONS:
            known = (*_SECTIONS, _TRUST)
            reader.wrong(key, f"there is no section {_shown(key)}{_near(key, known)}")
        elif not isinstance(value, yaml.SequenceNode):
            reader.wrong(value, f"{key.value}: write a list of rules, each with - before it")
        else:
            for item in value.value:
                rule = _rule(reader, key.value, item)
                if rule is not None:
                    yield rule


def _rule(reader: _Reader, section: str, node: yaml.Node) -> Written | None:
    before = len(reader.mistakes)
    wanted = _SECTIONS[section]
    parts = _parts(reader, node, (*_OWN, *wanted, *MATCHERS))
    texts = {key: _text(reader, key, parts.get(key)) for key in (*_OWN, *wanted)}
    for key in ("rule", "of", *wanted):
        if key not in parts and len(reader.mistakes) == before:
            reader.wrong(node, f"a rule needs {key}")
    if texts["rule"] and not _NAME.fullmatch(texts["rule"]):
        reader.wrong(parts["rule"], "a rule's name has up to 63 of a-z, 0-9 and . _ -")
    if texts["of"] and texts["of"] not in _OF[section]:
        reader.wrong(parts["of"], f"of is one of {', '.join(_OF[section])}")
    _check_said(reader, parts, texts)
    query = _query(reader, parts, texts["query"], node)
    if query is None or len(reader.mistakes) > before:
        return None
    try:
        bind(query, texts["of"], reader.now_ms)
    except QueryError as error:
        reader.wrong(parts.get("query", node), str(error))
        return None
    says = {key: texts[key] for key in wanted}
    return Written(section, texts["rule"], texts["of"], query, says, texts["note"], _line(node))


def _check_said(reader: _Reader, parts: dict[str, yaml.Node], texts: dict[str, str]) -> None:
    """Check what a rule says: a label as key=value, points as a number."""
    if texts.get("set") and _LABEL.fullmatch(texts["set"]) is None:
        reader.wrong(parts["set"], "set: write key=value")
    points = texts.get("points")
    if points and not (points.lstrip("-").isdecimal() and abs(int(points)) <= MOST_POINTS):
        reader.wrong(parts["points"], f"points is a number from -{MOST_POINTS} to {MOST_POINTS}")


def _parts(reader: _Reader, node: yaml.Node, known: tuple[str, ...]) -> dict[str, yaml.Node]:
    """Return the parts of a rule by name."""
    parts: dict[str, yaml.Node] = {}
    for key, value in _pairs(reader, node, "a rule has a name (rule) and what it says"):
        name = str(key.value)
        if name not in known:
            reader.wrong(key, f"a rule has no {_shown(key)}{_near(key, known)}")
        elif name in parts:
            reader.wrong(key, f"{name} stands twice in this rule")
        else:
            parts[name] = value
    return parts


def _query(
    reader: _Reader, parts: dict[str, yaml.Node], text: str, node: yaml.Node
) -> Query | None:
    written: Node | None = None
    if text:
        try:
            asked = parse(text)
        except QueryError as error:
            reader.wrong(parts["query"], str(error))
            return None
        if asked.as_of:
            reader.wrong(parts["query"], "a rule is about what there is now: leave as-of out")
        written = asked.expression
    matched = [_matcher(reader, name, parts[name]) for name in MATCHERS if name in parts]
    expression = both(written, *matched)
    if expression is None:
        reader.wrong(node, f"say what it is about: query, or {', '.join(MATCHERS)}")
        return None
    return Query(expression)


def _matcher(reader: _Reader, name: str, node: yaml.Node) -> Node | None:
    nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
    terms: list[Node] = []
    for each in nodes:
        value = _text(reader, name, each)
        if not value:
            reader.wrong(each, f"{name}: a value is missing")
        elif name == "label":
            label = _LABEL.fullmatch(value)
            if label is None:
                reader.wrong(each, "label: write key=value")
            else:
                terms.append(Term(f"label.{label[1]}", ":", label[2]))
        else:
            terms.append(Term(name, ":", value))
    return joined(Or, terms)


def _pairs(
    reader: _Reader, node: yaml.Node, wanted: str
) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        reader.wrong(node, f"{wanted}, as key: value")
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            yield key, value
        else:
            reader.wrong(key, "a key is one word")


def _text(reader: _Reader, name: str, node: yaml.Node | None) -> str:
    if node is None:
        return ""
    if not isinstance(node, yaml.ScalarNode):
        reader.wrong(node, f"{name}: write one value")
        return ""
    return str(node.value)


def _shown(key: yaml.ScalarNode) -> str:
    return safe_text(str(key.value))[:60]


def _near(key: yaml.ScalarNode, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(str(key.value), names, 1, 0.5)
    return f"; did you mean {near[0]}?" if near else f": there are {', '.join(names)}"
