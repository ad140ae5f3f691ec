"""What the collector says of all that people set; fields are explained in its description."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class DeclaredView:
    """A saved view."""

    what: str
    query: str
    description: str
    columns: list[str]


@dataclass(frozen=True, slots=True)
class DeclaredTeam:
    """A team with its members' names."""

    description: str
    contact: str
    members: list[str]
    status: str


@dataclass(frozen=True, slots=True)
class DeclaredPerson:
    """A person."""

    full_name: str
    email: str
    contact: str
    user: str
    subject: str
    status: str


@dataclass(frozen=True, slots=True)
class Declared:
    """All that people set."""

    views: dict[str, DeclaredView]
    teams: dict[str, DeclaredTeam]
    people: dict[str, DeclaredPerson]
    fallback: str
    rules: list[str]
    hosts: dict[str, dict[str, str]]
    certificates: dict[str, dict[str, str]]
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeclaredOutcome:
    """What there was and what there is, or would be."""

    done: bool
    tag: str
    before: Declared
    after: Declared
    kept: list[str]
    moved: list[str]
    absent: list[str]
