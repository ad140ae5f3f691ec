"""In which order SQLite goes about what is asked, where a database is large: by figures of one, put beside a small one."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.small_inventory import NOW, random_inventory, write
from sqlalchemy import select

from keycensus_collector.query import compile as compiling
from keycensus_collector.query.ask import ask
from keycensus_collector.query.parse import parse
from keycensus_collector.store.engine import Store

# What ANALYZE tells of 100,000 certificates at 500,000 places: rows, then how many have each column alike.
_LARGE = (
    ("place", "ix_place_manifest", "495091 3 3 2 2 2 2 1"),
    ("place", "ix_place_mode", "495091 165031 99019 99019"),
    ("place", "ix_place_path", "495091 2"),
    ("place", "ix_place_unread", "1046 1046"),
    ("manifest_entry", "ix_manifest_entry_artifact", "301196 2 2 1"),
    ("manifest_entry", "sqlite_autoindex_manifest_entry_1", "301196 2 1"),
    ("certificate", "sqlite_autoindex_certificate_1", "100150 1"),
)
_BY_PLACES = (
    "SEARCH place USING INDEX ix_place_mode",
    "SEARCH place USING INTEGER PRIMARY KEY",
)


@pytest.mark.parametrize("analysed", [True, False])
@pytest.mark.parametrize("named", [-1, 300])
def test_few_places_are_where_it_begins_whatever_the_database_knows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: int, *, analysed: bool
) -> None:
    """Files of mode 0600 are expected to be a third of all, and it went through the entries of all files."""
    monkeypatch.setattr(compiling, "_NAMED", named)
    with write(random_inventory(0), tmp_path) as store:
        name = store.name
        if analysed:
            with store.write() as connection:
                connection.exec_driver_sql("ANALYZE")
                connection.exec_driver_sql("DELETE FROM sqlite_stat1")
                for row in _LARGE:
                    connection.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", row)
    with Store.open(f"sqlite:///{name}") as store, store.read() as connection:
        asked = ask(connection, parse("mode:0600"), "certificates", NOW)
        found = select(asked.identity).where(asked.condition)
        statement = found.compile(connection, compile_kwargs={"literal_binds": True})
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
    steps = [row[3] for row in plan]
    assert any(step.startswith(_BY_PLACES) for step in steps), steps
    assert not any("SCAN manifest_entry" in step for step in steps), steps
