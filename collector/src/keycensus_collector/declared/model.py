"""What can be kept as files: views, teams, people, the fallback team, rules and labels by hand. Pure.

Text is as the database has it: what can't be shown is escaped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["views", "teams", "people", "rules", "labels"]


@dataclass(frozen=True, slots=True)
class DeclaredView:
    """A saved view."""

    what: str
    query: str
    description: str
    columns: list[str]


@dataclass(frozen=True, slots=True)
class DeclaredTeam:
    """A team with its members' names. `status`: "active" or "dissolved"."""

    description: str
    contact: str
    members: list[str]
    status: str


@dataclass(frozen=True, slots=True)
class DeclaredPerson:
    """A person. `status`: "active" or "left"."""

    full_name: str
    email: str
    contact: str
    user: str
    subject: str
    status: str


@dataclass(frozen=True, slots=True)
class Declared:
    """All of it, by names in their order. `rules`: the lines of the file in force.

    Labels by hand: `hosts` by name, or by UUID where several hosts have the name; `certificates` by
    the SHA-256 of the first of their line. `names`: what these certificates are called.
    """

    views: dict[str, DeclaredView] = field(default_factory=dict)
    teams: dict[str, DeclaredTeam] = field(default_factory=dict)
    people: dict[str, DeclaredPerson] = field(default_factory=dict)
    fallback: str = ""
    rules: list[str] = field(default_factory=list)
    hosts: dict[str, dict[str, str]] = field(default_factory=dict)
    certificates: dict[str, dict[str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What there is to be, of the kinds that are decided about. `fallback` None: as it is."""

    kinds: frozenset[Kind]
    declared: Declared
    fallback: str | None
    prune: bool


@dataclass(frozen=True, slots=True)
class Mistake:
    """What can't be: of which kind, of which name, and in a file of rules at which line (else 0)."""

    kind: str
    name: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Made:
    """What came of it.

    `kept`: what is in no file and stays, as "teams/web"; `moved`: what ended with a team or person, and
    who has it now; `absent`: labelled things that are not in this inventory, as "labels/hosts/web1".
    """

    before: Declared
    after: Declared
    kept: list[str]
    moved: list[str]
    absent: list[str]
