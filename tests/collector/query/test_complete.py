"""What is suggested while a query is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keycensus_collector.errors import QueryError
from keycensus_collector.query.bind import bind
from keycensus_collector.query.complete import complete
from keycensus_collector.query.fields import FIELDS, OPERATORS_OF, TARGETS, Kind
from keycensus_collector.query.parse import parse


def texts(target: str, query: str, position: int | None = None) -> list[str]:
    done = complete(target, query, len(query) if position is None else position)
    return [suggestion.text for suggestion in done.suggestions]


@pytest.mark.parametrize(
    ("target", "query", "expected"),
    [
        ("certificates", "exp", ["expires<"]),
        ("certificates", "host:web1 (not-a", ["expires<"]),
        ("certificates", "use:", ["use:live", "use:retained", "use:any"]),
        ("certificates", "host:x use:r", ["use:retained"]),
        ("certificates", "USE:R", ["USE:retained"]),
        ("certificates", "cn:", ["cn:*.example.com", "cn:none", "cn:any"]),
        ("keys", "expir", []),
        ("keys", "expires:", []),
        ("keys", "certificate:", ["certificate:found", "certificate:none"]),
        ("hosts", "state:s", ["state:silent"]),
        ("hosts", "nowhere:", []),
        ("hosts", "lab", ["label."]),
        ("hosts", "non", ["none("]),
        ("hosts", "as", ["as-of:"]),
    ],
)
def test_suggestions(target: str, query: str, expected: list[str]) -> None:
    assert texts(target, query) == expected


def test_an_empty_query_is_offered_every_field_of_its_list() -> None:
    for target in TARGETS:
        offered = texts(target, "")
        fields = [field for field in FIELDS if target in field.lists()]
        assert len(offered) == len(fields) + 6


def test_the_part_that_is_replaced_is_the_one_at_the_cursor() -> None:
    query = "sta host:web1"
    done = complete("hosts", query, 3)
    assert (done.start, done.length) == (0, 3)
    assert [each.text for each in done.suggestions] == ["status:", "state:"]


@given(st.text(max_size=40), st.integers(-5, 50), st.sampled_from(TARGETS))
def test_any_text_is_completed_or_left(query: str, position: int, target: str) -> None:
    done = complete(target, query, position)
    assert 0 <= done.start <= done.start + done.length <= len(query)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_suggested_can_be_asked(target: str) -> None:
    for field in FIELDS:
        if target not in field.lists() or field.name == "label":
            continue
        operators = OPERATORS_OF[field.kind]
        operator = "<" if field.kind in {Kind.UNTIL, Kind.SINCE} else operators[0]
        for value in [*field.values, *(["none", "any"] if field.nullable else [])]:
            sign = "" if value[0] in "<>" else (":" if value in {"none", "any"} else operator)
            try:
                bind(parse(f"{field.name}{sign}{value}"), target, 0)
            except QueryError as error:  # pragma: no cover - said by the failure
                pytest.fail(f"{field.name}{sign}{value}: {error}")
