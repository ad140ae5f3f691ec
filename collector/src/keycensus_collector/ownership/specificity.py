"""How specific a rule is, told from its query alone: the same on every machine and in every order.

Each condition that has to hold weighs by its field: one thing (a fingerprint, a serial, a key id) more
than a name or path, that more than a service, a package, a host, a label, an issuer, and the rest. One
with `*`, or one that says what is not, weighs half. Conditions that all hold add up; of an or, the
least counts. Where that is equal, the one with more letters to match does; then the first by name.
"""

from __future__ import annotations

from keycensus_collector.query.model import And, Node, Not, Or, Places, Query, Term, Word

_WEIGHTS = {
    **dict.fromkeys(("sha256", "fingerprint", "sha1", "serial", "key-id", "id", "line"), 128),
    **dict.fromkeys(("name", "san", "cn", "path", "link"), 64),
    "service": 32,
    "package": 16,
    "host": 8,
    "label": 4,
    "issuer": 2,
    "under": 2,
}
_REST = 1
# All weights twice, so that a half is a whole number.
_WHOLE, _HALF = 2, 1

Weight = tuple[int, int]


def specificity(query: Query) -> Weight:
    """Return what a query weighs: compare as tuples, the greater is more specific."""
    return (0, 0) if query.expression is None else _of(query.expression, _WHOLE)


def _of(node: Node, share: int) -> Weight:
    if isinstance(node, Not):
        return _of(node.inner, _HALF)
    if isinstance(node, Places):
        return _of(node.inner, share if node.exist else _HALF)
    if isinstance(node, And):
        weights = [_of(part, share) for part in node.parts]
        return sum(weight for weight, _ in weights), sum(letters for _, letters in weights)
    if isinstance(node, Or):
        return min(_of(part, share) for part in node.parts)
    if isinstance(node, Word):
        return _REST * _HALF, len(node.value)
    return _of_term(node, share)


def _of_term(term: Term, share: int) -> Weight:
    name = "label" if term.field.startswith("label.") else term.field
    half = "*" in term.value or term.operator == "!="
    letters = len(term.value.replace("*", ""))
    return _WEIGHTS.get(name, _REST) * (_HALF if half else share), letters
