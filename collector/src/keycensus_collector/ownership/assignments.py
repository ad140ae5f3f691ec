"""What people decide: a thing is given to a team, with a reason; taken back; asked after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
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
) -> int:
    """Give things to a team or person and return how many were another's or nobody's before.

    A certificate is given with its line, so that its renewals are the same owner's.
    """
    if not reason.strip() or len(reason) > _MOST_REASON:
        raise UsageError(f"say why in 1 to {_MOST_REASON:,} characters: --reason TEXT")
    number = owner_no(connection, owner, actor=actor, now_ms=now_ms)
    changed = 0
    for thing in things:
        scope = _scope(connection, thing)
        now = connection.execute(
            select(owner_assignment.c.assignment_no, owner_assignment.c.team_no).where(
                *_same(scope)
            )
        ).one_or_none()
        if now is not None and now.team_no == number:
            continue
        _end(connection, scope, now_ms)
        connection.execute(
            insert(owner_assignment).values(
                scope=scope.kind,
                number=scope.number,
                artifact=scope.artifact,
                team_no=number,
                reason=safe_text(reason),
                actor=safe_text(actor),
                from_ms=now_ms,
                to_ms=None,
            )
        )
        _follow(connection, scope)
        audit.record(
            connection,
            at_ms=now_ms,
            actor=actor,
            action="owner.set",
            subject=thing.name,
            detail={"owner": owner, "reason": reason},
        )
        changed += 1
    return changed


def release(connection: Connection, things: Iterable[Thing], *, actor: str, now_ms: int) -> int:
    """Take things back, so that rules and places say again whose they are; return how many."""
    changed = 0
    for thing in things:
        scope = _scope(connection, thing)
        if _end(connection, scope, now_ms):
            _follow(connection, scope)
            audit.record(
                connection, at_ms=now_ms, actor=actor, action="owner.unset", subject=thing.name
            )
            changed += 1
    return changed


def _scope(connection: Connection, thing: Thing) -> Thing:
    """Return what a decision hangs on: of a certificate, its line if it has one."""
    if thing.kind != "certificate":
        return thing
    line = connection.execute(
        select(certificate.c.line_no).where(certificate.c.sha256 == thing.artifact)
    ).scalar_one_or_none()
    return thing if line is None else Thing("line", number=line)


def _same(scope: Thing) -> list[ColumnElement[bool]]:
    given = owner_assignment.c
    return [
        given.scope == scope.kind,
        given.number == scope.number,
        given.artifact == scope.artifact,
        given.to_ms.is_(None),
    ]


def _end(connection: Connection, scope: Thing, now_ms: int) -> bool:
    ended = connection.execute(
        update(owner_assignment).where(*_same(scope)).values(to_ms=now_ms)
    ).rowcount
    return bool(ended)


def _follow(connection: Connection, scope: Thing) -> None:
    """Ask for what follows from a decision."""
    follow(connection, [scope])


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
