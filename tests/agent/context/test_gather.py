"""What holds for all readers of configurations and records of renewal alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.configured_root import context_of, write

from keycensus_agent.context.bindings import Binding, Context, Renewer
from keycensus_agent.context.renewers import table as renewers
from keycensus_agent.context.renewers.ask import Asked
from keycensus_agent.context.services import table as services
from keycensus_agent.context.sources import Sources
from keycensus_agent.context.systemd import Units

_DOCS = Path(__file__).parents[3] / "docs/context.md"


def broken_service(sources: Sources, _: Units) -> Iterator[Binding]:
    yield from (Binding(sources.reader, "", b"/c", n, "key", (b"/k",)) for n in range(5))
    raise RecursionError("what the file says")


def broken_tool(asked: Asked) -> Iterator[Renewer]:
    yield asked.renewer("x", "n", record="/r", paths=(), schedule="", last_success_ms=0, reason="")
    raise ValueError("what the file says")


def test_an_empty_root_says_nothing(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    assert context == Context()
    assert context.problems == ()


def test_a_reader_that_fails_costs_itself_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (services.Service("broken", broken_service), *services.SERVICES)
    monkeypatch.setattr(services, "SERVICES", rows)
    monkeypatch.setattr(renewers, "TOOLS", (renewers.Tool("bad", broken_tool), *renewers.TOOLS))
    write(tmp_path, {"/etc/nginx/nginx.conf": "http { ssl_certificate /c; }"})
    context = context_of(tmp_path)
    assert [one.service for one in context.bindings] == ["broken"] * 5 + ["nginx"]
    assert [one.tool for one in context.renewers] == ["x"]
    assert [(one.service, one.text) for one in context.problems] == [
        ("broken", "not read: RecursionError"),
        ("bad", "not read: ValueError"),
    ]


def test_what_names_too_much_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "SERVICES", (services.Service("broken", broken_service),))
    monkeypatch.setattr(services, "BINDINGS_LIMIT", 2)
    monkeypatch.setattr(renewers, "TOOLS", (renewers.Tool("bad", broken_tool),))
    monkeypatch.setattr(renewers, "RENEWERS_LIMIT", 0)
    context = context_of(tmp_path)
    assert (len(context.bindings), len(context.renewers)) == (2, 0)
    assert [one.text for one in context.problems] == [
        "names files more than 2 times: the rest is left out",
        "renews more than 0: the rest is left out",
    ]


def test_bindings_are_found_by_place_and_by_the_file_a_link_leads_to(tmp_path: Path) -> None:
    conf = (
        "http { ssl_certificate /a.pem; server { listen 1 ssl; ssl_trusted_certificate /b.pem; } }"
    )
    write(tmp_path, {"/etc/nginx/nginx.conf": conf})
    context = context_of(tmp_path)
    assert [one.directive for one in context.bindings_of(b"/b.pem")] == ["trust"]
    assert [one.directive for one in context.bindings_of(b"/link", b"/a.pem")] == ["certificate"]
    assert context.bindings_of(b"/c.pem") == []


def test_every_reader_is_documented() -> None:
    page = _DOCS.read_text()
    headings = {title.lower() for title in re.findall(r"^### (.+)$", page, re.MULTILINE)}
    tools = set(re.findall(r"^\| ([\w. -]+) \| `", page, re.MULTILINE))
    assert [row.name for row in services.SERVICES if row.name not in headings] == []
    assert [row.name for row in renewers.TOOLS if row.name not in tools] == []
