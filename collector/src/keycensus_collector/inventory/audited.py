"""What the audit log has of one thing: decisions about it alone, about many at once, and reads of it.

A row about many things names the first of them only; what was decided of this one was written at its moment.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, or_, select, union

from keycensus_collector.ownership.assignments import Thing, scopes_of
from keycensus_collector.store.schema import agent, audit, host
from keycensus_collector.store.tables.imports import import_record
from keycensus_collector.store.tables.listed import listed_certificate
from keycensus_collector.store.tables.marks import mark
from keycensus_collector.store.tables.ownership import label, owner_assignment

# How rows about many things call them, beside what they are about.
_MANY = "% things"
# The moments of decisions and imports that are looked at, and rows that are looked through for those of one thing.
_MOMENTS = 500
_OF_DECISIONS = ("owner.", "label.", "mark.")


@dataclass(frozen=True, slots=True)
class Subject:
    """A thing by all names that the log has for it. `thing`: the certificate, key or host itself."""

    thing: Thing
    names: tuple[str, ...]

    @classmethod
    def of_artifact(cls, kind: str, identity: bytes) -> Subject:
        """Return a certificate or a key; of a key also by who looked at it."""
        hexadecimal = identity.hex()
        reads = (f"/keys/{hexadecimal}", f"/api/v1/keys/{hexadecimal}") if kind == "key" else ()
        return cls(Thing(kind, artifact=identity), (hexadecimal, *reads))

    @classmethod
    def of_host(cls, connection: Connection, host_id: str) -> Subject:
        """Return a host, with the identities of its agents."""
        numbers = select(host.c.host_no).where(host.c.host_id == host_id)
        number = connection.execute(numbers).scalar_one()
        agents = select(agent.c.agent_id).where(agent.c.host_no == number)
        identities = connection.execute(agents.limit(_MOMENTS)).scalars()
        return cls(Thing("host", number=number), (host_id, *identities))


def audited(connection: Connection, subject: Subject, limit: int) -> list[int]:
    """Return the numbers of the rows about a thing, the newest first, at most `limit`."""
    scopes = [subject.thing, *scopes_of(connection, [subject.thing])]
    names = {*subject.names, *(scope.name for scope in scopes)}
    decided = _moments(connection, _decisions(scopes, subject.thing))
    imported = _moments(connection, [_imports(subject.thing)])
    of_many = and_(
        audit.c.at_ms.in_(decided),
        audit.c.subject.like(_MANY),
        or_(*(audit.c.action.startswith(each) for each in _OF_DECISIONS)),
    )
    of_imports = and_(audit.c.at_ms.in_(imported), audit.c.action == "import")
    columns = (audit.c.audit_no, audit.c.subject, audit.c.detail)
    found = [
        select(*columns).where(condition).order_by(audit.c.audit_no.desc()).limit(most)
        for condition, most in (
            (audit.c.subject.in_(names), limit),
            (of_many, _MOMENTS),
            (of_imports, limit),
        )
    ]
    rows = connection.execute(union(*(select(each.subquery()) for each in found)))
    meant = {row.audit_no for row in rows if _is_about(row, names)}
    return sorted(meant, reverse=True)[:limit]


def _is_about(row: Row[Any], names: Iterable[str]) -> bool:
    """Return whether a row can be about one of these names: where all are named, one of them is."""
    detail = json.loads(row.detail)
    things = detail.get("things")
    if row.subject in names or not things or len(things) < detail.get("count", 0):
        return True
    return not set(names).isdisjoint(things)


def _decisions(scopes: Sequence[Thing], thing: Thing) -> list[Select[Any]]:
    found = []
    for table, kind in ((owner_assignment, owner_assignment.c.scope), (label, label.c.kind)):
        same = or_(
            *(
                and_(
                    kind == each.kind,
                    table.c.number == each.number,
                    table.c.artifact == each.artifact,
                )
                for each in scopes
            )
        )
        found += [select(table.c.from_ms).where(same), select(table.c.to_ms).where(same)]
    marked = (mark.c.kind == thing.kind, mark.c.subject == thing.artifact)
    return [*found, select(mark.c.from_ms).where(*marked), select(mark.c.to_ms).where(*marked)]


def _imports(thing: Thing) -> Select[Any]:
    if thing.kind == "host":
        return select(import_record.c.from_ms).where(import_record.c.host_no == thing.number)
    return select(listed_certificate.c.from_ms).where(
        listed_certificate.c.certificate == thing.artifact
    )


def _moments(connection: Connection, statements: Sequence[Select[Any]]) -> list[int]:
    """Return the newest moments of decisions."""
    moments = union(*statements).subquery() if len(statements) > 1 else statements[0].subquery()
    (column,) = moments.c
    rows = connection.execute(
        select(column).where(column.is_not(None)).order_by(column.desc()).limit(_MOMENTS)
    )
    return list(rows.scalars())
