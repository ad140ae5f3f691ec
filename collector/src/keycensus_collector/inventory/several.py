"""Counting by what a thing may have several of: owners, hosts, labels."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, distinct, func, or_, select, union_all

from keycensus_collector.inventory.dimensions import Asking, Counted, Found
from keycensus_collector.ownership.intervals import at
from keycensus_collector.ownership.settings import fallback_no
from keycensus_collector.query.ask import Asked
from keycensus_collector.query.by_host import pairs_of
from keycensus_collector.query.labels import host_value
from keycensus_collector.query.model import Node, Term
from keycensus_collector.query.sources import Sources
from keycensus_collector.store.schema import host
from keycensus_collector.store.tables.ownership import (
    CERTIFICATE,
    KEY,
    artifact_owner,
    host_owner,
    label,
    place_owner,
    team,
)

# Values of one label, and teams, that are counted each by itself.
MOST_VALUES = 200


def by_owner(asking: Asking) -> Counted:
    """Count by team or person that owns; what nobody owns is the fallback team's, if there is one."""
    if asking.target in {"places", "hosts", "gaps"}:
        return _by_team(asking)
    as_of_ms = asking.whole()[0].as_of_ms
    fallback = fallback_no(asking.connection, as_of_ms)
    rows = asking.connection.execute(_owned(asking, as_of_ms))
    counts: dict[int, tuple[str, int]] = {row.team_no: (row.name, row.number) for row in rows}
    nobody = Term("owner", ":", "none")
    unowned = asking.count(nobody)
    found = [Found("none", unowned, nobody)] if unowned and fallback is None else []
    if fallback is not None and unowned:
        name = select(team.c.name).where(team.c.team_no == fallback)
        named, number = counts.get(fallback, (asking.connection.execute(name).scalar_one(), 0))
        counts[fallback] = (named, number + unowned)
    found += [Found(name, number, _owner(name)) for name, number in counts.values()]
    return Counted(found, several=True)


def _owned(asking: Asking, as_of_ms: int | None) -> Select[Any]:
    kind = CERTIFICATE if asking.target == "certificates" else KEY
    parts = [
        select(artifact_owner.c.team_no, artifact_owner.c.artifact)
        .join(asked.own, asked.identity == artifact_owner.c.artifact)
        .where(
            artifact_owner.c.kind == kind,
            artifact_owner.c.owns.is_(True),
            at(artifact_owner, as_of_ms),
            asked.condition,
        )
        for asked in asking.whole()
    ]
    owned = union_all(*parts).subquery()
    number = func.count(distinct(owned.c.artifact)).label("number")
    counted = select(owned.c.team_no, number).group_by(owned.c.team_no).subquery()
    return select(counted.c.team_no, team.c.name, counted.c.number).join(
        team, team.c.team_no == counted.c.team_no
    )


def _by_team(asking: Asking) -> Counted:
    as_of_ms = asking.whole()[0].as_of_ms
    owns = union_all(
        *(select(each.c.team_no).where(at(each, as_of_ms)) for each in (host_owner, place_owner))
    )
    fallback = fallback_no(asking.connection, as_of_ms)
    numbers = or_(team.c.team_no.in_(owns), team.c.team_no == fallback)
    names = asking.connection.execute(
        select(team.c.name).where(numbers).order_by(team.c.name).limit(MOST_VALUES)
    ).scalars()
    nodes: list[tuple[str, Node]] = [(name, _owner(name)) for name in names]
    if fallback is None:
        nodes.append(("none", Term("owner", ":", "none")))
    return _each(asking, nodes)


def _owner(name: str) -> Node:
    return Term("owner", "=", name, quoted=True)


def _each(asking: Asking, nodes: list[tuple[str, Node]]) -> Counted:
    found = [Found(value, asking.count(node), node) for value, node in nodes]
    return Counted([each for each in found if each.count], several=True)


def by_label(key: str) -> Any:  # noqa: ANN401 - a dimension, which is a function
    """Return what counts by the values of a label; of certificates their own, else those of hosts."""
    field = f"label.{key}"

    def counted(asking: Asking) -> Counted:
        asked = asking.whole()[0]
        sources = Sources(asking.connection, asked.tables, asked.bindings.now_ms)
        given: list[Select[Any]] = [select(host_value(sources, key).label("value"))]
        if asking.target == "certificates":
            of_certificates = label.c.kind.in_(("certificate", "line"))
            stands = at(label, asked.as_of_ms)
            given.append(select(label.c.value).where(of_certificates, label.c.key == key, stands))
        values = union_all(*given).subquery()
        names = asking.connection.execute(
            select(func.lower(values.c.value))
            .where(values.c.value.is_not(None))
            .distinct()
            .order_by(func.lower(values.c.value))
            .limit(MOST_VALUES)
        ).scalars()
        nodes: list[tuple[str, Node]] = [
            (name, Term(field, "=", name, quoted=True)) for name in names
        ]
        return _each(asking, [*nodes, ("none", Term(field, ":", "none"))])

    return counted


def by_host(asking: Asking) -> Counted:
    """Count by host, where a list is of what stands on hosts."""
    parts = [_on_hosts(asking, asked) for asked in asking.whole()]
    on_hosts = union_all(*(part for each in parts for part in each)).subquery()
    number: ColumnElement[int] = func.count(distinct(on_hosts.c.identity)).label("number")
    counted = (
        select(on_hosts.c.host_no, number)
        .group_by(on_hosts.c.host_no)
        .order_by(number.desc(), on_hosts.c.host_no)
    )
    hosts = asking.connection.execute(
        select(func.count()).select_from(counted.order_by(None).subquery())
    ).scalar_one()
    largest = counted.limit(asking.most).subquery()
    rows = asking.connection.execute(
        select(host.c.name, host.c.host_id, largest.c.number).join(
            largest, largest.c.host_no == host.c.host_no
        )
    )
    found = [Found(row.name, row.number, Term("host", "=", row.host_id)) for row in rows]
    return Counted(found, several=True, left_out=max(0, hosts - len(found)))


def _on_hosts(asking: Asking, asked: Asked) -> list[Select[Any]]:
    if asking.target in {"places", "gaps"}:
        identity = asked.identity.label("identity")
        return [select(asked.own.c.host_no, identity).where(asked.condition)]
    return pairs_of(asking.connection, asked)
