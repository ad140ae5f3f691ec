"""Agents: which identities there are and how they do, and what operators do to them and their hosts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from keycensus_collector.agent_lists import list_agents
from keycensus_collector.api.operating import operate, readable
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.authority import rekey
from keycensus_collector.inventory.paging import DEFAULT_LIMIT, PAGE_LIMIT
from keycensus_collector.inventory.succession import propose, warn_of_banned
from keycensus_collector.store.schema import host

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["agents"])

State = Literal["active", "cloned", "rekeyed", "banned", "evicted", "left"]
_ID_CHARACTERS = 255
HOUR_MS = 3_600_000
WithinHours = Annotated[int, Field(ge=1, le=rekey.WITHIN_MOST_MS // HOUR_MS)]
Copies = Annotated[int, Field(ge=1, le=rekey.COPIES_MOST)]
AgentId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=_ID_CHARACTERS,
        description="Its id, the beginning of it, or its host's name.",
    ),
]
HostId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=_ID_CHARACTERS,
        description="Its id, the beginning of it, or its name.",
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReasonBody(_Body):
    """Why, for the record."""

    reason: Annotated[str, Field(max_length=200, examples=["the disk was sold"])] = ""


class RekeyBody(_Body):
    """How machines that share an identity get one each. `keep`: the one that stays this host.

    `keep` is a machine's boot, name or address; `within_hours` and `copies`: for how long, and how many.
    """

    keep: Annotated[str, Field(max_length=_ID_CHARACTERS)] = ""
    within_hours: WithinHours = rekey.WITHIN_MS // HOUR_MS
    copies: Copies = rekey.COPIES


class SucceedsBody(_Body):
    """Which host this one was before it was installed anew: id, the beginning of it, or name."""

    old: Annotated[str, Field(min_length=1, max_length=_ID_CHARACTERS)]


@dataclass(frozen=True, slots=True)
class Agent:
    """An identity. `copies`: machines that used it, if they share it. `problems`: what ails it, in words."""

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
class AgentPage:
    """A page of identities, by their hosts' names."""

    next: str | None
    total: int
    items: list[Agent]
    total_is_exact: bool = True  # as other lists say it; these are counted whole


@dataclass(frozen=True, slots=True)
class AgentCertificate:
    """A certificate that an identity was given. `state`: "current", "new" (not used yet), "void"."""

    serial: str
    state: str
    issued: str | None
    not_after: str | None


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that said hello under an identity: what it says of itself, and from where it called."""

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
    """An identity, whole. `counters`: of its last sweep. `rekey_until`: so long its copies may come."""

    certificates: list[AgentCertificate]
    machines: list[Machine]
    counters: dict[str, int]
    identities_given: int
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
class Succession:
    """A host that may be `old` installed anew, by its `same` "machine" or "name". `warning`: see a banned one."""

    host_id: str
    host: str
    old_id: str
    old: str
    old_state: str
    same: list[str]
    warning: str


@dataclass(frozen=True, slots=True)
class HostState:
    """The state that a host has now."""

    id: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """A host that goes on as an earlier one. `agents`: those that report as it from here on."""

    id: str
    name: str
    new: str
    agents: list[str]


@router.get("/agents", summary="Identities that enrolled")
async def agents(
    store: StoreOf,
    clock: ClockOf,
    *,
    state: Annotated[list[State], Query(description="In one of these states.")] = [],  # noqa: B006 - never changed
    host: Annotated[
        str, Query(max_length=_ID_CHARACTERS, description="A part of the host's name.")
    ] = "",
    cursor: Annotated[str, Query(max_length=2_000, description="`next` of the page before.")] = "",
    limit: Annotated[int, Query(ge=1, le=PAGE_LIMIT, description="How many.")] = DEFAULT_LIMIT,
) -> AgentPage:
    """List them by their hosts' names, with what ails each."""
    listed = await store.run_read(
        partial(
            list_agents,
            now_ms=clock.now_ms(),
            states=state,
            host_name=host,
            cursor=cursor,
            limit=limit,
        )
    )
    items = [Agent(**readable(each)) for each in listed.items]
    return AgentPage(listed.next, listed.total, items)


@router.get("/agents/{agent}", summary="One identity, whole")
async def one_agent(
    agent: AgentId, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> AgentDetail:
    """Show its certificates, every machine that said hello as it, and the counters of its last sweep."""
    told = await operate(store, clock, principal, "agent.show", agent=agent)
    certificates = [AgentCertificate(**readable(each)) for each in told.pop("certificates")]
    machines = [Machine(**readable(each)) for each in told.pop("machines")]
    return AgentDetail(**readable(told), certificates=certificates, machines=machines)


@router.post("/agents/{agent}/ban", summary="Shut an agent's host out")
async def ban(
    agent: AgentId, body: ReasonBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> AgentState:
    """Shut every identity of its host out for good, open streams too."""
    told = await operate(store, clock, principal, "agent.ban", agent=agent, reason=body.reason)
    return AgentState(**told)


@router.post("/agents/{agent}/unban", summary="Let a banned host in again")
async def unban(
    agent: AgentId, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> AgentState:
    """Let it in again with the certificates that it has."""
    return AgentState(**await operate(store, clock, principal, "agent.unban", agent=agent))


@router.post("/agents/{agent}/evict", summary="End an identity")
async def evict(
    agent: AgentId, body: ReasonBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> AgentState:
    """End it for good; its host may enrol again with a new token."""
    told = await operate(store, clock, principal, "agent.evict", agent=agent, reason=body.reason)
    return AgentState(**told)


@router.post("/agents/{agent}/rekey", summary="Give machines that share an identity one each")
async def rekeyed(
    agent: AgentId, body: RekeyBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Rekeyed:
    """End the shared identity; each machine gets its own at its next contact, and is a new host but for `keep`."""
    told = await operate(
        store,
        clock,
        principal,
        "agent.rekey",
        agent=agent,
        keep=body.keep,
        within_ms=body.within_hours * HOUR_MS,
        copies=body.copies,
    )
    told = readable(told)
    return Rekeyed(told["agents"][0], told["machines"], told["until"])


@router.get("/successions", summary="Hosts that may be earlier ones")
async def successions(store: StoreOf) -> list[Succession]:
    """List hosts that may be an earlier one installed anew, and those that say they are a banned one's machine."""
    return await store.run_read(_successions)


def _successions(connection: Connection) -> list[Succession]:
    proposals, warnings = propose(connection), warn_of_banned(connection)
    numbers = sorted(proposals.keys() | warnings.keys())
    rows = connection.execute(
        host.select().where(host.c.host_no.in_(numbers)).order_by(host.c.name, host.c.host_no)
    )
    found = []
    for row in rows:
        earlier = proposals.get(row.host_no) or [{"id": "", "name": "", "state": "", "same": []}]
        found += [
            Succession(
                host_id=row.host_id,
                host=row.name,
                old_id=each["id"],
                old=each["name"],
                old_state=each["state"],
                same=each["same"],
                warning=warnings.get(row.host_no, ""),
            )
            for each in earlier
        ]
    return found


@router.post("/hosts/{host}/retire", summary="Retire a host")
async def retire(
    host: HostId, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> HostState:
    """Evict its agents; its last inventory stays, marked."""
    return HostState(**await operate(store, clock, principal, "host.retire", host=host))


@router.post("/hosts/{host}/succeeds", summary="Say that a host is an earlier one")
async def succeeds(
    host: HostId, body: SucceedsBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Succeeded:
    """Let a host that was installed anew go on as `old`, with its history; its agents report as that one."""
    told = await operate(store, clock, principal, "host.succeeds", old=body.old, new=host)
    return Succeeded(**told)
