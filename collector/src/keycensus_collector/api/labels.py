"""Labels of hosts and certificates: which count and why; set and taken off by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Response
from pydantic import Field
from sqlalchemy import Connection

from keycensus_collector.api.conditional import IfMatch
from keycensus_collector.api.identities import one_match
from keycensus_collector.api.parameters import IdParameters
from keycensus_collector.api.security import AUTHENTICATED, ClockOf, CurrentPrincipal, StoreOf
from keycensus_collector.api.selection import Edited, Selection, edit, meant, thing_of
from keycensus_collector.errors import UsageError
from keycensus_collector.inventory import results
from keycensus_collector.inventory.labels import labels_of
from keycensus_collector.ownership import bulk
from keycensus_collector.ownership.bulk import Plan
from keycensus_collector.ownership.labels import (
    check_label,
    label_scopes,
    labels_given,
    set_label,
)
from keycensus_collector.text import safe_text

router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED, tags=["ownership"])


@dataclass(frozen=True, slots=True)
class LabelsOf:
    """What an ID names, and its labels."""

    kind: str
    id: str
    name: str
    labels: list[results.Label]


class LabelBody(Selection):
    """A label for what is meant. `value` null takes it off."""

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
async def label(  # noqa: PLR0917 - each is a part of the request
    body: LabelBody,
    store: StoreOf,
    clock: ClockOf,
    principal: CurrentPrincipal,
    response: Response,
    if_match: IfMatch = "",
) -> Edited:
    """At most 10,000 things at once; what is said by hand goes before every other source."""
    now_ms = clock.now_ms()

    def planned(connection: Connection) -> Plan:
        check_label(body.key, body.value)
        things, refused = meant(connection, body, principal, now_ms)
        scopes = label_scopes(connection, things)
        given = labels_given(connection, scopes, body.key)
        value = None if body.value is None else safe_text(body.value)
        return bulk.plan(scopes, given, value, wanted=f"{body.key} {value}", refused=refused)

    def apply(connection: Connection, made: Plan) -> None:
        set_label(
            connection,
            made.changed,
            body.key,
            body.value,
            actor=principal.actor,
            now_ms=now_ms,
            query=body.asked(),
        )

    return await edit(store, body, response, if_match=if_match, planned=planned, apply=apply)
