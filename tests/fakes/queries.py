"""Trees of queries for property tests: any that the language can say."""

from __future__ import annotations

from hypothesis import strategies as st

from keycensus_collector.query.model import OPERATORS, And, Node, Not, Or, Places, Term, Word

_FIELD = st.from_regex(r"[a-z][a-z0-9._-]{0,6}", fullmatch=True).filter(lambda f: f != "as-of")
_TEXT = st.text(max_size=12) | st.sampled_from(["and", "none", "a b", 'x"y', "(", "*", "a:b", "<1"])
_PLAIN = st.from_regex(r"[a-z0-9/*.,_:-]{1,8}", fullmatch=True)


def nodes(leaves: st.SearchStrategy[Node] | None = None) -> st.SearchStrategy[Node]:
    """Give trees of `leaves`, or of terms and words that name nothing."""
    if leaves is None:
        leaves = (
            st.builds(Term, _FIELD, st.sampled_from(OPERATORS), _TEXT, quoted=st.just(True))
            | st.builds(Term, _FIELD, st.sampled_from(OPERATORS), _PLAIN)
            | st.builds(Word, _TEXT)
        ).filter(lambda leaf: not _reads_as_word(leaf))
    return st.recursive(leaves, _larger, max_leaves=8)


def _reads_as_word(leaf: Node) -> bool:
    """Whether a term is written as a fingerprint or an address is."""
    from keycensus_collector.query.parse import is_one_word

    return isinstance(leaf, Term) and is_one_word(f"{leaf.field}{leaf.operator}{leaf.value}")


def _larger(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    several = st.lists(inner, min_size=2, max_size=3)
    return (
        several.map(lambda parts: _flat(And, parts))
        | several.map(lambda parts: _flat(Or, parts))
        | inner.map(lambda node: node.inner if isinstance(node, Not) else Not(node))
        | st.builds(Places, st.booleans(), inner)
    )


def _flat(kind: type[And | Or], parts: list[Node]) -> Node:
    flat: list[Node] = []
    for part in parts:
        flat += part.parts if isinstance(part, kind) else [part]
    return kind(tuple(flat))
