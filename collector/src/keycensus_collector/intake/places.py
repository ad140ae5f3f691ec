"""Places and their versions: the states of a batch against what stands in the tables.

Only what changes is written, in the order of the keys, by one statement a kind of write. Inside
intake's transaction; the host is the authenticated peer's, never a row's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, case, delete, insert, select, update

from keycensus_collector.intake.bulk import (
    KEYS,
    Bulk,
    BulkInsert,
    Keyed,
    insert_into,
    numbers_from,
)
from keycensus_collector.intake.holding import Moves
from keycensus_collector.intake.rows import PlaceChange
from keycensus_collector.store.engine import upsert
from keycensus_collector.store.schema import place, place_past, place_version

_STATES = Keyed(
    select(
        place.c.path_hash,
        place.c.place_no,
        place.c.row_hash,
        place.c.manifest,
        place.c.role,
        place.c.use,
        place.c.gone_ms,
        place.c.changed_ms,
    ).where(place.c.host_no == bindparam("host"), place.c.path_hash.in_(KEYS))
)

_INSERT_PLACE = insert_into(place)
_INSERT_UNKNOWN = BulkInsert(
    lambda connection: upsert(connection, place).on_conflict_do_nothing(
        index_elements=["host_no", "path_hash"]
    ),
    [column.name for column in place.columns],
)
_INSERT_VERSION = insert_into(place_version, leave_out=("version_no",))
# Cause of the rows of an agent's first sweep.
_FIRST = "first"
# The columns that a new state of a known place sets: those of PlaceChange.columns but the key.
_STATE_COLUMNS = [column.name for column in place.columns][3:21]
_OF_A_STATE = ("changed_ms", "gone_ms", "holds")
_UPDATE_PLACE = Bulk(
    lambda _: (
        update(place)
        .where(place.c.place_no == bindparam("number"))
        .values({name: bindparam(name) for name in (*_STATE_COLUMNS, *_OF_A_STATE)})
    ),
    [*_STATE_COLUMNS, *_OF_A_STATE, "number"],
)
# A clock that was set back must not end a version before it began.
_CLOSE = Keyed(
    update(place_version)
    .where(place_version.c.place_no.in_(KEYS), place_version.c.to_ms.is_(None))
    .values(
        to_ms=case(
            (place_version.c.from_ms > bindparam("at"), place_version.c.from_ms),
            else_=bindparam("at"),
        )
    )
)
# What these places are until now, before they are written over.
_PAST_COLUMNS = [
    column.name
    for column in place_past.columns
    if column.name not in {"past_no", "from_ms", "to_ms"}
]
_KEEP_PAST = Keyed(
    insert(place_past).from_select(
        [*_PAST_COLUMNS, "from_ms", "to_ms"],
        select(
            *(place.c[name] for name in _PAST_COLUMNS), place.c.changed_ms, bindparam("at")
        ).where(
            place.c.place_no.in_(KEYS),
            place.c.gone_ms.is_(None),
            place.c.changed_ms < bindparam("at"),
        ),
    )
)
_GONE = Keyed(
    update(place)
    .where(place.c.place_no.in_(KEYS))
    .values(gone_ms=bindparam("at"), changed_ms=bindparam("at"))
)


class _State(NamedTuple):
    number: int
    row_hash: bytes  # empty if the place is gone
    share: tuple[bytes, str, str]  # manifest, role, use
    changed_ms: int


@dataclass(slots=True)
class _Plan:
    """What the transaction will write, in the order of the keys."""

    host_no: int
    batch_no: int
    at_ms: int
    next_number: int
    holds: Mapping[bytes, int]
    inserted: list[tuple[Any, ...]] = field(default_factory=list)
    updated: list[tuple[Any, ...]] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    versions: list[tuple[Any, ...]] = field(default_factory=list)
    moves: Moves = field(default_factory=Moves)


def write_places(
    connection: Connection,
    changes: Sequence[PlaceChange],
    *,
    host_no: int,
    batch_no: int,
    at_ms: int,
    holds: Mapping[bytes, int],
) -> Moves:
    """Write the states of a batch, sorted by key; return how the contributions to holdings moved.

    `holds`: what `holding.holds_of` says of their manifests.
    """
    if not changes:
        return Moves()
    keys = list(dict.fromkeys([change.key for change in changes]))  # sorted, as the changes are
    plan = _Plan(host_no, batch_no, at_ms, numbers_from(connection, place.c.place_no), holds)
    if len(keys) == len(changes) and all(change.cause == _FIRST for change in changes):
        _plan_new(plan, changes)
        if _insert_new(connection, plan):
            return plan.moves
        plan = _Plan(host_no, batch_no, at_ms, plan.next_number, holds)
    states = _states(connection, host_no, keys)
    for group in _by_key(changes):
        _plan_states(plan, states.get(group[0].key), group)
    _INSERT_PLACE.run(connection, plan.inserted)
    _KEEP_PAST.run(connection, plan.closed, at=at_ms)
    _UPDATE_PLACE.run(connection, plan.updated)
    _GONE.run(connection, plan.gone, at=at_ms)
    _CLOSE.run(connection, plan.closed, at=at_ms)
    _INSERT_VERSION.run(connection, plan.versions)
    return plan.moves


def _insert_new(connection: Connection, plan: _Plan) -> bool:
    """Write a plan of new places without looking; False, and nothing written, if one was known.

    Looking first would cost a first sweep a tenth of its time, to find nothing.
    """
    if _INSERT_UNKNOWN.run(connection, plan.inserted) == len(plan.inserted):
        _INSERT_VERSION.run(connection, plan.versions)
        return True
    connection.execute(delete(place).where(place.c.place_no >= plan.next_number))
    return False


def _states(connection: Connection, host_no: int, keys: list[bytes]) -> dict[bytes, _State]:
    return {
        key: _State(number, row_hash if gone is None else b"", (manifest, role, use), changed)
        for key, number, row_hash, manifest, role, use, gone, changed in _STATES.rows(
            connection, keys, host=host_no
        )
    }


def _by_key(changes: Sequence[PlaceChange]) -> Iterator[Sequence[PlaceChange]]:
    """Yield the changes of each key in turn; nearly always it is one."""
    group: list[PlaceChange] = []
    for change in changes:
        if group and group[0].key != change.key:
            yield group
            group = []
        group.append(change)
    if group:
        yield group


def _plan_new(plan: _Plan, changes: Sequence[PlaceChange]) -> None:
    """Plan places that nothing is known of, each in one state: the batches of a first sweep."""
    at_ms, host_no, batch_no, holds = plan.at_ms, plan.host_no, plan.batch_no, plan.holds
    present = [change for change in changes if change.row]
    if not present:
        return
    # Turned into columns and back by zip, which costs half of a loop in Python (measured).
    _, _, rows, _, manifests, roles, uses, columns, causes, observed, skipped = zip(
        *present, strict=True
    )
    numbers = range(plan.next_number, plan.next_number + len(present))
    plan.inserted = [
        (number, host_no, *state, at_ms, at_ms, None, mask)
        for number, state, mask in zip(
            numbers, columns, map(holds.__getitem__, manifests), strict=True
        )
    ]
    begin, end, batch = repeat(at_ms), repeat(None), repeat(batch_no)
    states = (manifests, rows, causes, observed, skipped)
    plan.versions = list(zip(numbers, begin, end, *states, batch, strict=False))
    added = plan.moves.added
    for role, use, manifest in zip(roles, uses, manifests, strict=True):
        added[role, use].append(manifest)


def _plan_states(plan: _Plan, known: _State | None, group: Sequence[PlaceChange]) -> None:
    """Plan the states of one place, in order, that differ from the one before each."""
    row_hash = known.row_hash if known is not None else b""
    before = known.share if known is not None and row_hash else None
    applied: list[PlaceChange] = []
    for change in group:
        if change.row_hash != row_hash:
            row_hash = change.row_hash
            applied.append(change)
    if not applied:
        return
    # A clock that was set back must not make this begin before the state that it follows.
    at_ms = plan.at_ms if known is None else max(plan.at_ms, known.changed_ms)
    _plan_versions(plan, _plan_place(plan, known, applied, at_ms), applied, at_ms)
    last = applied[-1]
    after = (last.manifest, last.role, last.use) if last.row else None
    if before != after:
        for share, shares in ((before, plan.moves.removed), (after, plan.moves.added)):
            if share is not None:
                manifest, role, use = share
                shares[role, use].append(manifest)


def _plan_place(
    plan: _Plan, known: _State | None, applied: Sequence[PlaceChange], at_ms: int
) -> int:
    gone_ms = None if applied[-1].row else at_ms
    shown = next((change for change in reversed(applied) if change.row), None)
    columns = () if shown is None else shown.columns
    holds = 0 if shown is None else plan.holds[shown.manifest]
    if known is None:
        number = plan.next_number
        plan.next_number += 1
        plan.inserted.append((number, plan.host_no, *columns, at_ms, at_ms, gone_ms, holds))
        return number
    if columns:
        plan.updated.append((*columns[1:], at_ms, gone_ms, holds, known.number))
    else:
        plan.gone.append(known.number)
    plan.closed.append(known.number)
    return known.number


def _plan_versions(plan: _Plan, number: int, applied: Sequence[PlaceChange], at_ms: int) -> None:
    """Plan a version for each state; those between have an empty interval but are kept."""
    last = applied[-1]
    for change in applied:
        to_ms = None if change is last else at_ms
        row = (change.manifest, change.row, change.cause, change.observed_ms, change.skipped)
        plan.versions.append((number, at_ms, to_ms, *row, plan.batch_no))
