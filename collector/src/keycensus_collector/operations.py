"""What an operator can do on the collector's own machine, as functions over one transaction.

The same table serves the running server's socket and a command that opens the database itself.
Arguments and results are JSON values. Nothing here is reachable from the network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from keycensus_collector.access import audit, users
from keycensus_collector.access.tokens import DEFAULT_DAYS, create_api_token
from keycensus_collector.authority import tokens
from keycensus_collector.authority.authority import Authority, anchor, spki
from keycensus_collector.authority.issuing import set_host_state
from keycensus_collector.deployment import OPERATOR
from keycensus_collector.errors import UsageError
from keycensus_collector.store.revisions import revision_status
from keycensus_collector.store.schema import agent, agent_certificate, host, work
from keycensus_collector.text import safe_text

Arguments = Mapping[str, Any]
Json = Any  # JSON values nest without end; what goes in and out is checked where it is used

_REASON_CHARACTERS = 200
_PREFIX_LEAST = 4
# What an agent's new state is called in the audit log.
_ACTIONS = {"banned": "agent.ban", "active": "agent.unban", "evicted": "agent.evict"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What an operation may need besides its transaction and arguments."""

    authority: Authority
    now_ms: int


@dataclass(frozen=True, slots=True)
class Operation:
    """One function and whether it writes."""

    run: Callable[[Connection, Surroundings, Arguments], Json]
    writes: bool


def _token_create(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    made = tokens.create(
        connection,
        anchor_spki=spki(anchor(around.authority)),
        now_ms=around.now_ms,
        actor=OPERATOR,
        ttl_ms=_number(arguments, "ttl_ms", tokens.DEFAULT_TTL_MS),
        uses=_number(arguments, "uses", 1),
        labels=_labels(arguments),
    )
    return {"id": made.token_id, "token": made.text, "expires_ms": made.expires_ms}


def _token_list(connection: Connection, around: Surroundings, _arguments: Arguments) -> Json:
    return tokens.list_tokens(connection, around.now_ms)


def _token_revoke(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    token_id = _text(arguments, "id")
    tokens.revoke(connection, token_id, now_ms=around.now_ms, actor=OPERATOR)
    return {"id": token_id, "state": "revoked"}


def _agent_list(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    ends = (
        select(
            agent_certificate.c.agent_no, func.max(agent_certificate.c.not_after_ms).label("end")
        )
        .where(agent_certificate.c.state != "void")
        .group_by(agent_certificate.c.agent_no)
        .subquery()
    )
    rows = connection.execute(
        select(agent, host.c.name, host.c.host_id, host.c.last_seen_ms, ends.c.end)
        .join(host, host.c.host_no == agent.c.host_no)
        .join(ends, ends.c.agent_no == agent.c.agent_no, isouter=True)
        .order_by(host.c.name, agent.c.agent_no)
    )
    return [
        {
            "id": row.agent_id,
            "host": row.name,
            "host_id": row.host_id,
            "state": row.state,
            "reason": row.state_reason,
            "enrolled_ms": row.enrolled_ms,
            "last_seen_ms": row.last_seen_ms,
            "certificate_ends_ms": row.end,
        }
        for row in rows
    ]


def _agent_state(state: str, allowed: tuple[str, ...]) -> Operation:
    """Return the operation that moves an agent from one of `allowed` to `state`."""

    def run(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
        row = _find_agent(connection, _text(arguments, "agent"))
        if row.state != state:
            if row.state not in allowed:
                raise UsageError(f"agent {row.agent_id} is {row.state}; it can't become {state}")
            reason = safe_text(str(arguments.get("reason", ""))[:_REASON_CHARACTERS])
            _set_agent_state(connection, around, row, state, reason)
        return {"id": row.agent_id, "state": state}

    return Operation(run, writes=True)


def _set_agent_state(
    connection: Connection,
    around: Surroundings,
    row: Row[*tuple[Any, ...]],
    state: str,
    reason: str,
) -> None:
    connection.execute(
        update(agent)
        .where(agent.c.agent_no == row.agent_no)
        .values(state=state, state_reason=reason)
    )
    audit.record(
        connection,
        at_ms=around.now_ms,
        actor=OPERATOR,
        action=_ACTIONS[state],
        subject=row.agent_id,
        detail={"before": row.state, "reason": reason},
    )


def _host_list(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    rows = connection.execute(select(host).order_by(host.c.name, host.c.host_no))
    return [
        {
            "id": row.host_id,
            "name": row.name,
            "state": row.state,
            "last_seen_ms": row.last_seen_ms,
            "complete": row.complete,
            "operating_system": row.operating_system,
            "agent_version": row.agent_version,
            "labels": json.loads(row.labels),
        }
        for row in rows
    ]


def _host_retire(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    """Retire a host and evict its agents: what is retired does not write."""
    row = _find_host(connection, _text(arguments, "host"))
    set_host_state(connection, row.host_no, "retired", "operator", around.now_ms)
    for each in connection.execute(
        select(agent).where(agent.c.host_no == row.host_no, agent.c.state == "active")
    ).all():
        _set_agent_state(connection, around, each, "evicted", "host retired")
    audit.record(
        connection,
        at_ms=around.now_ms,
        actor=OPERATOR,
        action="host.retire",
        subject=row.host_id,
    )
    return {"id": row.host_id, "name": row.name, "state": "retired"}


def _user_add(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    name, role = _text(arguments, "name"), _text(arguments, "role")
    users.add_user(connection, name=name, role=role, now_ms=around.now_ms, actor=OPERATOR)
    return {"name": name, "role": role}


def _user_list(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    return users.list_users(connection)


def _user_passwd(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    name = _text(arguments, "name")
    users.set_password(
        connection,
        name=name,
        password=_text(arguments, "password"),
        now_ms=around.now_ms,
        actor=OPERATOR,
    )
    return {"name": name}


def _user_token(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    made = create_api_token(
        connection,
        user_name=_text(arguments, "name"),
        name=str(arguments.get("token_name", "")),
        now_ms=around.now_ms,
        actor=OPERATOR,
        days=_number(arguments, "days", DEFAULT_DAYS),
    )
    return {"id": made.token_id, "token": made.text, "expires_ms": made.expires_ms}


def _db_status(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    status = revision_status(connection)
    return {"current": status.current, "newest": status.newest, "up_to_date": status.is_newest}


def _doctor(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    """Return the numbers that `doctor` judges."""
    queue = connection.execute(select(func.count(), func.min(work.c.queued_ms))).one()
    states = connection.execute(select(host.c.state, func.count()).group_by(host.c.state)).all()
    return {
        "revision": revision_status(connection).current,
        "newest_revision": revision_status(connection).newest,
        "queue": queue[0],
        "oldest_queued_ms": queue[1],
        "hosts": dict(sorted((row[0], row[1]) for row in states)),
    }


def _find_agent(connection: Connection, text: str) -> Row[*tuple[Any, ...]]:
    """Find an agent by its id, the beginning of it, or the name of its host."""
    by_id = agent.c.agent_id.startswith(text.lower(), autoescape=True)
    rows: Sequence[Row[*tuple[Any, ...]]] = []
    if len(text) >= _PREFIX_LEAST:
        rows = connection.execute(select(agent).where(by_id)).all()
    if not rows:
        rows = connection.execute(
            select(agent)
            .join(host, host.c.host_no == agent.c.host_no)
            .where(host.c.name == text, agent.c.state.in_(("active", "banned")))
        ).all()
    return _only(rows, "agent", text)


def _find_host(connection: Connection, text: str) -> Row[*tuple[Any, ...]]:
    """Find a host by its id, the beginning of it, or its name."""
    by_id = host.c.host_id.startswith(text.lower(), autoescape=True)
    rows: Sequence[Row[*tuple[Any, ...]]] = []
    if len(text) >= _PREFIX_LEAST:
        rows = connection.execute(select(host).where(by_id)).all()
    if not rows:
        rows = connection.execute(select(host).where(host.c.name == text)).all()
    return _only(rows, "host", text)


def _only(rows: Sequence[Row[*tuple[Any, ...]]], kind: str, text: str) -> Row[*tuple[Any, ...]]:
    if len(rows) == 1:
        return rows[0]
    found = "there is none" if not rows else f"there are {len(rows)}"
    raise UsageError(
        f"{found} for {kind} {text!r}; give the id, as in: keycensus-collector {kind} list"
    )


def _text(arguments: Arguments, name: str) -> str:
    value = arguments.get(name)
    if not isinstance(value, str) or not value:
        raise UsageError(f"the argument {name} is missing")
    return value


def _labels(arguments: Arguments) -> dict[str, str]:
    value = arguments.get("labels", {})
    if not isinstance(value, dict):
        raise UsageError("the argument labels is an object")
    return {str(key): str(text) for key, text in value.items()}


def _number(arguments: Arguments, name: str, default: int) -> int:
    value = arguments.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UsageError(f"the argument {name} is a whole number")
    return value


OPERATIONS: dict[str, Operation] = {
    "token.create": Operation(_token_create, writes=True),
    "token.list": Operation(_token_list, writes=False),
    "token.revoke": Operation(_token_revoke, writes=True),
    "agent.list": Operation(_agent_list, writes=False),
    "agent.ban": _agent_state("banned", ("active",)),
    "agent.unban": _agent_state("active", ("banned",)),
    "agent.evict": _agent_state("evicted", ("active", "banned")),
    "host.list": Operation(_host_list, writes=False),
    "host.retire": Operation(_host_retire, writes=True),
    "user.add": Operation(_user_add, writes=True),
    "user.list": Operation(_user_list, writes=False),
    "user.passwd": Operation(_user_passwd, writes=True),
    "user.token": Operation(_user_token, writes=True),
    "db.status": Operation(_db_status, writes=False),
    "doctor": Operation(_doctor, writes=False),
}
