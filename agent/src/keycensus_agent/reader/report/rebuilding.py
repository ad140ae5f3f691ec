"""The outbox made again: the difference between the disk and what the collector acknowledged.

In a transaction of the caller's. A part at a time, so that the outbox stays below its cap however
much differs.
"""

from __future__ import annotations

import sqlite3

from keycensus_agent.model import Cause, RowClass

# What there is to tell of each class; of places, trees instead of the names that are in them. Places
# first: a usage names them.
TABLES = {RowClass.PLACE: "told", RowClass.GAP: "gap", RowClass.USAGE: "usage"}
# No limit, as SQLite spells it.
ALL = -1


def rebuild_class(
    connection: sqlite3.Connection, row_class: RowClass, now_ms: int, limit: int = ALL
) -> int:
    """List rows of a class that differ and are not listed yet, at most `limit`; how many."""
    # The table's name is one of those above, so nothing from outside gets into the text.
    number, table = row_class.value, TABLES[row_class]
    appeared = connection.execute(
        f"""
        INSERT INTO outbox (class, key, row, cause, observed_ms, skipped, gone_reason)
        SELECT ?1, key, row, ?2, ?3, 0, '' FROM {table} AS t
        WHERE NOT EXISTS (SELECT 1 FROM acknowledged AS a
                          WHERE a.class = ?1 AND a.key = t.key AND a.row_hash = t.row_hash)
          AND NOT EXISTS (SELECT 1 FROM outbox AS o
                          WHERE o.class = ?1 AND o.key = t.key AND o.row = t.row
                            AND o.item = (SELECT max(item) FROM outbox AS n
                                          WHERE n.class = ?1 AND n.key = t.key))
          AND NOT EXISTS (SELECT 1 FROM refused AS r
                          WHERE r.class = ?1 AND r.key = t.key AND r.row_hash = t.row_hash)
        LIMIT ?4
        """,  # noqa: S608 - see above
        (number, Cause.RECONCILE, now_ms, limit),
    ).rowcount
    gone = connection.execute(
        f"""
        INSERT INTO outbox (class, key, row, cause, observed_ms, skipped, gone_reason)
        SELECT ?1, key, NULL, ?2, ?3, 0, 'removed' FROM acknowledged AS a
        WHERE a.class = ?1 AND NOT EXISTS (SELECT 1 FROM {table} AS t WHERE t.key = a.key)
          AND NOT EXISTS (SELECT 1 FROM outbox AS o
                          WHERE o.class = ?1 AND o.key = a.key AND o.row IS NULL
                            AND o.item = (SELECT max(item) FROM outbox AS n
                                          WHERE n.class = ?1 AND n.key = a.key))
        LIMIT ?4
        """,  # noqa: S608 - see above
        (number, Cause.RECONCILE, now_ms, limit),
    ).rowcount
    return int(appeared) + int(gone)
