"""Text to a tree: what is read, what is refused and where, and that nothing a stranger sends hurts."""

from __future__ import annotations

import pytest
from fakes.queries import nodes
from hypothesis import given
from hypothesis import strategies as st

from keycensus_collector.errors import QueryError, UsageError
from keycensus_collector.query.model import And, Node, Not, Or, Places, Query, Term, Word
from keycensus_collector.query.parse import MOST_CHARACTERS, parse
from keycensus_collector.query.render import render
from keycensus_collector.query.stored import dump, load

A, B, C = Term("a", ":", "1"), Term("b", ":", "2"), Term("c", ":", "3")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("  \t\n ", None),
        ("a:1", A),
        ("A:1", A),
        ("a:1 b:2", And((A, B))),
        ("a:1 AND b:2 and c:3", And((A, B, C))),
        ("a:1 or b:2 c:3", Or((A, And((B, C))))),
        ("(a:1 Or b:2) c:3", And((Or((A, B)), C))),
        ("((((a:1))))", A),
        ("not a:1", Not(A)),
        ("NOT not a:1", A),
        ("not(a:1 b:2)", Not(And((A, B)))),
        ("not a:1 b:2", And((Not(A), B))),
        ("none(a:1) ANY(b:2)", And((Places(False, A), Places(True, B)))),
        ("expires<30d", Term("expires", "<", "30d")),
        ("expires <= 30d", Term("expires", "<=", "30d")),
        ("bits!=2048", Not(Term("bits", "=", "2048"))),
        ("path:/etc/nginx/**", Term("path", ":", "/etc/nginx/**")),
        ("path=/a/../b", Term("path", "=", "/a/../b")),
        ("san:2001:db8::1", Term("san", ":", "2001:db8::1")),
        ("san:*.example.com", Term("san", ":", "*.example.com")),
        ('issuer:"Let\'s Encrypt"', Term("issuer", ":", "Let's Encrypt", quoted=True)),
        ("issuer:'say \"x\"'", Term("issuer", ":", 'say "x"', quoted=True)),
        ('a:"x""y"', Term("a", ":", 'x"y', quoted=True)),
        (r'a:"\x1b"', Term("a", ":", r"\x1b", quoted=True)),
        ("www.example.com", Word("www.example.com")),
        ('"two words"', Word("two words")),
        ("'and'", Word("and")),
        ("AB:CD:EF:01:23", Word("AB:CD:EF:01:23")),
        ("fe80::1", Word("fe80::1")),
        ("2001:db8::1", Word("2001:db8::1")),
        ("android order nothing", And((Word("android"), Word("order"), Word("nothing")))),
        ("label.env:prod", Term("label.env", ":", "prod")),
        ("серт:1", None),
    ],
)
def test_what_is_read(text: str, expected: Node | None) -> None:
    if text == "серт:1":
        assert parse('"серт:1"').expression == Word("серт:1")
    else:
        assert parse(text) == Query(expected)


def test_the_date_of_a_query_is_of_all_of_it() -> None:
    query = parse("host:web1 as-of:2026-09-30 expires<30d")
    assert query.as_of == "2026-09-30"
    assert query == parse("as-of:2026-09-30 host:web1 expires<30d")
    assert render(query) == "(host:web1 expires<30d) as-of:2026-09-30"
    assert parse("as-of:2026-09-30") == Query(None, "2026-09-30")


@pytest.mark.parametrize(
    ("text", "position", "length", "said"),
    [
        ("a:", 2, 1, "a value is missing"),
        ("a: b:2", 0, 1, None),
        ("host:(web1)", 5, 1, "a value is missing"),
        ("a:1 and", 7, 1, "something is missing"),
        ("(a:1", 4, 1, "not closed"),
        ("a:1)", 3, 1, "never opened"),
        ("()", 1, 1, "never opened"),
        ("or a:1", 0, 2, "both sides of or"),
        ("a:1 or or b:2", 7, 2, "both sides"),
        ('issuer:"Let', 7, 1, "not closed"),
        ("a:1 b:2(x)", 6, 1, "a value is missing"),
        ("x(y)", 0, 1, "can't stand here"),
        ('a:"x"y', 2, 1, "right behind it"),
        ("a:1 = 2", 4, 1, "field:value"),
        ("as-of:2026-01-01 as-of:2026-01-02", 17, 16, "more than once"),
        ("a:1 or as-of:2026-01-01", 7, 16, "of the whole query"),
        ("none(as-of:2026-01-01)", 5, 16, "of the whole query"),
        ("as-of<2026-01-01", 0, 16, "takes a date"),
        ("not as-of:2026-01-01", 4, 16, "of the whole query"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, position: int, length: int, said: str | None) -> None:
    if said is None:
        parse(text)
        return
    with pytest.raises(QueryError, match=said) as caught:
        parse(text)
    assert (caught.value.position, caught.value.length) == (position, length)
    assert caught.value.pointer().splitlines()[1] == " " * position + "^" * length


def test_a_pointer_shows_a_part_of_a_long_query_and_nothing_that_acts() -> None:
    with pytest.raises(QueryError) as caught:
        parse("\x1b[31m\u202e" * 20 + 'x "')
    shown, caret = caught.value.pointer().splitlines()
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert shown.index('"') == caret.index("^")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x" * (MOST_CHARACTERS + 1), "8,000"),
        ("x" * 100_000, "8,000"),
        ("(" * 4_000, "32 deep"),
        ("none(" * 33 + "a:1" + ")" * 33, "32 deep"),
        ("a:1 " * 201, "201 conditions"),
        (")" * 8_000, "never opened"),
        ('"' * 7_999, "not closed"),
    ],
)
def test_size_and_depth_are_bounded(text: str, said: str) -> None:
    with pytest.raises(QueryError, match=said):
        parse(text)


def test_many_nots_are_one_or_none() -> None:
    assert parse("not " * 1_999 + "a:1") == Query(Not(A))


@given(nodes())
def test_a_tree_comes_back_from_text_and_from_its_stored_form(node: Node) -> None:
    query = Query(node, "2026-09-30")
    assert parse(render(query)) == query
    assert load(dump(query)) == query


@given(st.text(max_size=60) | st.text("()\"' :<>=!andortx*", max_size=40))
def test_any_text_is_a_tree_or_an_error_with_a_place(text: str) -> None:
    query, error = None, None
    try:
        query = parse(text)
    except QueryError as caught:
        error = caught
    if error is not None:
        assert 0 <= error.position <= len(text)
        assert error.pointer()
    else:
        assert query is not None
        assert parse(render(query)) == query


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "[]",
        "{}",
        '{"version": 1}',
        '{"version": 1, "as_of": 3, "expression": null}',
        '{"version": 1, "as_of": "", "expression": ["term", "a", "~", "b", false]}',
        '{"version": 1, "as_of": "", "expression": ["term", 1, ":", "b", false]}',
        '{"version": 1, "as_of": "", "expression": ["and", ["word", "x"]]}',
        '{"version": 1, "as_of": "", "expression": ["xor", ["word", "x"]]}',
        '{"version": 1, "as_of": "", "expression": ' + '["not", ' * 99 + '"x"' + "]" * 99 + "}",
        "[" * 100_000,
    ],
)
def test_a_stored_query_that_is_damaged_is_refused(stored: str) -> None:
    with pytest.raises(UsageError, match="save it again"):
        load(stored)


def test_a_query_stored_by_a_newer_program_says_so() -> None:
    with pytest.raises(UsageError, match="version 2"):
        load('{"version": 2, "as_of": "", "expression": null}')
