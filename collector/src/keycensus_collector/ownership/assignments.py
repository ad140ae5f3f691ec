"""What people decide: a thing is given to a team, with a reason; taken back; asked after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.ownership import queue
from keycensus_collector.ownership.teams import owner_no
from keycensus_collector.store.schema import certificate, place
from keycensus_collector.store.tables.ownership import (
    CERTIFICATE,
    KEY,
    owner_assignment,
)
from keycensus_collector.text import safe_text

_MOST_REASON = 1_000
_MOST_NAMED = 1_000


@dataclass(frozen=True, slots=True)
class Thing:
    """What can be given: "certificate" or "key" by hash, "place" or "host" by number."""

    kind: str
    number: int = 0
    artifact: bytes = b""

    @property
    def name(self) -> str:
        """Return it as the audit log names it."""
        return f"{self.kind}:{self.artifact.hex() if self.artifact else self.number}"


def assign(
    connection: Connection,
    things: Iterable[Thing],
    owner: str,
    *,
    reason: str,
    actor: str,
    now_ms: int,
    query: str = "",
) -> int:
    """Give things to a team or person and return how many were another's or nobody's by hand before.

    A certificate is given with its line, so that its renewals are the same owner's. `query`: what
    listed them, for the audit log.
    """
    check_reason(reason)
    number = owner_no(connection, owner, actor=actor, now_ms=now_ms)
    scopes = scopes_of(connection, things)
    given = given_now(connection, scopes)
    changed = [scope for scope in scopes if given.get(scope, (0, 0))[1] != number]
    _end(connection, [given[scope][0] for scope in changed if scope in given], now_ms)
    for chunk in chunked(changed):
        connection.execute(
            insert(owner_assignment),
            [
                {
                    "scope": scope.kind,
                    "number": scope.number,
                    "artifact": scope.artifact,
                    "team_no": number,
                    "reason": safe_text(reason),
                    "actor": safe_text(actor),
                    "from_ms": now_ms,
                    "to_ms": None,
                }
                for scope in chunk
            ],
        )
    follow(connection, changed)
    if changed:
        detail = {"owner": owner, "reason": reason, **({"query": query} if query else {})}
        _record(connection, "owner.set", changed, actor, now_ms, **detail)
    return len(changed)


def check_reason(reason: str) -> None:
    """Raise UsageError for what can't be a reason."""
    if not reason.strip() or len(reason) > _MOST_REASON:
        raise UsageError(f"say why in 1 to {_MOST_REASON:,} characters: --reason TEXT")


def release(
    connection: Connection,
    things: Iterable[Thing],
    *,
    actor: str,
    now_ms: int,
    query: str = "",
) -> int:
    """Take things back, so that rules and places say again whose they are; return how many."""
    given = given_now(connection, scopes_of(connection, things))
    _end(connection, [number for number, _ in given.values()], now_ms)
    follow(connection, given)
    if given:
        _record(
            connection,
            "owner.unset",
            list(given),
            actor,
            now_ms,
            **({"query": query} if query else {}),
        )
    return len(given)


def scopes_of(connection: Connection, things: Iterable[Thing]) -> list[Thing]:
    """Return what decisions hang on, each once: of a certificate, its line if it has one."""
    listed = list(things)
    hashes = [thing.artifact for thing in listed if thing.kind == "certificate"]
    lines: dict[bytes, int] = {}
    for chunk in chunked(hashes):
        rows = connection.execute(
            select(certificate.c.sha256, certificate.c.line_no).where(
                certificate.c.sha256.in_(chunk), certificate.c.line_no.is_not(None)
            )
        )
        lines.update((row.sha256, row.line_no) for row in rows)
    return list(
        dict.fromkeys(
            Thing("line", number=lines[thing.artifact]) if thing.artifact in lines else thing
            for thing in listed
        )
    )


def given_now(connection: Connection, scopes: Iterable[Thing]) -> dict[Thing, tuple[int, int]]:
    """Return of those that were given by hand: the assignment, and the team."""
    given, found = owner_assignment.c, {}
    by_kind: dict[str, list[Thing]] = {}
    for scope in scopes:
        by_kind.setdefault(scope.kind, []).append(scope)
    for kind, same in by_kind.items():
        for chunk in chunked(same):
            numbers, artifacts = [s.number for s in chunk], [s.artifact for s in chunk]
            rows = connection.execute(
                select(owner_assignment).where(
                    given.scope == kind,
                    given.number.in_(numbers),
                    given.artifact.in_(artifacts),
                    given.to_ms.is_(None),
                )
            )
            for row in rows:
                key = Thing(row.scope, row.number, row.artifact)
                found[key] = (row.assignment_no, row.team_no)
    return found


def _end(connection: Connection, numbers: Sequence[int], now_ms: int) -> None:
    for chunk in chunked(numbers):
        connection.execute(
            update(owner_assignment)
            .where(owner_assignment.c.assignment_no.in_(chunk))
            .values(to_ms=now_ms)
        )


def _record(
    connection: Connection,
    action: str,
    scopes: Sequence[Thing],
    actor: str,
    now_ms: int,
    **detail: object,
) -> None:
    """Write one line for all of them; of very many, the first are named."""
    names = [scope.name for scope in scopes]
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action=action,
        subject=names[0] if len(names) == 1 else f"{len(names):,} things",
        detail={**detail, "things": names[:_MOST_NAMED], "count": len(names)},
    )


def follow(connection: Connection, scopes: Iterable[Thing]) -> None:
    """Ask that the owners of what decisions hang on be worked out."""
    hosts: set[int] = set()
    artifacts: set[tuple[int, bytes]] = set()
    for scope in scopes:
        if scope.kind == "host":
            hosts.add(scope.number)
        elif scope.kind == "place":
            hosts.update(_numbers(connection, place.c.host_no, place.c.place_no == scope.number))
        elif scope.kind == "line":
            of_line = certificate.c.line_no == scope.number
            for sha256 in _numbers(connection, certificate.c.sha256, of_line):
                artifacts.add((CERTIFICATE, sha256))
        else:
            artifacts.add((KEY if scope.kind == "key" else CERTIFICATE, scope.artifact))
    queue.put_hosts(connection, hosts)
    queue.put_artifacts(connection, artifacts)


def _numbers(connection: Connection, column: Any, condition: ColumnElement[bool]) -> list[Any]:  # noqa: ANN401 - any column
    return list(connection.execute(select(column).where(condition)).scalars())
