"""What a person, or a team together, wants to see and in which order: lists of words, kept by name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, select

from keycensus_collector.store.engine import upsert
from keycensus_collector.store.tables.preferences import preference

_MOST_WORDS = 100


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose preference it is: `kind` "user" or "team", and its number."""

    kind: str
    number: int


def preferred(connection: Connection, holder: Holder, name: str) -> list[str] | None:
    """Return what somebody prefers; None if nothing is kept."""
    content = connection.execute(
        select(preference.c.content).where(*_is(holder, name))
    ).scalar_one_or_none()
    return None if content is None else list(json.loads(content))


def prefer(connection: Connection, holder: Holder, name: str, words: Sequence[str] | None) -> None:
    """Keep what somebody prefers, the first hundred words of it; None: as it comes."""
    if words is None:
        connection.execute(delete(preference).where(*_is(holder, name)))
        return
    values = {
        "holder_kind": holder.kind,
        "holder_no": holder.number,
        "name": name,
        "content": json.dumps(list(words)[:_MOST_WORDS]),
    }
    statement = upsert(connection, preference).values(values)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["holder_kind", "holder_no", "name"],
            set_={"content": statement.excluded.content},
        )
    )


def _is(holder: Holder, name: str) -> tuple[ColumnElement[bool], ...]:
    own = preference.c
    return own.holder_kind == holder.kind, own.holder_no == holder.number, own.name == name
