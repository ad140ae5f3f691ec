"""Views as a file: `views.yaml`. Those that come with the program are not in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keycensus_client.as_code.documents import Members, Mistakes, named, read
from keycensus_client.as_code.plan import Step
from keycensus_client.errors import UsageError
from keycensus_client.model import View
from keycensus_client.rest import Client
from keycensus_client.text import safe_text

KIND = "views"
_LISTS = ("certificates", "keys", "places", "hosts")
_MEMBERS = ("list", "query", "description", "columns")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A view as a file has it."""

    name: str
    what: str
    query: str
    description: str
    columns: list[str]
    line: int


def current(client: Client) -> dict[str, Any]:
    """Return the content of the file for what is there now; UsageError for a view that can't be read."""
    views = [view for view in client.views() if not view.built_in]
    unreadable = [view.name for view in views if view.problem]
    if unreadable:
        raise UsageError(
            f"the query of {', '.join(unreadable)} can't be read by this collector: save or delete it first"
        )
    return {KIND: {view.name: _members(view) for view in sorted(views, key=lambda view: view.name)}}


def _members(view: View) -> dict[str, Any]:
    members: dict[str, Any] = {"list": view.what, "query": view.query}
    if view.description:
        members["description"] = view.description
    if view.columns:
        members["columns"] = view.columns
    return members


def plan(client: Client, file: Path, mistakes: Mistakes, *, prune: bool) -> list[Step]:
    """Return what makes the collector's views those of a file; what can't be is noted as mistakes."""
    wanted = [
        _wanted(name, members)
        for name, members in named(read(file, mistakes), KIND, file, mistakes)
    ]
    there = {view.name: view for view in client.views()}
    steps = [
        step
        for one in wanted
        for step in _planned(client, file, mistakes, one, there.get(one.name))
    ]
    names = {one.name for one in wanted}
    others = [view for view in there.values() if not view.built_in and view.name not in names]
    return steps + [_removal(client, view, prune=prune) for view in others]


def _wanted(name: str, members: Members) -> _Wanted:
    members.end(_MEMBERS)
    return _Wanted(
        name,
        members.choice("list", _LISTS),
        members.text("query"),
        members.text("description", default=""),
        members.texts("columns"),
        members.line,
    )


def _planned(
    client: Client, file: Path, mistakes: Mistakes, one: _Wanted, before: View | None
) -> Iterator[Step]:
    """Yield the step to one view, if one is needed. The collector says what its query means."""
    if not one.what:
        return
    try:
        after = client.save_view(
            one.name, one.what, one.query, one.description, one.columns, check=True
        )
        tag = None if before is None else client.view_and_tag(one.name)[1]
    except UsageError as error:
        mistakes.add(file, one.line, f"{safe_text(one.name)}: {error}")
        return
    if before is not None and _members(before) == _members(after):
        return

    def save() -> None:
        client.save_view(
            one.name, one.what, one.query, one.description, one.columns, over=tag or ""
        )

    old = {} if before is None else _members(before)
    yield Step("change" if before else "create", KIND, one.name, old, _members(after), save)


def _removal(client: Client, view: View, *, prune: bool) -> Step:
    """Return the step that deletes what no file has, or says that it stays."""

    def delete() -> None:
        client.delete_view(view.name)

    return Step("delete" if prune else "keep", KIND, view.name, _members(view), {}, delete)
