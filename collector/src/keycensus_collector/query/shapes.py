"""What can be told of a checked condition without asking the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keycensus_collector.query.bound import All, Bound, Exists, Literal, Some, is_own
from keycensus_collector.query.conditions import Choice, Known, Text, expected
from keycensus_collector.query.fields import Level


@dataclass(frozen=True, slots=True)
class Held:
    """A condition on a place that `holding` answers: outside trust stores, by use and host."""

    use: str
    hosts: tuple[Literal, ...]

    @classmethod
    def of(cls, parts: Sequence[Bound]) -> Held | None:
        """Return it, or None if the parts ask for more."""
        use: str | None = None
        hosts: list[Literal] = []
        outside = False
        for part in parts:
            if not isinstance(part, Literal):
                return None
            if part.field.levels == (Level.HOST,):
                hosts.append(part)
            elif is_outside(part):
                outside = True
            elif part.field.name == "use" and not part.negated and isinstance(part.test, Known):
                continue
            elif part.field.name == "use" and use is None and not part.negated:
                use = expected(Choice, part.test).value
            else:
                return None
        return cls(use or "", tuple(hosts)) if outside else None


_TRUST_STORE = Text("trust-store", "equal")


def is_outside(literal: Literal) -> bool:
    """Whether a condition leaves trust stores out."""
    return literal.field.name == "role" and literal.negated and literal.test == _TRUST_STORE


def is_of_any_place(node: Bound) -> bool:
    """Whether a condition holds of every place: any use, any role."""
    return (
        isinstance(node, Literal)
        and node.field.name in {"use", "role"}
        and node.test == Known(known=True)
        and not node.negated
    )


_OPEN = {("readable-by", "world"), ("use", "live")}


def is_open_to_all(parts: Sequence[Bound]) -> bool:
    """Whether parts say just that everybody can read it at a live place outside trust stores."""
    others = [part for part in parts if not (isinstance(part, Literal) and is_outside(part))]
    return says_open_to_all(parts) and len(others) == len(_OPEN)


def says_open_to_all(parts: Sequence[Bound]) -> bool:
    """Whether parts say that, whatever else."""
    said = [part for part in parts if isinstance(part, Literal)]
    words = {
        (part.field.name, part.test.value)
        for part in said
        if isinstance(part.test, Choice) and not part.negated
    }
    return words >= _OPEN and any(map(is_outside, said))


def without_places(node: Bound, target: str) -> Bound:
    """Return what is left of a condition where there is no place: nothing holds of it."""
    if isinstance(node, Literal):
        return node if is_own(node, target) else Some(())
    if isinstance(node, Exists):
        return node
    return type(node)(tuple(without_places(part, target) for part in node.parts))


def flattened(node: Bound) -> list[Bound]:
    """Return the parts of an and, with those of an and in it."""
    if not isinstance(node, All):
        return [node]
    return [inner for part in node.parts for inner in flattened(part)]


def is_about_the_place(node: Bound) -> bool:
    """Whether a condition needs nothing of an entry."""
    if isinstance(node, Literal):
        return Level.ENTRY not in node.field.levels
    return not isinstance(node, Exists) and all(map(is_about_the_place, node.parts))


def needs_an_entry(node: Bound) -> bool:
    """Whether a condition holds of entries only."""
    if isinstance(node, All | Some):
        return bool(node.parts) and all(map(needs_an_entry, node.parts))
    return is_about_the_file(node)


def is_about_the_file(node: Bound) -> bool:
    """Whether a condition needs an entry of the file, or an artifact."""
    if isinstance(node, Literal):
        return not {Level.ENTRY, Level.CERTIFICATE, Level.KEY}.isdisjoint(node.field.levels)
    return not isinstance(node, Exists) and any(map(is_about_the_file, node.parts))


def literals(node: Bound) -> Iterator[Literal]:
    """Yield each condition, but those about other places."""
    if isinstance(node, Literal):
        yield node
    elif not isinstance(node, Exists):
        for part in node.parts:
            yield from literals(part)


def mentions_path(parts: Sequence[Bound]) -> bool:
    """Whether a path is asked for, so that names in trees are meant, too."""
    return any(literal.field.name == "path" for part in parts for literal in literals(part))


def says_mode(parts: Sequence[Bound]) -> bool:
    """Whether all of it is about places of one mode."""
    return any(
        isinstance(part, Literal) and part.field.name == "mode" and not part.negated
        for part in parts
    )


@dataclass(frozen=True, slots=True)
class Sorted:
    """Parts of an and by what they need: a path alone, a place, an entry of a file, or more than one."""

    paths: list[Bound]
    places: list[Bound]
    files: list[Bound]
    rest: list[Bound]

    @classmethod
    def of(cls, parts: Sequence[Bound], levels_outside: frozenset[Level]) -> Sorted:
        """Sort them. `levels_outside`: of what the list is of, which no place has at hand."""
        found = cls([], [], [], [])
        for part in parts:
            found._kind(part, levels_outside).append(part)
        return found

    def _kind(self, part: Bound, levels_outside: frozenset[Level]) -> list[Bound]:
        """Return the list that a part belongs to."""
        levels = frozenset(level for each in literals(part) for level in each.field.levels)
        of_paths = {each.field.name == "path" for each in literals(part)}
        if isinstance(part, Exists) or levels & levels_outside:
            return self.rest
        if True in of_paths:
            return self.paths if of_paths == {True} else self.rest
        if levels <= {Level.PLACE, Level.HOST}:
            return self.places
        return self.rest if levels & {Level.PLACE, Level.HOST} else self.files
