"""Answers: decoded by what is known of them, safe to show, and the same as the collector's."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from keycensus_client import model
from keycensus_client.errors import AnswerError
from keycensus_client.text import safe_again, safe_text
from keycensus_collector.inventory import results

MATCH = {"kind": "host", "id": "1", "name": "web1"}


def test_every_answer_has_the_collectors_fields() -> None:
    compared = 0
    for name, type_ in vars(model).items():
        theirs: Any = getattr(results, name, None)
        if isinstance(type_, type) and dataclasses.is_dataclass(theirs):
            ours = [(field.name, str(field.type)) for field in dataclasses.fields(type_)]
            assert ours == [(f.name, str(f.type)) for f in dataclasses.fields(theirs)], name
            compared += 1
    assert compared == sum(1 for value in vars(results).values() if isinstance(value, type))


def test_what_a_newer_collector_adds_is_left_out() -> None:
    assert model.decode(model.Match, MATCH | {"colour": "red"}) == model.Match(**MATCH)


@pytest.mark.parametrize(
    "value", [None, [], "x", {}, MATCH | {"name": None}, MATCH | {"name": 5}, {"kind": "host"}]
)
def test_what_is_no_answer_is_an_error(value: object) -> None:
    with pytest.raises(AnswerError, match="upgrade the older"):
        model.decode(model.Match, value)


def test_nested_answers_and_nothing() -> None:
    shown = model.decode(
        model.Shown,
        {
            "kind": "host",
            "certificate": None,
            "host": {
                "host": {
                    **dict.fromkeys(
                        ("id", "name", "state", "operating_system", "kernel", "agent_version"), "x"
                    ),
                    **dict.fromkeys(
                        ("live_places", "retained_places", "certificates", "keys", "gaps"), 1
                    ),
                    "complete": True,
                    "created": None,
                    "last_seen": "2026-11-23T12:00:00Z",
                    "labels": {"token": {"env": "prod\x1b"}},
                },
                "gaps": [],
                "counters": {"files": 3},
                "unread": [],
                "expiring": [],
            },
        },
    )
    assert shown.host is not None
    assert shown.host.host.labels == {"token": {"env": "prod\\x1b"}}
    assert shown.certificate is None


def test_escaping_again_changes_nothing_that_is_escaped_and_lets_nothing_through() -> None:
    hostile = "a\\b\x1b[31m\u202e\u200bé"
    once = safe_text(hostile)
    assert safe_again(once) == once
    assert model.decode(model.Match, MATCH | {"name": once}).name == once
    assert safe_again("\x1b\\x1b\u202e") == "\\x1b\\x1b\\u202e"
    assert safe_again("é\u200b") == "é\\u200b"
