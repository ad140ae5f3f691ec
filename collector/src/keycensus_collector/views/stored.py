"""Views in the database: saved, listed, removed. The tree of the query is kept, with its version.

A query is checked when it is saved. What is kept is shown as text; a tree that this program can't read
any more is said to be so, and does not keep the other views from being listed.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.query.bind import bind
from keycensus_collector.query.model import Query
from keycensus_collector.query.parse import parse
from keycensus_collector.query.render import render
from keycensus_collector.query.stored import dump, load
from keycensus_collector.store.schema import view as views
from keycensus_collector.text import safe_text
from keycensus_collector.views.defaults import BY_NAME, DEFAULTS
from keycensus_collector.views.model import View, check_name

# A company has hundreds at most; more is a script gone wrong.
MOST_VIEWS = 2_000


def list_views(connection: Connection, *, after: str = "", limit: int | None = None) -> list[View]:
    """Return views: the program's own, then the saved ones by name; those behind the one named `after`."""
    own: list[View] = list(DEFAULTS)
    saved = select(views).order_by(views.c.name).limit(limit)
    if after in BY_NAME:
        own = own[own.index(BY_NAME[after]) + 1 :]
    elif after:
        own, saved = [], saved.where(views.c.name > after)
    return [*own, *map(_view, connection.execute(saved))][:limit]


def find_view(connection: Connection, name: str) -> View | None:
    """Return one view; None if there is none of this name."""
    if name in BY_NAME:
        return BY_NAME[name]
    row = connection.execute(select(views).where(views.c.name == name)).one_or_none()
    return None if row is None else _view(row)


def save_view(connection: Connection, view: View, *, actor: str, now_ms: int) -> View:
    """Save a view, over one of the same name; QueryError or UsageError for what can't be one."""
    query = _checked(view, now_ms)
    values = {
        "description": safe_text(view.description),
        "what": view.what,
        "query": dump(query),
        "columns": json.dumps(view.columns),
        "saved_by": safe_text(actor),
        "saved_ms": now_ms,
    }
    known = connection.execute(
        update(views).where(views.c.name == view.name).values(values)
    ).rowcount
    if not known:
        if len(connection.execute(select(views.c.view_no).limit(MOST_VIEWS)).all()) == MOST_VIEWS:
            raise UsageError(f"there are {MOST_VIEWS:,} views; delete some first")
        connection.execute(insert(views).values(values | {"name": view.name}))
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="view.save",
        subject=view.name,
        detail={"what": view.what, "query": view.query},
    )
    saved = find_view(connection, view.name)
    return view if saved is None else saved


def check_view(view: View, now_ms: int) -> View:
    """Return a view as it would be saved; errors as `save_view`."""
    return replace(
        view, description=safe_text(view.description), query=render(_checked(view, now_ms))
    )


def _checked(view: View, now_ms: int) -> Query:
    if check_name(view.name) in BY_NAME:
        raise UsageError(f"{view.name} comes with the program; save yours under another name")
    query = parse(view.query)
    bind(query, view.what, now_ms)
    return query


def delete_view(connection: Connection, name: str, *, actor: str, now_ms: int) -> bool:
    """Remove a saved view; False if there is none, UsageError for one of the program's own."""
    if name in BY_NAME:
        raise UsageError(f"{name} comes with the program and can't be deleted")
    if not connection.execute(delete(views).where(views.c.name == name)).rowcount:
        return False
    audit.record(connection, at_ms=now_ms, actor=actor, action="view.delete", subject=name)
    return True


def _view(row: Row[Any]) -> View:
    query, problem = "", ""
    try:
        query = render(load(row.query))
    except UsageError as error:
        problem = str(error)
    return View(
        name=row.name,
        description=row.description,
        what=row.what,
        query=query,
        problem=problem,
        columns=tuple(json.loads(row.columns)),
        saved_by=row.saved_by,
        saved_ms=row.saved_ms,
    )
