"""How many rows stand on a host, and which of a batch are too many. Inside its transaction.

Counting a large host for every batch would cost more than writing it, so a bound is kept: what was
counted last and all that came since. Only when the bound passes the limit is it counted anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, bindparam, func, select

from keycensus_collector.intake.bulk import KEYS, Keyed
from keycensus_collector.intake.model import RefusedRow, RowClass
from keycensus_collector.intake.quota import Quota
from keycensus_collector.intake.rows import Prepared
from keycensus_collector.store.schema import gap, place, usage

QUOTA = "quota"

_PLACES = Keyed(
    select(place.c.path_hash).where(
        place.c.host_no == bindparam("host"), place.c.path_hash.in_(KEYS), place.c.gone_ms.is_(None)
    )
)
_GAPS = Keyed(
    select(gap.c.key).where(
        gap.c.host_no == bindparam("host"), gap.c.key.in_(KEYS), gap.c.to_ms.is_(None)
    )
)
_USAGES = Keyed(
    select(usage.c.key).where(
        usage.c.host_no == bindparam("host"), usage.c.key.in_(KEYS), usage.c.to_ms.is_(None)
    )
)


def put_aside_beyond(
    connection: Connection, host_no: int, prepared: Prepared, quota: Quota, limit: int
) -> list[RefusedRow]:
    """Take new rows beyond the limit out of the batch and return them; changes are always let in."""
    arriving = len(prepared.places) + len(prepared.gaps) + len(prepared.usages)
    bound = quota.rows_standing
    if bound is not None and bound + arriving <= limit:
        quota.rows_standing = bound + arriving
        return []
    standing = _count(connection, host_no)
    if standing + arriving <= limit:
        quota.rows_standing = standing + arriving
        return []
    room = max(0, limit - standing)
    fit, refused = _divide(connection, host_no, prepared, room)
    prepared.places = [change for change in prepared.places if change.key in fit or not change.row]
    for rows in (prepared.gaps, prepared.usages):
        for key in [key for key in rows if key not in fit and rows[key].row_hash]:
            del rows[key]
    quota.rows_standing = standing + min(room, arriving)
    return refused


def _count(connection: Connection, host_no: int) -> int:
    counts = (
        select(func.count())
        .select_from(place)
        .where(place.c.host_no == host_no, place.c.gone_ms.is_(None)),
        select(func.count())
        .select_from(gap)
        .where(gap.c.host_no == host_no, gap.c.to_ms.is_(None)),
        select(func.count())
        .select_from(usage)
        .where(usage.c.host_no == host_no, usage.c.to_ms.is_(None)),
    )
    return sum(connection.execute(count).scalar_one() for count in counts)


def _divide(
    connection: Connection, host_no: int, prepared: Prepared, room: int
) -> tuple[set[bytes], list[RefusedRow]]:
    """Return keys that stand or have room, in the order of the batch, and the rows that have none."""
    fit = {
        key
        for statement, keys in (
            (_PLACES, {change.key for change in prepared.places}),
            (_GAPS, set(prepared.gaps)),
            (_USAGES, set(prepared.usages)),
        )
        for (key,) in statement.rows(connection, keys, host=host_no)
    }
    refused: list[RefusedRow] = []
    for row in sorted(_arriving(prepared)):
        if row.key in fit:
            continue
        if room > 0:
            room -= 1
            fit.add(row.key)
        else:
            refused.append(row)
    return fit, refused


def _arriving(prepared: Prepared) -> Iterable[RefusedRow]:
    for change in prepared.places:
        if change.row:
            path = str(change.columns[4])
            yield RefusedRow(change.position, RowClass.PLACE.value, change.key, path, QUOTA)
    for gap_change in prepared.gaps.values():
        if gap_change.row_hash:
            path = gap_change.prefix
            yield RefusedRow(gap_change.position, RowClass.GAP.value, gap_change.key, path, QUOTA)
    for usage_change in prepared.usages.values():
        if usage_change.row:
            position, key = usage_change.position, usage_change.key
            path = str(dict(usage_change.columns)["configuration"])
            yield RefusedRow(position, RowClass.USAGE.value, key, path, QUOTA)
