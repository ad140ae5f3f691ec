"""What is answered about campaigns: what the collector knows of them, as people and scripts read it."""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_collector.inventory.values import time_text
from keycensus_collector.recertification import campaigns, lines
from keycensus_collector.recertification.states import STATES


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign. `until`: from then on what is open is lapsed. `counts`: lines by state; null in lists."""

    number: int
    name: str
    state: str  # "running", "due" (late answers are taken), "closed", "cancelled"
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
    """One thing that one owner is asked about. `id` and `name` are empty where it is not seen any more."""

    item: int
    owner: str
    kind: str  # "certificate", "key", "place", "host"
    id: str
    name: str
    host: str  # of a place
    not_after: str | None  # of a certificate: the newest of its line
    state: str
    answered: str | None
    answered_by: str
    remark: str
    proposed: str


@dataclass(frozen=True, slots=True)
class CampaignLinePage:
    """A page of lines, by owner and name."""

    next: str | None
    total: int
    total_is_exact: bool
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


def campaign_of(
    found: campaigns.Campaign, now_ms: int, owing: list[lines.Owing] | None = None
) -> Campaign:
    """Return a campaign as it is shown; `owing`: of each owner, to be summed up."""
    counts = None
    if owing is not None:
        counts = {word: sum(each.counts[word] for each in owing) for word in STATES}
    return Campaign(
        number=found.number,
        name=found.name,
        state=found.state(now_ms),
        until=time_text(found.until_ms),
        lists=list(found.lists),
        query=found.query,
        team=found.team,
        started_by=found.started_by,
        started=time_text(found.started_ms),
        ended_by=found.ended_by,
        ended=time_text(found.closed_ms or found.cancelled_ms),
        counts=counts,
    )


def owner_of(each: lines.Owing) -> CampaignOwner:
    """Return an owner as it is shown."""
    return CampaignOwner(each.owner, each.contact, list(each.people), **each.counts)


def page_of(page: lines.Page) -> CampaignLinePage:
    """Return a page as it is shown."""
    return CampaignLinePage(
        page.next,
        page.total,
        page.total_is_exact,
        [
            CampaignLine(
                item=each.item,
                owner=each.owner,
                kind=each.kind,
                id=each.id,
                name=each.name,
                host=each.host,
                not_after=time_text(each.not_after_ms),
                state=each.state,
                answered=time_text(each.answered_ms),
                answered_by=each.answered_by,
                remark=each.remark,
                proposed=each.proposed,
            )
            for each in page.lines
        ],
    )
