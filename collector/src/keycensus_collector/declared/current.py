"""What is declared now, in a stable order."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select

from keycensus_collector.declared.model import (
    Declared,
    DeclaredPerson,
    DeclaredTeam,
    DeclaredView,
)
from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.ownership.people import list_people
from keycensus_collector.ownership.rule_file import rules_text
from keycensus_collector.ownership.settings import fallback_name
from keycensus_collector.ownership.teams import list_teams
from keycensus_collector.store.schema import certificate, host
from keycensus_collector.store.tables.ownership import label
from keycensus_collector.views.stored import list_views

Labels = dict[str, dict[str, str]]


def declared_now(connection: Connection) -> Declared:
    """Return all that is declared; UsageError for a view whose query can't be read any more."""
    rules = rules_text(connection)
    certificates, names = _certificates(connection)
    return Declared(
        views=_views(connection),
        teams={
            each.name: DeclaredTeam(
                each.description,
                each.contact,
                [name for name in each.members if name not in each.by_groups],
                "active" if each.dissolved_ms is None else "dissolved",
            )
            for each in list_teams(connection)
            if not each.person
        },
        people={
            each.name: DeclaredPerson(
                each.full_name, each.email, each.contact, each.user, each.subject, each.state
            )
            for each in list_people(connection)
        },
        fallback=fallback_name(connection),
        rules=[] if rules is None else rules[1].splitlines(),
        hosts=_hosts(connection),
        certificates=certificates,
        names=names,
    )


def _views(connection: Connection) -> dict[str, DeclaredView]:
    saved = [view for view in list_views(connection) if not view.built_in]
    unreadable = [view.name for view in saved if view.problem]
    if unreadable:
        raise UsageError(
            f"the query of {', '.join(unreadable)} can't be read by this collector: save or delete it first"
        )
    return {
        view.name: DeclaredView(view.what, view.query, view.description, list(view.columns))
        for view in saved
    }


def _hosts(connection: Connection) -> Labels:
    """Return labels by hand of hosts that are not retired."""
    by_number = _said(connection, "host", label.c.number)
    keys = host_keys(connection)
    found = {keys[number]: labels for number, labels in by_number.items() if number in keys}
    return dict(sorted(found.items()))


def host_keys(connection: Connection) -> dict[int, str]:
    """Return by what each host is known here: its name, or its UUID where others have that name."""
    rows = connection.execute(
        select(host.c.host_no, host.c.name, host.c.host_id).where(host.c.state != "retired")
    ).all()
    times = Counter(row.name for row in rows)
    return {row.host_no: row.name if times[row.name] == 1 else row.host_id for row in rows}


def _certificates(connection: Connection) -> tuple[Labels, dict[str, str]]:
    """Return labels by hand of certificates, by the first of each line, and what these are called."""
    by_line = _said(connection, "line", label.c.number)
    by_hash = _said(connection, "certificate", label.c.artifact)
    first = first_of_lines(connection, by_hash)
    names: dict[bytes, str] = {}
    of_line: dict[int, bytes] = {}
    for row in _rows(connection, "line_no", by_line):
        of_line.setdefault(row.line_no, row.sha256)
    for row in _rows(connection, "sha256", {*first.values(), *of_line.values()}):
        names[row.sha256] = row.common_name or row.names_text.partition("\n")[0]
    found: dict[bytes, dict[str, str]] = defaultdict(dict)
    for sha256, labels in by_hash.items():
        found[first[sha256]] |= labels
    for number, sha256 in of_line.items():
        found[sha256] |= by_line[number]
    keys = sorted(found)
    return (
        {key.hex(): dict(sorted(found[key].items())) for key in keys},
        {key.hex(): names[key] for key in keys if key in names},
    )


def first_of_lines(connection: Connection, hashes: Collection[bytes]) -> dict[bytes, bytes]:
    """Return of each certificate the first of its line; of one without a line, itself."""
    lines = {row.sha256: row.line_no for row in _rows(connection, "sha256", hashes)}
    first: dict[int, bytes] = {}
    for row in _rows(connection, "line_no", set(lines.values()) - {None}):
        first.setdefault(row.line_no, row.sha256)
    return {sha256: first.get(lines.get(sha256) or 0, sha256) for sha256 in hashes}


def _rows(connection: Connection, column: str, values: Iterable[Any]) -> Iterator[Row[Any]]:
    """Yield certificates by hash or line, the oldest first."""
    wanted = certificate.c[column]
    for chunk in chunked(sorted(values)):
        yield from connection.execute(
            select(certificate)
            .where(wanted.in_(chunk))
            .order_by(certificate.c.not_before_ms, certificate.c.sha256)
        )


def _said(connection: Connection, kind: str, column: ColumnElement[Any]) -> dict[Any, Any]:
    """Return what was said by hand of one kind of things, by `column`, in the order of keys."""
    found: dict[Any, dict[str, str]] = defaultdict(dict)
    rows = connection.execute(
        select(column.label("thing"), label.c.key, label.c.value)
        .where(label.c.kind == kind, label.c.source == "manual", label.c.to_ms.is_(None))
        .order_by(label.c.key)
    )
    for row in rows:
        found[row.thing][row.key] = row.value
    return found
