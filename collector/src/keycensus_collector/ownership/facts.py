"""Rules that say labels and importance, and what follows from them for hosts and certificates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, insert, select, update

from keycensus_collector.errors import UsageError
from keycensus_collector.fold.chunks import chunked
from keycensus_collector.ownership import queue
from keycensus_collector.ownership.rows import Changes
from keycensus_collector.ownership.rule_text import Written
from keycensus_collector.ownership.rules import Restriction, Rule, matches
from keycensus_collector.query.stored import dump, load
from keycensus_collector.store.schema import certificate
from keycensus_collector.store.tables.ownership import fact_rule, label
from keycensus_collector.text import safe_text

# More is as important as this.
MOST_IMPORTANT = 1_000_000
_COLUMNS = ("name", "kind", "what", "query", "key", "value", "points")


@dataclass(frozen=True, slots=True)
class FactRule:
    """A rule in force that says a label (`key`, `value`) or importance (`points`)."""

    kind: str
    rule: Rule
    key: str
    value: str
    points: int


@dataclass(slots=True)
class FactPlan:
    """What changes for the labels of a chunk, and the importance of its certificates."""

    labels: Changes = field(default_factory=lambda: Changes(label))
    ranks: dict[int, list[bytes]] = field(default_factory=dict)


def apply_fact_rules(
    connection: Connection, written: Iterable[Written], now_ms: int
) -> tuple[int, int]:
    """Put these in force instead of those before; return how many began and how many ended."""
    wanted = {_values(rule) for rule in written if rule.section != "owners"}
    now = {
        tuple(getattr(row, name) for name in _COLUMNS): row.rule_no
        for row in connection.execute(select(fact_rule).where(fact_rule.c.to_ms.is_(None)))
    }
    ended = [number for values, number in now.items() if values not in wanted]
    begun = sorted(wanted - set(now))
    connection.execute(update(fact_rule).where(fact_rule.c.rule_no.in_(ended)).values(to_ms=now_ms))
    if begun:
        connection.execute(
            insert(fact_rule),
            [dict(zip(_COLUMNS, values, strict=True)) | {"from_ms": now_ms} for values in begun],
        )
    return len(begun), len(ended)


def _values(rule: Written) -> tuple[Any, ...]:
    kind = "label" if rule.section == "labels" else "importance"
    key, _, value = rule.says.get("set", "").partition("=")
    points = int(rule.says.get("points") or 0)
    return rule.name, kind, rule.what, dump(rule.query), key, safe_text(value), points


def fact_rules(connection: Connection) -> list[FactRule]:
    """Return those in force; one that can't be read any more is left out."""
    found = []
    for row in connection.execute(select(fact_rule).where(fact_rule.c.to_ms.is_(None))):
        try:
            rule = Rule(row.rule_no, row.name, row.what, load(row.query), 0)
        except UsageError:
            continue
        found.append(FactRule(row.kind, rule, row.key, row.value, row.points))
    return sorted(found, key=lambda each: each.rule.order)


def plan(
    connection: Connection, what: str, identities: Sequence[Any], within: Restriction, now_ms: int
) -> FactPlan:
    """Work out labels by rule of hosts or certificates, and of these the importance."""
    made = FactPlan()
    rules = {each.rule.number: each for each in fact_rules(connection)}
    found = matches(connection, [each.rule for each in rules.values()], what, within, now_ms)
    kind = what.removesuffix("s")
    wanted: dict[Any, tuple[Any, ...]] = {}
    points: dict[Any, int] = {}
    for identity, matched in found.items():
        for each in (rules[rule.number] for rule in matched):
            if each.kind == "label":
                # The most specific comes first, and its word counts.
                key = (*_key(kind, identity), each.key)
                wanted.setdefault(key, (each.value, "rule", each.rule.number))
            else:
                points[identity] = points.get(identity, 0) + each.points
    now: dict[Any, tuple[int, tuple[Any, ...]]] = {}
    column = label.c.number if kind == "host" else label.c.artifact
    for chunk in chunked(identities):
        rows = connection.execute(
            select(label).where(
                label.c.kind == kind,
                column.in_(chunk),
                label.c.source == "rule",
                label.c.to_ms.is_(None),
            )
        )
        for row in rows:
            key = (row.kind, row.number, row.artifact, row.key)
            now[key] = (row.label_no, (row.value, row.source, row.source_no))
    keys = ("kind", "number", "artifact", "key")
    made.labels.compare(now, wanted, ("value", "source", "source_no"), keys)
    for begun in made.labels.begun:
        begun["actor"] = ""
    if kind == "certificate":
        made.ranks = _ranks(connection, identities, points)
    return made


def _key(kind: str, identity: Any) -> tuple[str, int, bytes]:  # noqa: ANN401 - a number or a hash
    return (kind, 0, identity) if isinstance(identity, bytes) else (kind, identity, b"")


def _ranks(
    connection: Connection, hashes: Sequence[bytes], points: dict[Any, int]
) -> dict[int, list[bytes]]:
    changed: dict[int, list[bytes]] = {}
    for chunk in chunked(hashes):
        rows = connection.execute(
            select(certificate.c.sha256, certificate.c.rank).where(certificate.c.sha256.in_(chunk))
        )
        for row in rows:
            rank = -max(0, min(points.get(row.sha256, 0), MOST_IMPORTANT))
            if rank != row.rank:
                changed.setdefault(rank, []).append(row.sha256)
    return changed


def write(connection: Connection, made: FactPlan, now_ms: int) -> None:
    """Write what a plan changes."""
    made.labels.write(connection, now_ms)
    queue.put_artifacts_on(
        connection, {row["number"] for row in made.labels.begun if row["kind"] == "host"}
    )
    for rank, hashes in sorted(made.ranks.items()):
        for chunk in chunked(hashes):
            connection.execute(
                update(certificate).where(certificate.c.sha256.in_(chunk)).values(rank=rank)
            )
