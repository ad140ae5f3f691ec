"""What an operator does to identities: list, show, ban, unban, evict, rekey."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, func, select, update

from keycensus_collector.access import audit
from keycensus_collector.authority import rekey
from keycensus_collector.authority.standing import CLONED, REKEYED, open_grant
from keycensus_collector.deployment import OPERATOR
from keycensus_collector.errors import QueryError, UsageError
from keycensus_collector.operation import (
    AnyRow,
    Arguments,
    Json,
    Operation,
    Surroundings,
    find_agent,
    number_of,
    text_of,
)
from keycensus_collector.store.schema import (
    agent,
    agent_certificate,
    agent_contact,
    host,
    rekey_grant,
    rekey_use,
)
from keycensus_collector.text import safe_text

_REASON_CHARACTERS = 200
_SHOWN_CERTIFICATES = 20
# What an agent's new state is called in the audit log.
_ACTIONS = {"banned": "agent.ban", "active": "agent.unban", "evicted": "agent.evict"}
# States in which an agent could still write, or come back to.
_LIVE = ("active", CLONED, REKEYED)


def _list(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    ends = (
        select(
            agent_certificate.c.agent_no, func.max(agent_certificate.c.not_after_ms).label("end")
        )
        .where(agent_certificate.c.state != "void")
        .group_by(agent_certificate.c.agent_no)
        .subquery()
    )
    copies = (
        select(agent_contact.c.agent_no, func.count().label("copies"))
        .group_by(agent_contact.c.agent_no)
        .subquery()
    )
    rows = connection.execute(
        select(agent, host.c.name, host.c.host_id, host.c.last_seen_ms, ends.c.end, copies.c.copies)
        .join(host, host.c.host_no == agent.c.host_no)
        .join(ends, ends.c.agent_no == agent.c.agent_no, isouter=True)
        .join(copies, copies.c.agent_no == agent.c.agent_no, isouter=True)
        .order_by(host.c.name, agent.c.agent_no)
    )
    return [
        {
            "id": row.agent_id,
            "host": row.name,
            "host_id": row.host_id,
            "state": row.state,
            "reason": row.state_reason,
            "copies": (row.copies or 0) if row.state in (CLONED, REKEYED) else None,
            "enrolled_ms": row.enrolled_ms,
            "enrolled_by": row.enrolled_by,
            "last_seen_ms": row.last_seen_ms,
            "certificate_ends_ms": row.end,
        }
        for row in rows
    ]


def _show(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    row = find_agent(connection, text_of(arguments, "agent"))
    its_host = connection.execute(select(host).where(host.c.host_no == row.host_no)).one()
    certificates = connection.execute(
        select(agent_certificate)
        .where(agent_certificate.c.agent_no == row.agent_no)
        .order_by(agent_certificate.c.issued_ms.desc())
        .limit(_SHOWN_CERTIFICATES)
    ).all()
    given = connection.execute(
        select(func.count()).where(rekey_use.c.old_agent_no == row.agent_no)
    ).scalar_one()
    found = open_grant(connection, row.agent_no, around.now_ms)
    return {
        "id": row.agent_id,
        "state": row.state,
        "reason": row.state_reason,
        "host_id": its_host.host_id,
        "host": its_host.name,
        "enrolled_ms": row.enrolled_ms,
        "enrolled_by": row.enrolled_by,
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
        "identities_given": given,
        "rekey_until_ms": None if found is None else found.expires_ms,
        "rekey_copies_left": None if found is None else found.copies_left,
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


def _ban(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    """Ban an agent's host with every identity of it that could write: none of them comes back."""
    row = find_agent(connection, text_of(arguments, "agent"))
    if row.state not in (*_LIVE, "banned"):
        raise UsageError(f"agent {row.agent_id} is {row.state}; it can't become banned")
    reason = _reason(arguments)
    connection.execute(
        update(host)
        .where(host.c.host_no == row.host_no, host.c.banned_ms.is_(None))
        .values(banned_ms=around.now_ms)
    )
    for each in _of_host(connection, row.host_no, _LIVE):
        set_agent_state(connection, around, each, "banned", reason)
    _close_grants(connection, row.host_no, around.now_ms)
    return {"id": row.agent_id, "state": "banned"}


def _unban(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    """Undo `ban` for an agent's host: each identity is again what it was."""
    row = find_agent(connection, text_of(arguments, "agent"))
    if row.state not in ("banned", "active"):
        raise UsageError(f"agent {row.agent_id} is {row.state}; it can't become active")
    connection.execute(update(host).where(host.c.host_no == row.host_no).values(banned_ms=None))
    for each in _of_host(connection, row.host_no, ("banned",)):
        set_agent_state(connection, around, each, each.state_before_ban or "active", "")
    state = connection.execute(
        select(agent.c.state).where(agent.c.agent_no == row.agent_no)
    ).scalar_one()
    return {"id": row.agent_id, "state": state}


def _evict(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    row = find_agent(connection, text_of(arguments, "agent"))
    if row.state != "evicted":
        if row.state not in (*_LIVE, "banned"):
            raise UsageError(f"agent {row.agent_id} is {row.state}; it can't become evicted")
        set_agent_state(connection, around, row, "evicted", _reason(arguments))
    return {"id": row.agent_id, "state": "evicted"}


def _rekey(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    """Let the machines that share an identity, or all that do, have one of their own each."""
    if arguments.get("all_clones") or arguments.get("query"):
        rows = _clones(connection, around, arguments)
    else:
        rows = [find_agent(connection, text_of(arguments, "agent"))]
    keep = None
    if arguments.get("keep"):
        if len(rows) != 1:
            raise UsageError("--keep names a machine of one agent; give that agent")
        keep = _find_machine(connection, rows[0], text_of(arguments, "keep"))
    machines = 0
    for row in rows:
        rekey.grant(
            connection,
            row,
            within_ms=number_of(arguments, "within_ms", rekey.WITHIN_MS),
            copies=number_of(arguments, "copies", rekey.COPIES),
            keep=keep,
            actor=OPERATOR,
            now_ms=around.now_ms,
        )
        machines += len(rekey.contacts_of(connection, row.agent_no))
    return {
        "agents": [row.agent_id for row in rows],
        "machines": machines,
        "until_ms": around.now_ms + number_of(arguments, "within_ms", rekey.WITHIN_MS),
    }


def _clones(connection: Connection, around: Surroundings, arguments: Arguments) -> list[AnyRow]:
    """Return the agents in state cloned: all, or those of the hosts that a query finds."""
    # Late: lark is slow to import, and other operations do without it.
    from keycensus_collector.query.ask import ask
    from keycensus_collector.query.parse import parse

    cloned = select(agent).where(agent.c.state == CLONED).order_by(agent.c.agent_no)
    if arguments.get("query"):
        try:
            asked = ask(connection, parse(text_of(arguments, "query")), "hosts", around.now_ms)
        except QueryError as error:
            raise UsageError(f"{error}\n{error.pointer()}") from None
        cloned = cloned.where(agent.c.host_no.in_(select(host.c.host_no).where(asked.condition)))
    return list(connection.execute(cloned))


def _find_machine(connection: Connection, row: AnyRow, text: str) -> AnyRow:
    """Find a machine of an agent by its boot, the beginning of it, its name or its address."""
    machines = rekey.contacts_of(connection, row.agent_no)
    fit = [each for each in machines if each.boot_id.hex().startswith(text.lower())]
    fit = fit or [each for each in machines if text in (each.name, each.address)]
    if len(fit) != 1:
        found = "no machine" if not fit else f"{len(fit)} machines"
        raise UsageError(
            f"{found} of agent {row.agent_id} for {text!r}; give its boot, as in: "
            f"keycensus-collector agent show {row.agent_id[:8]}"
        )
    return fit[0]


def _of_host(connection: Connection, host_no: int, states: tuple[str, ...]) -> list[AnyRow]:
    return list(
        connection.execute(
            select(agent).where(agent.c.host_no == host_no, agent.c.state.in_(states))
        )
    )


def _close_grants(connection: Connection, host_no: int, now_ms: int) -> None:
    numbers = select(agent.c.agent_no).where(agent.c.host_no == host_no)
    connection.execute(
        update(rekey_grant)
        .where(rekey_grant.c.agent_no.in_(numbers), rekey_grant.c.expires_ms > now_ms)
        .values(expires_ms=now_ms)
    )


def set_agent_state(
    connection: Connection, around: Surroundings, row: AnyRow, state: str, reason: str
) -> None:
    """Set the state of an agent (a row of `agent`), and say so in the audit log."""
    connection.execute(
        update(agent)
        .where(agent.c.agent_no == row.agent_no)
        .values(
            state=state,
            state_reason=reason,
            state_before_ban=row.state if state == "banned" else "",
        )
    )
    audit.record(
        connection,
        at_ms=around.now_ms,
        actor=OPERATOR,
        action=_ACTIONS.get(state, "agent.unban"),
        subject=row.agent_id,
        detail={"before": row.state, "reason": reason},
    )


def _reason(arguments: Arguments) -> str:
    return safe_text(str(arguments.get("reason", ""))[:_REASON_CHARACTERS])


AGENT_OPERATIONS = {
    "agent.list": Operation(_list, writes=False),
    "agent.show": Operation(_show, writes=False),
    "agent.ban": Operation(_ban, writes=True),
    "agent.unban": Operation(_unban, writes=True),
    "agent.evict": Operation(_evict, writes=True),
    "agent.rekey": Operation(_rekey, writes=True),
}
