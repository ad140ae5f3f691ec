"""What an operator can do on the collector's own machine, as functions over one transaction.

The same table serves the running server's socket and a command that opens the database itself.
Arguments and results are JSON values. Nothing here is reachable from the network.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from sqlalchemy import Connection, func, select

from keycensus_collector.access import audit
from keycensus_collector.agent_operations import AGENT_OPERATIONS
from keycensus_collector.authority import tokens
from keycensus_collector.authority.authority import anchor, spki
from keycensus_collector.authority.keeper import current_anchor
from keycensus_collector.authority.standing import REPLACED
from keycensus_collector.authority_operations import AUTHORITY_OPERATIONS
from keycensus_collector.authority_operations import status as authority_status
from keycensus_collector.errors import ConflictError
from keycensus_collector.host_operations import HOST_OPERATIONS
from keycensus_collector.inventory.succession import propose, warn_of_banned
from keycensus_collector.operation import (
    Arguments,
    Json,
    Operation,
    Surroundings,
    find_host,
    labels_of,
    number_of,
    text_of,
)
from keycensus_collector.store.revisions import revision_status
from keycensus_collector.store.schema import agent, agent_contact, host, work
from keycensus_collector.store.sqlite import copy_open_database
from keycensus_collector.user_operations import USER_OPERATIONS


def _token_create(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    bound = arguments.get("host")
    its_host = find_host(connection, str(bound)) if bound else None
    if its_host is not None and its_host.banned_ms is not None:
        raise ConflictError(
            f"host {its_host.host_id} is banned; unban its agent first, if that is right"
        )
    pinned = current_anchor(connection) if around.authority is None else anchor(around.authority)
    made = tokens.create(
        connection,
        anchor_spki=spki(pinned),
        now_ms=around.now_ms,
        actor=around.actor,
        ttl_ms=number_of(arguments, "ttl_ms", tokens.DEFAULT_TTL_MS),
        uses=number_of(arguments, "uses", 1),
        labels=labels_of(arguments),
        host_no=None if its_host is None else its_host.host_no,
    )
    return {"id": made.token_id, "token": made.text, "expires_ms": made.expires_ms}


def _token_list(connection: Connection, around: Surroundings, _arguments: Arguments) -> Json:
    return tokens.list_tokens(connection, around.now_ms)


def _token_revoke(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    token_id = text_of(arguments, "id")
    tokens.revoke(connection, token_id, now_ms=around.now_ms, actor=around.actor)
    return {"id": token_id, "state": "revoked"}


def _db_status(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    status = revision_status(connection)
    return {"current": status.current, "newest": status.newest, "up_to_date": status.is_newest}


def _db_backup(connection: Connection, _around: Surroundings, arguments: Arguments) -> Json:
    """Copy the server's own file, as this transaction sees it, into a new one."""
    copy_open_database(connection, Path(text_of(arguments, "file")))
    return {}


def _doctor(connection: Connection, around: Surroundings, _arguments: Arguments) -> Json:
    """Return the numbers that `doctor` judges."""
    queue = connection.execute(select(func.count(), func.min(work.c.queued_ms))).one()
    states = connection.execute(select(host.c.state, func.count()).group_by(host.c.state)).all()
    cloned = connection.execute(
        select(host.c.name)
        .join(agent, agent.c.host_no == host.c.host_no)
        .where(agent.c.state == "cloned")
        .order_by(host.c.name)
    ).scalars()
    replaced = connection.execute(
        select(host.c.name)
        .distinct()
        .join(agent, agent.c.host_no == host.c.host_no)
        .join(agent_contact, agent_contact.c.agent_no == agent.c.agent_no)
        .where(agent.c.state == "active", agent_contact.c.verdict == REPLACED)
        .order_by(host.c.name)
    ).scalars()
    roll_over = authority_status(connection, around, {})
    return {
        "revision": revision_status(connection).current,
        "newest_revision": revision_status(connection).newest,
        "queue": queue[0],
        "oldest_queued_ms": queue[1],
        "hosts": dict(sorted((row[0], row[1]) for row in states)),
        "cloned": list(cloned),
        "replaced": list(replaced),
        "may_succeed": len(propose(connection)),
        "like_banned": sorted(warn_of_banned(connection).values()),
        "next_authority": any(each["state"] == "next" for each in roll_over["certificates"]),
        "not_told": [each["host"] for each in roll_over["not_told"]],
        "past_authority": any(each["state"] == "past" for each in roll_over["certificates"]),
        "with_old_certificate": [each["host"] for each in roll_over["with_old_certificate"]],
    }


def _audit_list(connection: Connection, _around: Surroundings, arguments: Arguments) -> Json:
    actor, action, subject = (
        str(arguments.get(name, "")) for name in ("actor", "action", "subject")
    )
    since = number_of(arguments, "since_ms", 0)
    wanted = audit.Wanted(actor, action, subject, since or None)
    return audit.list_rows(connection, wanted, limit=number_of(arguments, "limit", 100))


def _audit_verify(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    return asdict(audit.verify(connection))


OPERATIONS: dict[str, Operation] = {
    "audit.list": Operation(_audit_list, writes=False),
    "audit.verify": Operation(_audit_verify, writes=False),
    "token.create": Operation(_token_create, writes=True),
    "token.list": Operation(_token_list, writes=False),
    "token.revoke": Operation(_token_revoke, writes=True),
    **AGENT_OPERATIONS,
    **HOST_OPERATIONS,
    **AUTHORITY_OPERATIONS,
    **USER_OPERATIONS,
    "db.status": Operation(_db_status, writes=False),
    "db.backup": Operation(_db_backup, writes=False),
    "doctor": Operation(_doctor, writes=False),
}
