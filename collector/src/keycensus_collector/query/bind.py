"""Check a tree against the fields of a list: names, operators, values. Pure; now is passed in.

1. Each term finds its field, or an error names the nearest.
2. Its value is parsed by the field's kind.
3. Negations go down to single conditions.
4. What the query leaves open about use and role is closed: certificates and keys are those in use
   outside trust stores, unless it names `use`, `role` or `found` itself.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from keycensus_collector.errors import QueryError
from keycensus_collector.query import values
from keycensus_collector.query.bound import (
    All,
    Bindings,
    Bound,
    Exists,
    Literal,
    Some,
    own_levels,
)
from keycensus_collector.query.conditions import Choice, Known, Path, Test, Text
from keycensus_collector.query.fields import (
    BY_NAME,
    NOT_YET,
    OPERATORS_OF,
    OWN_LABEL,
    Field,
    Kind,
    Level,
)
from keycensus_collector.query.model import And, Node, Not, Or, Places, Query, Span, Term, Word

AS_OF_TAKES = "as-of takes a date or an age: as-of:2026-09-30, as-of:7d"
_HASH_BYTES = {"sha1": 20}
_LABEL = re.compile(r"label\.([a-z0-9][a-z0-9._-]{0,62})")
# Of a certificate that stands nowhere, no place is in use.
_OF_NO_PLACE = frozenset({"found", "gone"})
_ARTIFACTS = {Level.CERTIFICATE, Level.KEY}
# From so many digits on, a bare word can be the start of a fingerprint.
_ID_DIGITS = 8


def bind(query: Query, target: str, now_ms: int) -> Bindings:
    """Return the query checked for a list of `target`; QueryError points at the first mistake."""
    as_of_ms = _as_of(query, now_ms)
    moment = now_ms if as_of_ms is None else as_of_ms
    binder = _Binder(query.text, target, moment)
    condition = All(()) if query.expression is None else binder.node(query.expression)
    return Bindings(target, binder.scoped(condition), moment, as_of_ms, query.asker)


def is_moment(text: str) -> bool:
    """Tell whether `text` is a date or an age, as as-of takes."""
    return values.duration_ms(text) is not None or values.period(text) is not None


def _as_of(query: Query, now_ms: int) -> int | None:
    if not query.as_of:
        return None
    length, found = values.duration_ms(query.as_of), values.period(query.as_of)
    if length is not None:
        moment = now_ms - abs(length)
    elif found is not None:
        moment = found[1] - 1
    else:
        raise QueryError(AS_OF_TAKES, query.text, *query.as_of_span)
    return moment if moment < now_ms else None


@dataclass(slots=True)
class _Binder:
    text: str
    target: str
    now_ms: int
    named: set[str] = dataclasses.field(default_factory=set)
    artifacts: bool = False  # a condition on a certificate or a key stands in the query

    def node(self, node: Node, *, negated: bool = False) -> Bound:
        if isinstance(node, Not):
            return self.node(node.inner, negated=not negated)
        if isinstance(node, And | Or):
            parts = tuple(self.node(part, negated=negated) for part in node.parts)
            return All(parts) if isinstance(node, And) != negated else Some(parts)
        if isinstance(node, Places):
            inner = self.node(node.inner)
            return Exists(node.exist != negated, inner)
        if isinstance(node, Word):
            return self._word(node, negated=negated)
        return self._term(node, negated=negated)

    def scoped(self, condition: Bound) -> Bound:
        """Add what the query leaves open, here and in each any(…) and none(…)."""
        if self.target not in {"certificates", "keys"} and not self.artifacts:
            return condition
        scope: list[Bound] = []
        if self.target == "keys":
            # A key without a private half anywhere is none of the list.
            scope.append(Literal(BY_NAME["use"], Known(known=True)))
        if self.named.isdisjoint(_OF_NO_PLACE):
            if "use" not in self.named:
                scope.append(Literal(BY_NAME["use"], Choice("live")))
            if "role" not in self.named:
                scope.append(Literal(BY_NAME["role"], Text("trust-store", "equal"), negated=True))
        return All((condition_with(condition, tuple(scope)), *scope)) if scope else condition

    def _term(self, term: Term, *, negated: bool) -> Bound:
        found, label = self._field(term)
        self.named.add(found.name)
        if not own_levels(found, self.target):
            self.artifacts = self.artifacts or not _ARTIFACTS.isdisjoint(found.levels)
        if term.operator not in OPERATORS_OF[found.kind]:
            allowed = " ".join(OPERATORS_OF[found.kind])
            raise self._error(f"{term.field} takes {allowed}, not {term.operator}", term.span)
        test = self._test(found, term)
        if isinstance(test, Choice) and test.value == "any" and found.name == "found":
            return Some(()) if negated else All(())
        if found.name == "label" and self.target == "certificates":
            return _own_or_inherited(Literal(found, test, negated, label))
        return Literal(found, test, negated, label)

    def _field(self, term: Term) -> tuple[Field, str]:
        label = _LABEL.fullmatch(term.field)
        name = "label" if label else term.field
        found = BY_NAME.get(name)
        here = (term.span[0], len(term.field))
        if found is None:
            if name in NOT_YET:
                raise self._error(f"{name}: can't be asked yet: {NOT_YET[name]}", here)
            raise self._error(f"there is no field {term.field}{self._nearest(name)}", here)
        if name == "label" and not label:
            raise self._error("a label is asked for with its key: label.environment:prod", here)
        if self.target not in found.lists():
            lists = ", ".join(found.lists())
            raise self._error(f"{found.name} can't be asked of {self.target}, but of {lists}", here)
        return found, label[1] if label else ""

    def _nearest(self, name: str) -> str:
        usable = [key for key, field in BY_NAME.items() if self.target in field.lists()]
        near = difflib.get_close_matches(name, usable, 2, 0.6)
        return f"; did you mean {' or '.join(near)}?" if near else ": see the list of fields"

    def _test(self, found: Field, term: Term) -> Test:
        if len(term.value) > MOST_IN_A_VALUE:
            raise self._error(f"a value may have {MOST_IN_A_VALUE:,} characters", term.value_span)
        word = values.shown(term.value)
        is_word = not term.quoted and term.operator == ":" and word.lower() in {"none", "any"}
        if is_word and (found.nullable or (found.name == "use" and word.lower() == "any")):
            return Known(word.lower() == "any")
        test = self._parsed(found, term, word)
        if test is None:
            raise self._error(_wanted(found), term.value_span)
        return test

    def _parsed(self, found: Field, term: Term, word: str) -> Test | None:
        kind, operator = found.kind, term.operator
        if kind is Kind.CHOICE:
            return _choice(found, word.lower())
        if kind in {Kind.NAME, Kind.PART}:
            if operator == "=":
                return Text(word, "equal")
            return Text(word, "part" if kind is Kind.PART else "glob")
        if kind is Kind.PATH:
            return self._path(term, word)
        if kind in {Kind.UNTIL, Kind.SINCE, Kind.ANSWER}:
            said = _choice(found, word.lower()) if kind is Kind.ANSWER and operator == ":" else None
            age = kind is not Kind.UNTIL
            return said or values.times(operator, word, self.now_ms, age=age)
        return _number(found, operator, word)

    def _path(self, term: Term, word: str) -> Path:
        if term.operator == "=":
            return Path(word, "equal")
        if "*" not in word:
            return Path(word.rstrip("/") or "/", "below")
        stars = re.findall(r"\*+", word)
        if len({len(star) > 1 for star in stars}) > 1 and len(stars) > MOST_MIXED_STARS:
            raise self._error(
                f"a path with both * and ** may have {MOST_MIXED_STARS} of them", term.value_span
            )
        return Path(word, "glob")

    def _word(self, word: Word, *, negated: bool) -> Bound:
        if len(word.value) > MOST_IN_A_VALUE:
            raise self._error(f"a word may have {MOST_IN_A_VALUE:,} characters", word.span)
        parts = tuple(
            Literal(BY_NAME[name], test, negated)
            for name, test in _readings(self.target, values.shown(word.value))
        )
        for part in parts:
            self.artifacts = self.artifacts or not _ARTIFACTS.isdisjoint(part.field.levels)
        return All(parts) if negated else Some(parts)

    def _error(self, text: str, span: Span) -> QueryError:
        return QueryError(text, self.text, *span)


def _own_or_inherited(literal: Literal) -> Bound:
    """Return a condition on a label of a certificate: its own, or without one the place's host's."""
    own = replace(literal, field=OWN_LABEL)
    if isinstance(literal.test, Known):
        both = (own, literal)
        return Some(both) if literal.test.known != literal.negated else All(both)
    has_none = Literal(OWN_LABEL, Known(known=False), label=literal.label)
    return Some((own, All((has_none, literal))))


# SQLite takes patterns of 50,000 bytes; names and paths that are kept are far shorter.
MOST_IN_A_VALUE = 1_000
# Each could match anywhere, and together they are tried in every way.
MOST_MIXED_STARS = 4


def condition_with(node: Bound, scope: tuple[Bound, ...]) -> Bound:
    """Return a condition whose any(…) and none(…) are about places of this scope."""
    if isinstance(node, Exists):
        return Exists(node.exist, All((condition_with(node.inner, scope), *scope)))
    if isinstance(node, All | Some):
        return type(node)(tuple(condition_with(part, scope) for part in node.parts))
    return node


def _choice(found: Field, word: str) -> Choice | None:
    spelt = {"true": "yes", "false": "no", "1": "yes", "0": "no"}
    value = spelt.get(word, word) if "yes" in found.values else word
    return Choice(value) if value in found.values else None


def _number(found: Field, operator: str, word: str) -> Test | None:
    if found.kind is Kind.NUMBER:
        return values.numbers(operator, word)
    if found.kind is Kind.MODE:
        return values.mode(word)
    if found.kind is Kind.SERIAL:
        return values.serial(word)
    return values.hash_range(word, _HASH_BYTES.get(found.name, 32))


def _wanted(found: Field) -> str:
    kinds = {
        Kind.CHOICE: f"is one of {', '.join(found.values)}",
        Kind.UNTIL: f"takes a time: {values.TIME_HELP}; with : a date or a range",
        Kind.SINCE: f"takes a time or an age: {values.TIME_HELP}; with : a date or a range",
        Kind.ANSWER: f"is one of {', '.join(found.values)}; or takes a time or an age: {values.TIME_HELP}",
        Kind.NUMBER: "takes a number or a range: 2048, 1024..2048",
        Kind.MODE: "takes permission bits: 0640",
        Kind.HASH: f"takes a hash in hexadecimal, or its first {values.SHORTEST_PREFIX} digits",
        Kind.SERIAL: "takes a serial number, in hexadecimal or decimal",
    }
    return f"{found.name} {kinds[found.kind]}"


def _readings(target: str, word: str) -> Iterator[tuple[str, Test]]:
    """Yield what a word without a field can mean in a list."""
    part = Text(word, "part")
    digits = re.sub(r"[\s:]", "", word)
    if target == "certificates":
        yield "name", part
        yield "subject", part
        if len(digits) >= _ID_DIGITS:
            for name, size in (("sha256", 32), ("sha1", 20), ("key-id", 32)):
                if (hashes := values.hash_range(word, size)) is not None:
                    yield name, hashes
            if (serial := values.serial(word)) is not None:
                yield "serial", serial
        return
    if target == "keys" and len(digits) >= _ID_DIGITS:
        hashes = values.hash_range(word, 32)
        if hashes is not None:
            yield "key-id", hashes
    if target in {"keys", "places"}:
        yield "path", Path(word, "part")
    if target == "gaps":
        yield "gap", Path(word, "part")
    yield "host", part
