"""Labels of hosts and certificates: which count and why; set and taken off by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from keycensus_collector.api.identities import one_match
from keycensus_collector.api.owners import check_own, thing_of
from keycensus_collector.api.parameters import IdParameters
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory import results
from keycensus_collector.inventory.labels import labels_of
from keycensus_collector.ownership import bulk
from keycensus_collector.ownership.labels import set_label

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["ownership"])


@dataclass(frozen=True, slots=True)
class LabelsOf:
    """What an ID names, and its labels."""

    kind: str
    id: str
    name: str
    labels: list[results.Label]


@dataclass(frozen=True, slots=True)
class Labelled:
    """How many things were meant, and how many changed."""

    things: int
    changed: int


class LabelBody(BaseModel):
    """A label for an `id`, or for all that `what` and `q` list. `value` null takes it off."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(max_length=1_000)] = ""
    kind: Literal["", "certificate", "host"] = ""
    what: Literal["certificates", "hosts"] | None = None
    q: Annotated[str, Field(max_length=8_000)] = ""
    key: Annotated[str, Field(max_length=63)]
    value: Annotated[str, Field(max_length=200)] | None


@router.get("/labels", summary="The labels of something, and why")
async def labels(parameters: Annotated[IdParameters, Query()], store: StoreOf) -> LabelsOf:
    """Labels of a host or certificate that count, each with its source."""

    def work(connection: Connection) -> LabelsOf:
        match = one_match(connection, parameters.id, parameters.kind)
        found = thing_of(connection, match)
        if found.kind == "key":
            raise UsageError("a key has no labels; certificates and hosts have")
        return LabelsOf(match.kind, match.id, match.name, labels_of(connection, found))

    return await store.run_read(work)


@router.post("/labels", summary="Set a label by hand, or take it off")
async def label(
    body: LabelBody, store: StoreOf, clock: ClockOf, principal: CurrentPrincipal
) -> Labelled:
    """At most 10,000 things at once; what is said by hand goes before every other source."""
    now_ms = clock.now_ms()
    if bool(body.id) == (body.what is not None):
        raise UsageError("say what is meant: either id, or what and q")
    if body.what is not None and not body.q.strip():
        raise UsageError(f"say which {body.what} in q: not all of them are meant at once")

    def work(connection: Connection) -> Labelled:
        if body.what is not None:
            things = bulk.things_of(connection, body.what, body.q, now_ms)
        else:
            things = [thing_of(connection, one_match(connection, body.id, body.kind))]
        check_own(connection, principal, things)
        changed = set_label(
            connection, things, body.key, body.value, actor=principal.actor, now_ms=now_ms
        )
        return Labelled(len(things), changed)

    return await store.run_write(work)
