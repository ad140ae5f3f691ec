"""What the collector has not acknowledged yet: states of rows, in order, and fixed batches.

Per row the first state, the last and a few between are kept, the rest are counted in `skipped`.
Over its cap the outbox drops the states between; if even that is not enough it stops listing and is
rebuilt later from the difference between disk and collector. So days without a collector cost space
for what changed, not for time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from keycensus_agent.model import Cause, RowClass
from keycensus_agent.reader.convert import manifest_of_row, place_at
from keycensus_agent.reader.memory import order_key
from keycensus_agent.reader.report.convert import Ack, Change, encode_batch
from keycensus_agent.reader.report.rebuilding import TABLES, rebuild_class
from keycensus_agent.reader.state import TREES_MARK, State

# States of one row that wait at most; more replace the last one and are counted.
STATES_PER_ROW = 4
# protos/README.md, section 8.
CHANGES_PER_BATCH = 1000
BATCH_BYTES = 512 * 1024
# The key of the one row of host facts (protos/README.md, section 3.1).
HOST_KEY = bytes(32)
# The reason of an item that needs what this agent could not supply.
MISSING_BLOB = "missing-blob"
# Bytes of an encoded change beside its row.
CHANGE_OVERHEAD = 80
# Rows listed by one step of a rebuild, between two looks at the cap.
REBUILT_AT_ONCE = 1000
# In a long sweep the cap is looked at whenever this part of it was added.
_LOOKS_PER_CAP = 8


@dataclass(frozen=True, slots=True)
class Pending:
    """Items that will make one batch: their numbers, changes and the manifests they name."""

    items: tuple[int, ...]
    changes: tuple[Change, ...]
    manifests: tuple[bytes, ...]


class Outbox:
    """The outbox inside a State.

    Methods that fill it belong inside `state.transaction()`; those that empty it open one.
    """

    def __init__(self, state: State, *, cap_bytes: int) -> None:
        self._state = state
        self._cap_bytes = cap_bytes
        self._added_bytes = 0

    # --- filling (inside the sweep's transaction) ---------------------------------------------

    def add(self, change: Change) -> None:
        """Note that a row has a new state; inside a transaction."""
        connection = self._state.connection
        waiting = connection.execute(
            "SELECT item, skipped, row IS NULL FROM outbox WHERE class = ? AND key = ?"
            " AND sequence IS NULL ORDER BY item",
            (change.row_class.value, change.key),
        ).fetchall()
        if len(waiting) >= STATES_PER_ROW:
            item, skipped, _ = waiting[-1]
            connection.execute(
                "UPDATE outbox SET row = ?, cause = ?, observed_ms = ?, skipped = ?,"
                " gone_reason = ? WHERE item = ?",
                (
                    change.row,
                    change.cause,
                    change.observed_ms,
                    skipped + 1 + change.skipped,
                    change.gone_reason,
                    item,
                ),
            )
            return
        self._insert(change)

    def complete(self, row_class: RowClass, key: bytes, row: bytes) -> bool:
        """Put a row that says more in place of the last state that waits; False if none does.

        For a state that was added a moment ago and is the same observation; inside a transaction.
        """
        return (
            self._state.connection.execute(
                "UPDATE outbox SET row = ? WHERE row IS NOT NULL AND item = (SELECT max(item)"
                " FROM outbox WHERE class = ? AND key = ? AND sequence IS NULL)",
                (row, row_class.value, key),
            ).rowcount
            > 0
        )

    def forget_waiting(self, row_class: RowClass, key: bytes) -> None:
        """Drop the states of a row that are in no batch, or refused; inside a transaction."""
        row = (row_class.value, key)
        for waiting in ("outbox WHERE sequence IS NULL AND", "refused WHERE"):
            self._state.connection.execute(
                f"DELETE FROM {waiting} class = ? AND key = ?",  # noqa: S608 - from above
                row,
            )

    def is_out(self, row_class: RowClass, key: bytes) -> bool:
        """Whether the collector has a state of a row, or may have one that is on its way."""
        row = self._state.connection.execute(
            "SELECT 1 FROM acknowledged WHERE class = ?1 AND key = ?2 UNION ALL"
            " SELECT 1 FROM outbox WHERE class = ?1 AND key = ?2 AND sequence IS NOT NULL LIMIT 1",
            (row_class.value, key),
        ).fetchone()
        return row is not None

    def _insert(self, change: Change) -> None:
        self._added_bytes += CHANGE_OVERHEAD + len(change.row or b"")
        self._state.connection.execute(
            "INSERT INTO outbox (class, key, row, cause, observed_ms, skipped, gone_reason)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                change.row_class.value,
                change.key,
                change.row,
                change.cause,
                change.observed_ms,
                change.skipped,
                change.gone_reason,
            ),
        )

    @property
    def wants_a_look(self) -> bool:
        """Whether so much was added that the cap should be enforced before the sweep ends."""
        return self._added_bytes * _LOOKS_PER_CAP > self._cap_bytes

    def enforce_cap(self) -> int:
        """Drop states between the first and the last while over the cap; how many went.

        Inside a transaction. What is dropped was superseded, so the last state of every row still
        goes out; the number is added to the `outbox-dropped` counter.
        """
        self._added_bytes = 0
        if self.size_bytes() <= self._cap_bytes:
            return 0
        between = (
            "sequence IS NULL AND item NOT IN"
            " (SELECT max(item) FROM outbox WHERE sequence IS NULL GROUP BY class, key)"
        )
        dropped = self._drop(between)
        if self.size_bytes() > self._cap_bytes:
            # Not even the last states fit: list nothing, rebuild when there is room.
            unlisted = self._drop("sequence IS NULL")
            self._state.put_number("outbox_rebuild", 1)
            self._state.put_number(
                "outbox_unlisted", self._state.get_number("outbox_unlisted") + unlisted
            )
        self._state.put_number("outbox_dropped", self._state.get_number("outbox_dropped") + dropped)
        return dropped

    def _drop(self, condition: str) -> int:
        """Drop waiting states; how many states of a row that is, those skipped before included."""
        connection = self._state.connection
        (states,) = connection.execute(
            f"SELECT coalesce(sum(1 + skipped), 0) FROM outbox WHERE {condition}"  # noqa: S608 - ours
        ).fetchone()
        connection.execute(f"DELETE FROM outbox WHERE {condition}")  # noqa: S608 - ours
        return int(states)

    def rebuild(self, now_ms: int) -> int:
        """List again what differs between disk and collector and is not listed; how many rows.

        As much as the cap has room for; `outbox_rebuild` stays set until nothing was left out.
        """
        added, room = 0, self._cap_bytes - self.size_bytes()
        with self._state.transaction() as connection:
            for row_class in TABLES:
                while room > 0:
                    last = self._last_item()
                    listed = rebuild_class(connection, row_class, now_ms, REBUILT_AT_ONCE)
                    added += listed
                    room -= self._bytes_above(last)
                    if listed == 0:
                        break
            # Rows that did not fit are listed when these have gone.
            self._state.put_number("outbox_rebuild", int(room <= 0))
        return added

    def requeue(
        self, row_class: RowClass, keys: Sequence[bytes], now_ms: int, *, host_facts: bytes = b""
    ) -> int:
        """List rows again that the collector asked for after a listing; how many."""
        if row_class is RowClass.HOST:
            with self._state.transaction():
                self.add(Change(row_class, HOST_KEY, host_facts, Cause.RECONCILE, now_ms))
            return 1
        if row_class not in TABLES:
            return 0
        with self._state.transaction() as connection:
            for table in ("acknowledged", "refused"):
                connection.executemany(
                    f"DELETE FROM {table} WHERE class = ? AND key = ?",  # noqa: S608 - our names
                    [(row_class.value, key) for key in keys],
                )
            return rebuild_class(connection, row_class, now_ms)

    def _last_item(self) -> int:
        (last,) = self._state.connection.execute(
            "SELECT coalesce(max(item), 0) FROM outbox"
        ).fetchone()
        return int(last)

    # --- emptying -----------------------------------------------------------------------------

    def count(self) -> int:
        """How many states wait, those in fixed batches included."""
        (count,) = self._state.connection.execute("SELECT count(*) FROM outbox").fetchone()
        return int(count)

    def size_bytes(self) -> int:
        """Bytes of the rows that wait."""
        return self._bytes_above(0)

    def _bytes_above(self, item: int) -> int:
        (size,) = self._state.connection.execute(
            "SELECT coalesce(sum(coalesce(length(row), 0) + ?), 0) FROM outbox WHERE item > ?",
            (CHANGE_OVERHEAD, item),
        ).fetchone()
        return int(size)

    def room_for_batch(self, credit: int, most: int) -> int:
        """Return how large a batch may be: those under way can't be dropped, so half the cap."""
        return min(most or BATCH_BYTES, BATCH_BYTES, self._cap_bytes // (2 * credit))

    def next_pending(self, after_item: int, *, batch_bytes: int) -> Pending | None:
        """Return the next items above `after_item` that are in no batch, or None."""
        items: list[int] = []
        changes: list[Change] = []
        manifests: dict[bytes, None] = {}
        size = 0
        cursor = self._state.connection.execute(
            "SELECT item, class, key, row, cause, observed_ms, skipped, gone_reason FROM outbox"
            " WHERE sequence IS NULL AND item > ? ORDER BY item LIMIT ?",
            (after_item, CHANGES_PER_BATCH),
        )
        for item, row_class, key, row, cause, observed_ms, skipped, gone_reason in cursor:
            size += CHANGE_OVERHEAD + len(row or b"")
            if items and size > min(batch_bytes, BATCH_BYTES):
                break
            items.append(item)
            change = Change(RowClass(row_class), key, row, cause, observed_ms, skipped, gone_reason)
            changes.append(change)
            manifest = manifest_of(change)
            if manifest:
                manifests[manifest] = None
        return Pending(tuple(items), tuple(changes), tuple(manifests)) if items else None

    def fix_batch(self, pending: Pending, counters: dict[str, int], *, complete: bool) -> bytes:
        """Give the items the next sequence and store the batch; return the message to send.

        From here on the same sequence always means the same bytes, whatever happens.
        """
        with self._state.transaction() as connection:
            sequence = self.last_sequence() + 1
            message = encode_batch(sequence, pending.changes, counters, complete=complete)
            connection.execute("INSERT INTO batch VALUES (?, ?)", (sequence, message))
            connection.executemany(
                "UPDATE outbox SET sequence = ?, position = ? WHERE item = ?",
                [(sequence, index, item) for index, item in enumerate(pending.items)],
            )
        return message

    def last_sequence(self) -> int:
        """Highest sequence that was given out."""
        (fixed,) = self._state.connection.execute(
            "SELECT coalesce(max(sequence), 0) FROM batch"
        ).fetchone()
        return max(int(fixed), self._state.get_number("acknowledged_sequence"))

    def fixed_batches(self) -> list[int]:
        """Sequences of batches without an ack, in order."""
        return [
            sequence
            for (sequence,) in self._state.connection.execute(
                "SELECT sequence FROM batch ORDER BY sequence"
            )
        ]

    def fixed_batch(self, sequence: int) -> tuple[bytes, tuple[bytes, ...]]:
        """Return the message of a fixed batch and the manifests that it names."""
        (message,) = self._state.connection.execute(
            "SELECT message FROM batch WHERE sequence = ?", (sequence,)
        ).fetchone()
        manifests: dict[bytes, None] = {}
        for row_class, row in self._state.connection.execute(
            "SELECT class, row FROM outbox WHERE sequence = ? ORDER BY position", (sequence,)
        ):
            if row is not None:
                manifests[manifest_of_row(RowClass(row_class), row)] = None
        manifests.pop(b"", None)
        return bytes(message), tuple(manifests)

    def unfix_batches(self) -> None:
        """List the items of fixed batches like all others; only in a copy that is shown."""
        with self._state.transaction() as connection:
            connection.execute("UPDATE outbox SET sequence = NULL, position = NULL")
            connection.execute("DELETE FROM batch")

    def apply_ack(self, ack: Ack, *, complete: bool) -> None:
        """Forget what was committed; note what was refused; keep what is to be tried again."""
        results = {item.index: item for item in ack.items}
        with self._state.transaction() as connection:
            rows = connection.execute(
                "SELECT item, position, class, key, row FROM outbox WHERE sequence = ?"
                " ORDER BY position",
                (ack.sequence,),
            ).fetchall()
            for item, position, row_class, key, row in rows:
                result = results.get(position)
                if result is not None and result.result == "retry":
                    _try_again(connection, item, row_class, key)
                    continue
                refusal = "" if result is None else result.reason or "refused"
                _note_outcome(connection, row_class, key, row, refusal)
                connection.execute("DELETE FROM outbox WHERE item = ?", (item,))
            connection.execute("DELETE FROM batch WHERE sequence = ?", (ack.sequence,))
            if ack.sequence > self._state.get_number("acknowledged_sequence"):
                self._state.put_number("acknowledged_sequence", ack.sequence)
            if complete:
                self._state.put_number("complete_acknowledged", 1)


def manifest_of(change: Change) -> bytes:
    """Return the manifest that a change names, empty if none."""
    return b"" if change.row is None else manifest_of_row(change.row_class, change.row)


def _try_again(connection: sqlite3.Connection, item: int, row_class: int, key: bytes) -> None:
    """Take an item out of its batch, unless a later state of the row makes it pointless."""
    later = connection.execute(
        "SELECT 1 FROM outbox WHERE class = ? AND key = ? AND item > ?", (row_class, key, item)
    ).fetchone()
    if later is not None:
        # Sent after its successor, it would turn the row back.
        connection.execute("DELETE FROM outbox WHERE item = ?", (item,))
        return
    connection.execute("UPDATE outbox SET sequence = NULL, position = NULL WHERE item = ?", (item,))


def _forget_directory(connection: sqlite3.Connection, key: bytes) -> None:
    """Have the next sweep read a place's file again, or a tree's: a blob of it was lost here."""
    paths = [
        place.target or place.path
        for path, row in connection.execute(
            "SELECT path, row FROM place WHERE ? IN (key, tree)", (key,)
        )
        for place in (place_at(path, row),)
    ]
    connection.executemany(
        "DELETE FROM directory WHERE path = ?",
        {(order_key(path.rpartition(b"/")[0] or b"/"),) for path in paths},
    )
    connection.execute("UPDATE meta SET value = x'' WHERE name = ?", (TREES_MARK,))


def _note_outcome(
    connection: sqlite3.Connection, row_class: int, key: bytes, row: bytes | None, refusal: str
) -> None:
    if refusal:
        connection.execute(
            "INSERT OR REPLACE INTO refused VALUES (?, ?, ?, ?)",
            (row_class, key, hashlib.sha256(row or b"").digest(), refusal),
        )
        if refusal == MISSING_BLOB:
            _forget_directory(connection, key)
        return
    connection.execute("DELETE FROM refused WHERE class = ? AND key = ?", (row_class, key))
    if row is None:
        connection.execute("DELETE FROM acknowledged WHERE class = ? AND key = ?", (row_class, key))
    else:
        connection.execute(
            "INSERT OR REPLACE INTO acknowledged VALUES (?, ?, ?)",
            (row_class, key, hashlib.sha256(row).digest()),
        )
