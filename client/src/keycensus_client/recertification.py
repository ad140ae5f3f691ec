"""What the collector answers about campaigns of recertification; fields are explained in its description."""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_client.model import Page

STATES = ("confirmed", "disputed", "open", "lapsed", "moved", "gone")


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign. `counts`: lines by state; None in lists."""

    number: int
    name: str
    state: str
    until: str | None
    lists: list[str]
    query: str
    team: str
    started_by: str
    started: str | None
    ended_by: str
    ended: str | None
    counts: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class CampaignOwner:
    """An owner in a campaign: who can be asked, and how many lines stand how."""

    owner: str
    contact: str
    people: list[str]
    confirmed: int
    disputed: int
    open: int
    lapsed: int
    moved: int
    gone: int


@dataclass(frozen=True, slots=True)
class CampaignLine:
    """One thing that one owner is asked about."""

    item: int
    owner: str
    kind: str
    id: str
    name: str
    host: str
    not_after: str | None
    state: str
    answered: str | None
    answered_by: str
    remark: str
    proposed: str


@dataclass(frozen=True, slots=True)
class CampaignLinePage(Page):
    """Lines by owner and name."""

    items: list[CampaignLine]


@dataclass(frozen=True, slots=True)
class Answered:
    """How many lines were meant, and how many of them changed."""

    lines: int
    changed: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """How many disputed things went to whom."""

    given: dict[str, int]
