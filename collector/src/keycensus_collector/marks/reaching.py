"""The marks that reach one certificate or key, told for its page."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from keycensus_collector.inventory.results import MarkedBy
from keycensus_collector.marks.appearing import marks_reaching, standing_marks
from keycensus_collector.marks.stored import find_mark
from keycensus_collector.store.tables.marks import reappearance


def marks_reaching_one(
    connection: Connection, kind: str, identity: bytes, key_id: bytes
) -> list[MarkedBy]:
    """Return the marks that stand and reach a thing, the newest first. `key_id`: of its key."""
    marks = standing_marks(connection)
    if not marks:
        return []
    certificates, keys = ([identity], []) if kind == "certificate" else ([], [identity])
    reached = marks_reaching(connection, certificates, keys, marks).get((kind, identity), set())
    own = {identity.hex(): "this", key_id.hex(): "its key" if kind == "certificate" else "this"}
    back = dict(
        tuple(row)
        for row in connection.execute(
            select(reappearance.c.mark_no, func.count())
            .where(reappearance.c.artifact == identity, reappearance.c.kind == kind)
            .group_by(reappearance.c.mark_no)
        )
    )
    found = [find_mark(connection, number) for number, _ in sorted(reached, reverse=True)]
    return [
        MarkedBy(
            number=each.number,
            mark=each.mark,
            on=own.get(each.id, "an authority above"),
            name=each.name or each.id[:16],
            reason=each.reason,
            by=each.by,
            since=each.since,
            reappeared=back.get(each.number, 0),
        )
        for each in found
        if each is not None
    ]
