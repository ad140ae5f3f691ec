"""What the collector answers about owners, teams and people; fields are explained in its description."""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_client.model import Label, Ownership


@dataclass(frozen=True, slots=True)
class Held:
    """What a team holds: given by hand (by kind), by rules, and owned for whatever reason."""

    given: dict[str, int]
    rules: list[str]
    certificates: int
    keys: int
    hosts: int
    places: int

    @property
    def text(self) -> str:
        """Return it in a line."""
        parts = [f"{count:,} {kind}(s) by hand" for kind, count in self.given.items()]
        parts += [f"rules {', '.join(self.rules)}"] if self.rules else []
        counts = {
            "certificates": self.certificates,
            "keys": self.keys,
            "hosts": self.hosts,
            "places": self.places,
        }
        owned = [f"{count:,} {what}" for what, count in counts.items() if count]
        parts += [f"owns {', '.join(owned)}"] if owned else []
        return "; ".join(parts) or "nothing"


@dataclass(frozen=True, slots=True)
class Dissolved(Held):
    """What a team held that is dissolved, or would be, and who takes it."""

    done: bool
    members: list[str]
    moves_to: str


@dataclass(frozen=True, slots=True)
class Team:
    """A team, or a person who owns something alone."""

    name: str
    description: str
    contact: str
    members: list[str]
    person: str
    dissolved: str | None
    held: Held | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A person. `by_groups`: those of `teams` that groups at a provider of OpenID Connect give."""

    name: str
    full_name: str
    email: str
    contact: str
    user: str
    subject: str
    state: str
    teams: list[str]
    by_groups: list[str]
    left: str | None


@dataclass(frozen=True, slots=True)
class Left:
    """What goes with a person."""

    name: str
    done: bool
    alone: Held | None
    teams: list[str]
    last: dict[str, Held]
    moves_to: str
    users: list[str]
    tokens: int


@dataclass(frozen=True, slots=True)
class Roster:
    """What a list of everybody did, or would do."""

    done: bool
    added: list[str]
    changed: list[str]
    leaving: list[str]
    share: int


@dataclass(frozen=True, slots=True)
class OwnersOf:
    """What an ID names, and whose it is."""

    kind: str
    id: str
    name: str
    owners: list[Ownership]


@dataclass(frozen=True, slots=True)
class Fallback:
    """The team that answers for what nobody owns; empty: none."""

    team: str


@dataclass(frozen=True, slots=True)
class RuleFile:
    """The file of rules in force, line by line."""

    version: int
    applied_by: str
    applied: str | None
    lines: list[str]


@dataclass(frozen=True, slots=True)
class Applied:
    """What was put in force."""

    version: int
    begun: int
    ended: int


@dataclass(frozen=True, slots=True)
class TriedRule:
    """What one rule decides about, and what it would change."""

    rule: str
    decides: int
    changes: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What rules would do."""

    rules: int
    assigned: int
    changed: int
    ended: int
    conflicts: int
    kept_by_hand: int
    complete: bool
    samples: list[str]
    conflict_samples: list[str]
    by_rule: list[TriedRule]


@dataclass(frozen=True, slots=True)
class LabelsOf:
    """What an ID names, and its labels."""

    kind: str
    id: str
    name: str
    labels: list[Label]
