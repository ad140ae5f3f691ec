"""What the collector answers about agents and their tokens; fields are explained in its description."""

from __future__ import annotations

from dataclasses import dataclass, field

from keycensus_client.model import Page


@dataclass(frozen=True, slots=True)
class Agent:
    """An identity that enrolled. `problems`: what ails it, in words."""

    id: str
    host: str
    host_id: str
    host_state: str
    state: str
    reason: str
    copies: int | None
    version: str
    enrolled: str | None
    enrolled_by: str
    last_seen: str | None
    certificate_ends: str | None
    problems: list[str]


@dataclass(frozen=True, slots=True)
class AgentPage(Page):
    """Identities by their hosts' names."""

    items: list[Agent]


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that said hello under an identity."""

    boot: str
    name: str
    address: str
    machine: str
    verdict: str
    hellos: int
    first_seen: str | None
    last_seen: str | None


@dataclass(frozen=True, slots=True)
class AgentDetail(Agent):
    """An identity, with the machines that used it. `rekey_until`: so long its copies may come."""

    machines: list[Machine]
    rekey_until: str | None
    rekey_copies_left: int | None


@dataclass(frozen=True, slots=True)
class AgentState:
    """The state that an identity has now."""

    id: str
    state: str


@dataclass(frozen=True, slots=True)
class Rekeyed:
    """An identity that has ended, and until when its machines may come for their own."""

    id: str
    machines: int
    until: str | None


@dataclass(frozen=True, slots=True)
class Clone:
    """An identity that several machines use."""

    id: str
    host: str
    machines: int


@dataclass(frozen=True, slots=True)
class ClonesRekeyed:
    """Identities that were ended, or would be, with the first of them. `digest` stands for all."""

    done: bool
    identities: int
    machines: int
    samples: list[Clone]
    until: str | None
    digest: str


@dataclass(frozen=True, slots=True)
class HostState:
    """The state that a host has now."""

    id: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """A token with which hosts enrol, without its secret."""

    id: str
    state: str
    uses_left: int
    created: str | None
    expires: str | None
    labels: dict[str, str]
    host: str
    host_id: str
    created_by: str


@dataclass(frozen=True, slots=True)
class NewEnrolmentToken:
    """A fresh token; `token` is shown this once."""

    id: str
    expires: str | None
    token: str = field(repr=False)
