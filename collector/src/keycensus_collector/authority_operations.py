"""What an operator does to the authority: status, next, drop, activate, retire."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from sqlalchemy import Connection

from keycensus_collector.access import audit
from keycensus_collector.authority import local, rollover
from keycensus_collector.authority.authority import from_ms, to_ms
from keycensus_collector.authority.keeper import Registered, fingerprint, registered
from keycensus_collector.authority.rollover import Straggler
from keycensus_collector.deployment import OPERATOR, read_deployment
from keycensus_collector.errors import UsageError
from keycensus_collector.operation import Arguments, Json, Operation, Surroundings
from keycensus_collector.text import safe_text

_NAMED = 5


def status(connection: Connection, _around: Surroundings, _arguments: Arguments) -> Json:
    """Return every certificate of every authority, and whom the next step would strand."""
    rows = registered(connection)
    past = any(row.state == "past" for row in rows)
    return {
        "certificates": [_certificate(row) for row in rows],
        "not_told": [_agent(each) for each in rollover.not_told(connection, rows)],
        "with_old_certificate": [
            _agent(each)
            for each in (rollover.with_old_certificate(connection, rows) if past else [])
        ],
    }


def _certificate(row: Registered) -> dict[str, Any]:
    parsed = x509.load_der_x509_certificate(row.der)
    return {
        "state": row.state,
        "anchor": row.is_anchor,
        "subject": safe_text(parsed.subject.rfc4514_string()),
        "sha256": row.sha256.hex(),
        "not_after_ms": to_ms(parsed.not_valid_after_utc),
        "added_ms": row.added_ms,
    }


def _agent(each: Straggler) -> dict[str, Any]:
    return {
        "id": each.agent_id,
        "host": each.host_name,
        "host_state": each.host_state,
        "last_seen_ms": each.last_seen_ms,
    }


def _next(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    """Make the next authority (`own`), or take up the one that was put into its directory."""
    if any(row.state == "next" for row in registered(connection)):
        raise UsageError(
            "there is a next authority already; see: keycensus-collector ca status, or forget it with: "
            "keycensus-collector ca drop"
        )
    now = from_ms(around.now_ms)
    if arguments.get("own"):
        name = f"{read_deployment(connection).name} {now:%Y-%m-%d}"
        local.create_own(name, now).save(around.signing.next_directory)
    authority = local.load(around.signing.next_directory, now)
    rollover.register(connection, authority.chain, "next", around.now_ms)
    _record(connection, around, "ca.next", authority.chain[0])
    return {"subject": safe_text(authority.chain[-1].subject.rfc4514_string())}


def _drop(connection: Connection, around: Surroundings, _arguments: Arguments) -> Json:
    """Forget the next authority."""
    if not rollover.withdraw(connection):
        raise UsageError("there is no next authority")
    around.signing.forget_next()
    _record(connection, around, "ca.drop", None)
    return {}


def _activate(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    """Let the next authority sign from here on."""
    rows = registered(connection)
    if not any(row.state == "next" for row in rows):
        raise UsageError("there is no next authority; make one with: keycensus-collector ca next")
    if any(row.state == "past" for row in rows):
        raise UsageError(
            "the authority before the current one is not retired yet; do so first with: "
            "keycensus-collector ca retire"
        )
    stranded = rollover.not_told(connection, rows)
    _check_stranded(stranded, arguments, "do not trust the next authority yet")
    authority = local.load(around.signing.next_directory, from_ms(around.now_ms))
    if not any(
        row.state == "next" and row.sha256 == fingerprint(authority.chain[0]) for row in rows
    ):
        raise UsageError(
            "the key in authority-next is not that of the next authority; drop it first"
        )
    tokens = rollover.open_tokens(connection, around.now_ms)
    rollover.activate(connection, authority.chain)
    _record(connection, around, "ca.activate", authority.chain[0], stranded=len(stranded))
    return {
        "subject": safe_text(authority.chain[-1].subject.rfc4514_string()),
        "stranded": len(stranded),
        "tokens_void": tokens,
    }


def _retire(connection: Connection, around: Surroundings, arguments: Arguments) -> Json:
    """Accept nothing of past authorities any more."""
    rows = registered(connection)
    if not any(row.state == "past" for row in rows):
        raise UsageError("there is no past authority")
    stranded = rollover.with_old_certificate(connection, rows)
    _check_stranded(stranded, arguments, "have no certificate of the current authority yet")
    count = rollover.retire(connection)
    _record(connection, around, "ca.retire", None, stranded=len(stranded))
    return {"retired": count, "stranded": len(stranded)}


def _check_stranded(stranded: list[Straggler], arguments: Arguments, what: str) -> None:
    """Refuse to strand agents, unless the operator has said how many."""
    if not stranded:
        return
    accepted = arguments.get("strand")
    if accepted == len(stranded):
        return
    names = ", ".join(each.host_name for each in stranded[:_NAMED])
    more = f" and {len(stranded) - _NAMED} more" if len(stranded) > _NAMED else ""
    raise UsageError(
        f"{len(stranded)} agents {what} ({names}{more}); nothing was changed. Wait until they have "
        "reported (keycensus-collector ca status), retire those that are no more, or strand them with: "
        f"--strand {len(stranded)}"
    )


def _record(
    connection: Connection,
    around: Surroundings,
    action: str,
    certificate: x509.Certificate | None,
    *,
    stranded: int = 0,
) -> None:
    audit.record(
        connection,
        at_ms=around.now_ms,
        actor=OPERATOR,
        action=action,
        subject="" if certificate is None else fingerprint(certificate).hex(),
        detail={"stranded": stranded},
    )


AUTHORITY_OPERATIONS = {
    "ca.status": Operation(status, writes=False),
    "ca.next": Operation(_next, writes=True, changes_authority=True),
    "ca.drop": Operation(_drop, writes=True, changes_authority=True),
    "ca.activate": Operation(_activate, writes=True, changes_authority=True),
    "ca.retire": Operation(_retire, writes=True, changes_authority=True),
}
