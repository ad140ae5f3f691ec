"""Identities as operators see them: which there are, what ails them, and every machine that used one.

Names, reasons and counters come from hosts; intake has made them safe to show. Times are milliseconds
since the epoch, under names that end in `_ms`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from keycensus_collector.authority import rekey
from keycensus_collector.authority.standing import CLONED, REKEYED, open_grant
from keycensus_collector.inventory.paging import decode_cursor, encode_cursor
from keycensus_collector.operation import AnyRow
from keycensus_collector.store.schema import (
    agent,
    agent_certificate,
    agent_contact,
    gap,
    host,
    refusal,
    rekey_use,
)

# States of an identity, those that may write first.
STATES = ("active", CLONED, REKEYED, "banned", "evicted", "left")
_SHOWN_CERTIFICATES = 20
# An agent renews in the last third of its certificate's 30 days: with a week left, it has tried for days.
_RENEWED_BY_MS = 7 * 86_400_000
# Agents' times are told with the collector's clock beside them; more than this is a clock to be set.
_SKEW_MS = 60_000


@dataclass(frozen=True, slots=True)
class Listed:
    """A page of identities by their hosts' names. `next`: the cursor of the page behind, or None."""

    items: list[dict[str, Any]]
    total: int
    next: str | None


def list_agents(
    connection: Connection,
    now_ms: int,
    *,
    states: Collection[str] = (),
    host_name: str = "",
    host_id: str = "",
    cursor: str = "",
    limit: int | None = None,
) -> Listed:
    """Return the identities in one of `states` (empty: any) of hosts whose name has this in it, or of one host."""
    conditions: list[ColumnElement[bool]] = []
    if states:
        conditions.append(agent.c.state.in_(states))
    if host_name:
        conditions.append(host.c.name.icontains(host_name, autoescape=True))
    if host_id:
        conditions.append(host.c.host_id == host_id)
    of_hosts = agent.c.host_no == host.c.host_no
    total = connection.execute(
        select(func.count()).select_from(agent).join(host, of_hosts).where(*conditions)
    ).scalar_one()
    if cursor:
        name, number = decode_cursor(cursor, 2)
        conditions.append(
            or_(host.c.name > name, and_(host.c.name == name, agent.c.agent_no > number))
        )
    statement = _identities().where(*conditions).order_by(host.c.name, agent.c.agent_no)
    rows = connection.execute(statement.limit(None if limit is None else limit + 1)).all()
    page = rows if limit is None else rows[:limit]
    following = encode_cursor([page[-1].name, page[-1].agent_no]) if len(rows) > len(page) else None
    return Listed([_told(row, now_ms) for row in page], total, following)


def show_agent(connection: Connection, row: AnyRow, now_ms: int) -> dict[str, Any]:
    """Return one identity (a row of `agent`) with its certificates, and the machines that used it."""
    whole = connection.execute(_identities().where(agent.c.agent_no == row.agent_no)).one()
    certificates = connection.execute(
        select(agent_certificate)
        .where(agent_certificate.c.agent_no == row.agent_no)
        .order_by(agent_certificate.c.issued_ms.desc())
        .limit(_SHOWN_CERTIFICATES)
    ).all()
    given = connection.execute(
        select(func.count()).where(rekey_use.c.old_agent_no == row.agent_no)
    ).scalar_one()
    found = open_grant(connection, row.agent_no, now_ms)
    return {
        **_told(whole, now_ms),
        "certificates": [
            {
                "serial": each.serial,
                "state": each.state,
                "issued_ms": each.issued_ms,
                "not_after_ms": each.not_after_ms,
            }
            for each in certificates
        ],
        "machines": [_machine(each) for each in rekey.contacts_of(connection, row.agent_no)],
        "counters": _counters(whole.counters),
        "identities_given": given,
        "rekey_until_ms": None if found is None else found.expires_ms,
        "rekey_copies_left": None if found is None else found.copies_left,
    }


def problems(row: AnyRow, now_ms: int) -> list[str]:
    """Return what ails an identity and its host, a phrase each, what matters most first."""
    if row.state in (CLONED, REKEYED):
        return ["several machines use this identity"]
    if row.state != "active":
        return []
    found = []
    if row.end is not None and row.end - now_ms < _RENEWED_BY_MS:
        ended = row.end <= now_ms
        found.append("its certificate has ended" if ended else "its certificate is not renewed")
    if row.host_state == "silent":
        found.append("nothing is heard of it")
    if abs(row.clock_skew_ms) > _SKEW_MS:
        found.append(f"its clock is {abs(row.clock_skew_ms) // 1000:,} s off")
    if not row.complete:
        found.append("its first sweep has not ended")
    if row.refused:
        found.append(f"rows that were refused: {row.refused:,}")
    if row.gaps:
        found.append(f"gaps: {row.gaps:,}")
    return found


def _identities() -> Any:  # noqa: ANN401 - a select of many columns
    ends = (
        select(func.max(agent_certificate.c.not_after_ms))
        .where(
            agent_certificate.c.agent_no == agent.c.agent_no, agent_certificate.c.state != "void"
        )
        .scalar_subquery()
    )
    copies = (
        select(func.count()).where(agent_contact.c.agent_no == agent.c.agent_no).scalar_subquery()
    )
    gaps = (
        select(func.count())
        .where(gap.c.host_no == agent.c.host_no, gap.c.to_ms.is_(None))
        .scalar_subquery()
    )
    refused = select(func.count()).where(refusal.c.host_no == agent.c.host_no).scalar_subquery()
    return select(
        agent,
        host.c.name,
        host.c.host_id,
        host.c.state.label("host_state"),
        host.c.banned_ms,
        host.c.last_seen_ms,
        host.c.agent_version,
        host.c.clock_skew_ms,
        host.c.complete,
        host.c.counters,
        ends.label("end"),
        copies.label("copies"),
        gaps.label("gaps"),
        refused.label("refused"),
    ).join(host, host.c.host_no == agent.c.host_no)


def _told(row: AnyRow, now_ms: int) -> dict[str, Any]:
    return {
        "id": row.agent_id,
        "host": row.name,
        "host_id": row.host_id,
        "host_state": "banned" if row.banned_ms is not None else row.host_state,
        "state": row.state,
        "reason": row.state_reason,
        "copies": row.copies if row.state in (CLONED, REKEYED) else None,
        "version": row.agent_version,
        "enrolled_ms": row.enrolled_ms,
        "enrolled_by": row.enrolled_by,
        "last_seen_ms": row.last_seen_ms,
        "certificate_ends_ms": row.end,
        "problems": problems(row, now_ms),
    }


def _machine(row: AnyRow) -> dict[str, Any]:
    return {
        "boot": row.boot_id.hex(),
        "name": row.name,
        "address": row.address,
        "machine": row.machine_hash.hex(),
        "verdict": row.verdict,
        "hellos": row.hellos,
        "first_seen_ms": row.first_ms,
        "last_seen_ms": row.last_ms,
    }


def _counters(text: str) -> dict[str, int]:
    counters: Sequence[tuple[str, object]] = json.loads(text or "{}").items()
    return {str(name): value for name, value in counters if isinstance(value, int)}
