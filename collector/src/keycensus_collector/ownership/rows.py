"""Intervals of owners as they are written: what no longer holds is ended, what is new is begun."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, CursorResult, Table, insert, update

from keycensus_collector.fold.chunks import chunked


@dataclass(slots=True)
class Changes:
    """What is to be ended, by the numbers of its rows, and what begins, as columns."""

    table: Table
    ended: list[int] = field(default_factory=list)
    begun: list[dict[str, Any]] = field(default_factory=list)

    def compare(
        self,
        now: Mapping[Hashable, tuple[int, tuple[Any, ...]]],
        wanted: Mapping[Hashable, tuple[Any, ...]],
        columns: Sequence[str],
        key_columns: Sequence[str],
    ) -> set[Hashable]:
        """Note how rows become those wanted; return the keys that change.

        `now`: number and values of the open row of each key; `wanted`: its values to be, in the order
        of `columns`. Keys are tuples in the order of `key_columns`.
        """
        changed: set[Hashable] = set()
        for key, (number, values) in now.items():
            if wanted.get(key) != values:
                self.ended.append(number)
                changed.add(key)
        for key, values in wanted.items():
            if key not in now or now[key][1] != values:
                keyed = key if isinstance(key, tuple) else (key,)
                row = dict(zip(key_columns, keyed, strict=True))
                self.begun.append(row | dict(zip(columns, values, strict=True)))
                changed.add(key)
        return changed

    def write(self, connection: Connection, now_ms: int) -> None:
        """End and begin."""
        number = self.table.primary_key.columns[0]
        for chunk in chunked(self.ended):
            connection.execute(
                update(self.table)
                .where(number.in_(chunk), self.table.c.to_ms.is_(None))
                .values(to_ms=now_ms)
            )
        for rows in chunked(self.begun):
            connection.execute(
                insert(self.table), [row | {"from_ms": now_ms, "to_ms": None} for row in rows]
            )


def number_of(result: CursorResult[Any]) -> int:
    """Return the number of the row that was just inserted."""
    key = result.inserted_primary_key
    if key is None:
        raise TypeError("this statement inserted no single row")
    return int(key[0])
