"""What an operator does to identities: list, show, ban, unban, evict, rekey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select, update

from keycensus_collector.access import audit
from keycensus_collector.agent_lists import list_agents, show_agent
from keycensus_collector.authority import rekey
from keycensus_collector.authority.standing import CLONED, REKEYED
from keycensus_collector.errors import ConflictError, QueryError, UsageError
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
from keycensus_collector.store.schema import agent, host, rekey_grant
from keycensus_collector.text import safe_text

if TYPE_CHECKING:
    from keycensus_collector.query.model import Query

_REASON_CHARACTERS = 200
# What an agent's new state is called in the audit log.
_ACTIONS = {"banned": "agent.ban", "active": "agent.unban", "evicted": "agent.evict"}
# States in which an agent could still write, or come back to.
_LIVE = ("active", CLONED, REKEYED)


def _list(connection: Connection, around: Surroundings, _arguments: Arguments) -> Json:
    return list_agents(connection, around.now_ms).items


def _show(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    return show_agent(
        connection, find_agent(connection, text_of(arguments, "agent")), around.now_ms
    )


def _ban(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    """Ban an agent's host with every identity of it that could write: none of them comes back."""
    row = find_agent(connection, text_of(arguments, "agent"))
    if row.state not in (*_LIVE, "banned"):
        raise ConflictError(f"agent {row.agent_id} is {row.state}; it can't become banned")
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
        raise ConflictError(f"agent {row.agent_id} is {row.state}; it can't become active")
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
            raise ConflictError(f"agent {row.agent_id} is {row.state}; it can't become evicted")
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
    return rekey_agents(
        connection,
        around,
        rows,
        within_ms=number_of(arguments, "within_ms", rekey.WITHIN_MS),
        copies=number_of(arguments, "copies", rekey.COPIES),
        keep=keep,
    )


def rekey_agents(
    connection: Connection,
    around: Surroundings,
    rows: Sequence[AnyRow],
    *,
    within_ms: int,
    copies: int,
    keep: AnyRow | None = None,
) -> Json:
    """End identities (rows of `agent`), and let `copies` machines of each come for their own for `within_ms`."""
    machines = 0
    for row in rows:
        rekey.grant(
            connection,
            row,
            within_ms=within_ms,
            copies=copies,
            keep=keep,
            actor=around.actor,
            now_ms=around.now_ms,
        )
        machines += len(rekey.contacts_of(connection, row.agent_no))
    return {
        "agents": [row.agent_id for row in rows],
        "machines": machines,
        "until_ms": around.now_ms + within_ms,
    }


def find_clones(connection: Connection, query: Query | None, now_ms: int) -> list[AnyRow]:
    """Return the agents in state cloned, with the `name` of their hosts: all, or of the hosts that a query lists.

    QueryError points at what can't be understood.
    """
    # Late: lark is slow to import, and other operations do without it.
    from keycensus_collector.query.ask import ask

    cloned = (
        select(agent, host.c.name)
        .join(host, host.c.host_no == agent.c.host_no)
        .where(agent.c.state == CLONED)
        .order_by(agent.c.agent_no)
    )
    if query is not None:
        asked = ask(connection, query, "hosts", now_ms)
        listed = select(host.c.host_no).where(asked.condition).correlate(None)
        cloned = cloned.where(agent.c.host_no.in_(listed))
    return list(connection.execute(cloned))


def _clones(connection: Connection, around: Surroundings, arguments: Arguments) -> list[AnyRow]:
    """Return the clones that an operator means, as `find_clones`; UsageError points."""
    from keycensus_collector.query.parse import parse

    try:
        query = parse(text_of(arguments, "query")) if arguments.get("query") else None
        return find_clones(connection, query, around.now_ms)
    except QueryError as error:
        raise UsageError(f"{error}\n{error.pointer()}") from None


def _find_machine(connection: Connection, row: AnyRow, text: str) -> AnyRow:
    """Find a machine of an agent by its boot, the beginning of it, its name or its address.

    What could mean two is refused: a name can be the beginning of another one's boot, by chance or because its
    machine says so. A whole boot means one.
    """
    machines = rekey.contacts_of(connection, row.agent_no)
    boot = text.lower()
    fit = [each for each in machines if each.boot_id.hex() == boot] or [
        each
        for each in machines
        if each.boot_id.hex().startswith(boot) or text in (each.name, each.address)
    ]
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
        actor=around.actor,
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
