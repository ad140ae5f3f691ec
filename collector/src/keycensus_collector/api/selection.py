"""What a change is about: one thing, a list of them, or all that a query lists; told first, then done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool
from sqlalchemy import Connection, select

from keycensus_collector.access.principals import Principal
from keycensus_collector.api.conditional import check_preconditions
from keycensus_collector.api.identities import one_match
from keycensus_collector.api.problems import ProblemError, forbidden
from keycensus_collector.api.queries import List
from keycensus_collector.api.security import Database
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory import results
from keycensus_collector.inventory.identify import ID_CHARACTERS
from keycensus_collector.ownership import bulk
from keycensus_collector.ownership.assignments import Thing
from keycensus_collector.ownership.bulk import Plan, Refused
from keycensus_collector.query.parse import parse
from keycensus_collector.store.schema import host

# IDs of one request; more are asked for by a query.
MOST_IDS = 1_000


class Selection(BaseModel):
    """What is meant: an `id`, `ids`, or all that `what` and `q` list. `preview` tells, and changes nothing."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(max_length=ID_CHARACTERS)] = ""
    ids: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=ID_CHARACTERS)]],
        Field(max_length=MOST_IDS),
    ] = []
    kind: Literal["", "certificate", "key", "host"] = ""
    what: List | None = None
    q: Annotated[str, Field(max_length=8_000)] = ""
    preview: StrictBool = False

    def asked(self) -> str:
        """Return the list and its query, for the audit log; empty if none was asked."""
        return "" if self.what is None else f"{self.what}: {self.q}"


@dataclass(frozen=True, slots=True)
class Edited:
    """What was changed, or with `preview` would be. Certificates of one line count once.

    `taken_from`: what those that change had by hand; `refused`: reasons with counts. `digest` stands for
    all of it, and is the ETag: sent as `If-Match` with the same request, it is done only if it is still the same.
    """

    done: bool
    things: int
    changed: int
    unchanged: int
    refused: dict[str, int]
    taken_from: dict[str, int]
    samples: list[str]
    refused_samples: list[str]
    digest: str


def meant(
    connection: Connection, body: Selection, principal: Principal, now_ms: int
) -> tuple[list[Thing], list[Refused]]:
    """Return the things that are meant, and what can't be changed; a problem for one ID that is none."""
    if sum((bool(body.id), bool(body.ids), body.what is not None)) != 1:
        raise UsageError("say what is meant: either id, or ids, or what and q")
    refused: list[Refused] = []
    if body.what is not None:
        if not body.q.strip():
            raise UsageError(f"say which {body.what} in q: not all of them are changed at once")
        query = replace(parse(body.q), asker=principal.user)
        things = bulk.things_of(connection, body.what, query, now_ms)
    elif body.id:
        things = [thing_of(connection, one_match(connection, body.id, body.kind))]
    else:
        things = _by_ids(connection, body, refused)
    if principal.teams is not None:
        things, others = bulk.own_ones(connection, things, principal.teams)
        refused += [Refused(each.name, bulk.NOT_YOURS) for each in others]
    if refused and not things and all(each.reason == bulk.NOT_YOURS for each in refused):
        raise forbidden("this belongs to none of your teams: ask its owner, or an operator")
    return things, refused


def _by_ids(connection: Connection, body: Selection, refused: list[Refused]) -> list[Thing]:
    things = []
    for each in dict.fromkeys(body.ids):
        try:
            things.append(thing_of(connection, one_match(connection, each, body.kind)))
        except ProblemError as error:
            several = error.type == "ambiguous"
            reason = "fits several things" if several else "is not in the inventory"
            refused.append(Refused(each, reason))
    return list(dict.fromkeys(things))


def thing_of(connection: Connection, match: results.Match) -> Thing:
    """Return what can be changed of what an ID names; UsageError if that has no owner and no label."""
    if match.kind == "host":
        number = connection.execute(select(host.c.host_no).where(host.c.host_id == match.id))
        return Thing("host", number=number.scalar_one())
    if match.kind in {"certificate", "key"}:
        return Thing(match.kind, artifact=bytes.fromhex(match.id))
    raise UsageError(f"a {match.kind} has no owner; certificates, keys, places and hosts have")


async def edit(
    store: Database,
    body: Selection,
    response: Response,
    *,
    if_match: str,
    planned: Callable[[Connection], Plan],
    apply: Callable[[Connection, Plan], object],
) -> Edited:
    """Plan a change and tell it, or do it if it is still what was told."""

    def work(connection: Connection) -> Edited:
        made = planned(connection)
        told = bulk.samples(connection, made)
        if not body.preview:
            check_preconditions(f'"{made.digest}"', if_match=if_match, if_none_match="")
            apply(connection, made)
        return Edited(
            done=not body.preview,
            things=len(made.changed) + len(made.unchanged) + len(made.refused),
            changed=len(made.changed),
            unchanged=len(made.unchanged),
            refused=made.why_refused(),
            taken_from=made.taken_from(),
            samples=told,
            refused_samples=[each.name for each in made.refused[: bulk.SAMPLES]],
            digest=made.digest,
        )

    done = await (store.run_read(work) if body.preview else store.run_write(work))
    response.headers["ETag"] = f'"{done.digest}"'
    return done
