"""Rules from a file: tried on everything there is, or put in force, with a version of the file kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from keycensus_collector.access import audit
from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.ownership import queue
from keycensus_collector.ownership.assignments import Thing, given_now, scopes_of
from keycensus_collector.ownership.facts import apply_fact_rules
from keycensus_collector.ownership.rule_file import keep_file
from keycensus_collector.ownership.rule_text import Written, read_rules
from keycensus_collector.ownership.rules import Rule, is_in_conflict, matches
from keycensus_collector.ownership.settings import TRUSTED, change_setting, setting
from keycensus_collector.ownership.sweeps import next_of
from keycensus_collector.ownership.teams import owner_no
from keycensus_collector.ownership.telling import told
from keycensus_collector.query.relations import Tables
from keycensus_collector.query.stored import dump
from keycensus_collector.store.schema import place
from keycensus_collector.store.tables.ownership import (
    CERTIFICATE,
    KEY,
    artifact_owner,
    host_owner,
    owner_rule,
    person,
    place_owner,
    team,
)
from keycensus_collector.text import safe_text

_SAMPLES = 10
_HOSTS_AT_ONCE, _ARTIFACTS_AT_ONCE = 50, 2_000


@dataclass(slots=True)
class TriedRule:
    """What one rule would do: how many things it decides about, and how many it would change."""

    decides: int = 0
    changes: int = 0


@dataclass(slots=True)
class Tried:
    """What rules would do. Things given by hand stay so and are counted apart.

    `complete`: everything was looked at; else the time was up before. `by_rule`: what wins first.
    """

    rules: int
    assigned: int = 0
    changed: int = 0
    ended: int = 0
    conflicts: int = 0
    kept_by_hand: int = 0
    complete: bool = True
    samples: list[str] = field(default_factory=list)
    conflict_samples: list[str] = field(default_factory=list)
    by_rule: dict[str, TriedRule] = field(default_factory=dict)


def try_rules(connection: Connection, text: str, *, now_ms: int, seconds: float = 20.0) -> Tried:
    """Say what the rules of a file would do; UsageError with all mistakes in it."""
    file = read_rules(text, now_ms)
    people = _people_without_team(connection, file.rules)
    rules = _rules(connection, file.rules, people)
    names = _names(connection) | {number: name for name, number in people.items()}
    tried = Tried(len(rules), by_rule={rule.name: TriedRule() for rule in rules})
    trial = _Trial(connection, rules, file.trusted, now_ms, tried, names)
    end = time.monotonic() + seconds
    for kind in queue.SWEEPS:
        for chunk in _chunks(connection, kind):
            if time.monotonic() > end:
                trial.tried.complete = False
                return trial.tried
            for what in ("hosts", "places") if kind == "host" else (f"{kind}s",):
                trial.look(what, chunk)
    return trial.tried


def apply_rules(
    connection: Connection, text: str, *, actor: str, now_ms: int
) -> tuple[int, int, int]:
    """Put the rules of a file in force instead of those before.

    Returns the version of the file, and how many rules are new or changed, and how many ended.
    Owners follow in the background.
    """
    file = read_rules(text, now_ms)
    written = file.rules
    for name in _people_without_team(connection, written):
        owner_no(connection, name, actor=actor, now_ms=now_ms)
    trusted = " ".join(sorted(file.trusted))
    if trusted != setting(connection, TRUSTED):
        change_setting(connection, TRUSTED, trusted, actor=actor, now_ms=now_ms)
    facts_changed = apply_fact_rules(connection, written, now_ms)
    wanted = {
        (rule.name, rule.what, dump(rule.query), rule.team_no, rule.note)
        for rule in _rules(connection, written)
    }
    now = {
        (row.name, row.what, row.query, row.team_no, row.note): row.rule_no
        for row in connection.execute(select(owner_rule).where(owner_rule.c.to_ms.is_(None)))
    }
    ended = [number for key, number in now.items() if key not in wanted]
    begun = sorted(wanted - set(now))
    connection.execute(
        update(owner_rule).where(owner_rule.c.rule_no.in_(ended)).values(to_ms=now_ms)
    )
    if begun:
        columns = ("name", "what", "query", "team_no", "note")
        connection.execute(
            insert(owner_rule),
            [dict(zip(columns, key, strict=True)) | {"from_ms": now_ms} for key in begun],
        )
    version = keep_file(connection, text, actor=actor, now_ms=now_ms)
    queue.ask_for_sweep(connection, now_ms)
    audit.record(
        connection,
        at_ms=now_ms,
        actor=actor,
        action="rules.apply",
        subject=f"version {version}",
        detail={"begun": [key[0] for key in begun], "ended": len(ended)},
    )
    return version, len(begun) + facts_changed[0], len(ended) + facts_changed[1]


def _people_without_team(connection: Connection, written: Sequence[Written]) -> dict[str, int]:
    """Return people who are named as owners and are no team of one yet, each with a number that no team has."""
    named = sorted({rule.says["owner"] for rule in written if rule.section == "owners"})
    teams = select(team.c.name)
    return {
        row.name: -row.person_no
        for chunk in chunked(named)
        for row in connection.execute(
            select(person.c.name, person.c.person_no).where(
                person.c.name.in_(chunk), person.c.state == "active", person.c.name.not_in(teams)
            )
        )
    }


def _rules(
    connection: Connection,
    all_written: Sequence[Written],
    people: Mapping[str, int] | None = None,
) -> list[Rule]:
    """Return the rules on owners, what wins first; `people`: who will be a team of one."""
    written = [rule for rule in all_written if rule.section == "owners"]
    teams = dict(people or {}) | {
        row.name: row.team_no
        for row in connection.execute(select(team).where(team.c.dissolved_ms.is_(None)))
    }
    unknown = [
        f"line {rule.line}: there is no team or person {rule.says['owner']!r}"
        for rule in written
        if rule.says["owner"] not in teams
    ]
    if unknown:
        raise UsageError("the rules were not taken:\n" + "\n".join(unknown))
    rules = [
        Rule(0, rule.name, rule.what, rule.query, teams[rule.says["owner"]], safe_text(rule.note))
        for rule in written
    ]
    return sorted(rules, key=lambda rule: rule.order)


def _chunks(connection: Connection, kind: str) -> Iterator[list[Any]]:
    at_once = _HOSTS_AT_ONCE if kind == "host" else _ARTIFACTS_AT_ONCE
    last: Any = 0 if kind == "host" else b""
    while chunk := next_of(connection, kind, last, at_once):
        yield chunk
        last = chunk[-1]


def _names(connection: Connection) -> dict[int, str]:
    return {row.team_no: row.name for row in connection.execute(select(team))}


@dataclass(slots=True)
class _Trial:
    """Rules that are tried, and what came of it so far."""

    connection: Connection
    rules: Sequence[Rule]
    trusted: frozenset[str]
    now_ms: int
    tried: Tried
    names: dict[int, str]

    def look(self, what: str, chunk: Sequence[Any]) -> None:
        """Look at some hosts (or their places), certificates or keys."""
        within = _WITHIN[what](chunk)
        found = matches(
            self.connection, self.rules, what, within, self.now_ms, trusted=self.trusted
        )
        now = _ruled_now(self.connection, what, chunk)
        by_hand = _by_hand(self.connection, what, {*found, *now})
        for identity in sorted({*found, *now}):
            mine = found.get(identity, [])
            if identity in by_hand:
                self.tried.kept_by_hand += bool(mine)
                continue
            if is_in_conflict(mine):
                self._conflict(what, identity, mine)
            self._change(what, identity, now.get(identity), mine[0] if mine else None)

    def _conflict(self, what: str, identity: Any, rules: Sequence[Rule]) -> None:  # noqa: ANN401 - a number or a hash
        self.tried.conflicts += 1
        if len(self.tried.conflict_samples) < _SAMPLES:
            best = [rule for rule in rules if rule.weight == rules[0].weight]
            rivals = ", ".join(f"{rule.name} ({self.names[rule.team_no]})" for rule in best)
            name = told(self.connection, what, identity)
            self.tried.conflict_samples.append(f"{name}: {rivals}; the first is taken")

    def _change(self, what: str, identity: Any, before: int | None, rule: Rule | None) -> None:  # noqa: ANN401 - a number or a hash
        after = rule.team_no if rule else None
        if rule:
            of_rule = self.tried.by_rule[rule.name]
            of_rule.decides += 1
            of_rule.changes += before != after
        if before == after:
            return
        self.tried.assigned += before is None
        self.tried.changed += before is not None and after is not None
        self.tried.ended += after is None
        if len(self.tried.samples) < _SAMPLES:
            was, will = (self.names[each] if each else "no rule" for each in (before, after))
            name = told(self.connection, what, identity)
            self.tried.samples.append(f"{name}: {was} -> {will}")


_Within = Callable[[Tables], Any]
_WITHIN: dict[str, Callable[[Sequence[Any]], _Within]] = {
    "hosts": lambda chunk: lambda tables: tables.host.c.host_no.in_(chunk),
    "places": lambda chunk: lambda tables: tables.place.c.host_no.in_(chunk),
    "certificates": lambda chunk: lambda tables: tables.certificate.c.sha256.in_(chunk),
    "keys": lambda chunk: lambda tables: tables.key.c.key_id.in_(chunk),
}


def _ruled_now(connection: Connection, what: str, chunk: Sequence[Any]) -> dict[Any, int]:
    """Return what rules in force say of a chunk: the team of each thing."""
    which: ColumnElement[bool]
    if what in {"hosts", "places"}:
        table = host_owner if what == "hosts" else place_owner
        key = table.c.host_no if what == "hosts" else table.c.place_no
        which = table.c.host_no.in_(chunk)
    else:
        table, key = artifact_owner, artifact_owner.c.artifact
        kind = CERTIFICATE if what == "certificates" else KEY
        which = key.in_(chunk) & (table.c.kind == kind)
    rows = connection.execute(
        select(key, table.c.team_no).where(which, table.c.how == "rule", table.c.to_ms.is_(None))
    )
    return {row[0]: row[1] for row in rows}


def _by_hand(connection: Connection, what: str, identities: Collection[Any]) -> set[Any]:
    """Return those that were given by hand: rules say nothing of them."""
    kind = what.removesuffix("s")
    things = {
        identity: Thing(kind, artifact=identity)
        if isinstance(identity, bytes)
        else Thing(kind, number=identity)
        for identity in identities
    }
    scopes = {identity: scopes_of(connection, [thing])[0] for identity, thing in things.items()}
    given = given_now(connection, scopes.values())
    hand = {identity for identity, scope in scopes.items() if scope in given}
    if what == "places":
        rows = connection.execute(
            select(place.c.place_no, place.c.host_no).where(place.c.place_no.in_(identities))
        ).all()
        hosts = given_now(connection, {Thing("host", number=row.host_no) for row in rows})
        hand |= {row.place_no for row in rows if Thing("host", number=row.host_no) in hosts}
    return hand
