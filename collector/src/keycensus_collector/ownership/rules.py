"""Rules in force, and what they match: each is a query with an owner.

The most specific rule wins (`specificity`). Where two of the same weight name different owners, the
first by name wins, and the conflict is told by the preview.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from keycensus_collector.errors import UsageError
from keycensus_collector.ownership.intervals import at
from keycensus_collector.ownership.resolve import Said
from keycensus_collector.ownership.settings import trusted_labels
from keycensus_collector.ownership.specificity import Weight, specificity
from keycensus_collector.query.ask import ask
from keycensus_collector.query.bind import bind
from keycensus_collector.query.bound import All, Bound, Literal, Some
from keycensus_collector.query.fields import Level
from keycensus_collector.query.model import Query
from keycensus_collector.query.relations import Tables
from keycensus_collector.query.stored import load
from keycensus_collector.store.tables.ownership import owner_rule

WHATS = ("certificates", "keys", "places", "hosts")
_IDENTITIES = {
    "certificates": ("certificate", "sha256"),
    "keys": ("key", "key_id"),
    "places": ("place", "place_no"),
    "hosts": ("host", "host_no"),
}

# What a look at a chunk is limited to, on the columns of the tables that are asked.
Restriction = Callable[[Tables], ColumnElement[bool]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `number`: of its row; 0 for one that is only tried."""

    number: int
    name: str
    what: str
    query: Query
    team_no: int
    note: str = ""

    @property
    def order(self) -> tuple[int, int, str]:
        """Sort by this: what wins comes first."""
        weight, letters = self.weight
        return -weight, -letters, self.name

    @property
    def weight(self) -> Weight:
        """How specific it is."""
        return specificity(self.query)

    def asks(self, now_ms: int) -> str:
        """Return the list that is asked: a rule on places that says nothing of them is one on hosts."""
        if self.what != "places":
            return self.what
        return "hosts" if _is_of_hosts(bind(self.query, "places", now_ms).condition) else "places"


def rules_in_force(connection: Connection, as_of_ms: int | None = None) -> list[Rule]:
    """Return the rules that hold now, or held, what wins first. One that can't be read any more is left out."""
    rules = []
    for row in connection.execute(select(owner_rule).where(at(owner_rule, as_of_ms))):
        try:
            query = load(row.query)
        except UsageError:
            continue
        rules.append(Rule(row.rule_no, row.name, row.what, query, row.team_no, row.note))
    return sorted(rules, key=lambda rule: rule.order)


def matches(
    connection: Connection,
    rules: Iterable[Rule],
    what: str,
    within: Restriction,
    now_ms: int,
    *,
    trusted: frozenset[str] | None = None,
) -> dict[Any, list[Rule]]:
    """Return what rules match of one list, within a restriction: each with its rules, best first.

    `trusted`: the labels of which a host's own word counts; None: as set. Who owns a thing, and so who
    sees it, must not be for the host to say.
    """
    believed = trusted_labels(connection) if trusted is None else trusted
    found: dict[Any, list[Rule]] = defaultdict(list)
    table_name, column_name = _IDENTITIES[what]
    for rule in rules:
        if rule.asks(now_ms) != what:
            continue
        for sealed in (False, True) if what == "keys" else (False,):
            asked = ask(connection, rule.query, what, now_ms, sealed=sealed, host_labels=believed)
            column = getattr(asked.tables, table_name).c[column_name]
            rows = connection.execute(select(column).where(within(asked.tables), asked.condition))
            for identity in rows.scalars():
                found[identity].append(rule)
    return found


def winners(found: dict[Any, list[Rule]]) -> dict[Any, Said]:
    """Return of each thing what its best rule says."""
    return {
        identity: Said(rules[0].team_no, "rule", rules[0].number)
        for identity, rules in found.items()
    }


def is_in_conflict(rules: Sequence[Rule]) -> bool:
    """Whether the best rules of a thing weigh the same and name different owners."""
    best = [rule for rule in rules if rule.weight == rules[0].weight]
    return len({rule.team_no for rule in best}) > 1


def _is_of_hosts(node: Bound) -> bool:
    if isinstance(node, Literal):
        return node.field.levels == (Level.HOST,)
    if isinstance(node, All | Some):
        return all(map(_is_of_hosts, node.parts))
    return False
