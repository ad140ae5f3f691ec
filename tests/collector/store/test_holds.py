"""`place.holds` is what each place's manifest lists: as the migration works it out, and as intake writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from fakes.agent_stream import SPKI, Desk, entry, file_of, file_with, long_file
from fakes.databases import new_store
from fakes.small_inventory import Inventory, mask_of, random_inventory, write
from sqlalchemy import Connection, select, text, update

from keycensus_collector.intake.model import Limits
from keycensus_collector.store.revisions import MIGRATIONS
from keycensus_collector.store.schema import place

pytestmark = pytest.mark.usefixtures("each_database")


def test_an_upgrade_works_out_what_each_place_holds(tmp_path: Path) -> None:
    made = random_inventory(1)
    with write(made, tmp_path) as store, store.write() as connection:
        before = _held(connection)
        assert before == _listed(made, connection)
        assert {0, 1, 3} <= set(before.values())
        connection.execute(update(place).values(holds=0))
        _again(connection)
        assert _held(connection) == before


def _held(connection: Connection) -> dict[int, int]:
    return {row[0]: row[1] for row in connection.execute(select(place.c.place_no, place.c.holds))}


def _listed(made: Inventory, connection: Connection) -> dict[int, int]:
    rows = connection.execute(select(place.c.place_no, place.c.manifest))
    entries = {number: made.manifests.get(manifest, ()) for number, manifest in rows}
    return {number: mask_of(one.kind for one in listed) for number, listed in entries.items()}


def _again(connection: Connection) -> None:
    """Undo the migration by hand, and what came after it and is not made anew; run them again."""
    connection.execute(text("DROP INDEX ix_place_past_to_ms_manifest"))
    connection.execute(text("DROP INDEX ix_line_step_at_ms_successor"))
    connection.execute(text("DROP INDEX ix_place_mode"))
    connection.execute(text("ALTER TABLE place DROP COLUMN holds"))
    connection.execute(text("CREATE INDEX ix_place_mode ON place (mode)"))
    connection.execute(text("UPDATE alembic_version SET version_num = '0066_counterparts'"))
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    configuration.set_main_option("path_separator", "newline")
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "head")


async def test_intake_writes_what_a_place_holds_as_it_changes_goes_and_comes_back(
    tmp_path: Path,
) -> None:
    desk = Desk(new_store(tmp_path), Limits())
    key = (SPKI, entry("private-key", b"public half"), b"public half")
    sealed = (0, entry("sealed-key", b"encrypted"), b"")
    both = long_file(file_of(b"leaf"), file_with([key, sealed]))
    agent = desk.enrol()
    line = await desk.connect(agent)
    for files, holds in (
        ({b"/a": file_of(b"leaf"), b"/b": file_with([key])}, {"/a": 1, "/b": 2}),
        ({b"/a": both}, {"/a": 7, "/b": 2}),
        ({b"/a": None, b"/b": file_with([sealed])}, {"/a": 7, "/b": 4}),
        ({b"/a": file_of(b"leaf")}, {"/a": 1, "/b": 4}),
    ):
        desk.clock.advance(60)
        await agent.report(line, files)
        rows = desk.rows(select(place.c.path, place.c.holds))
        assert {row.path: row.holds for row in rows} == holds
    await line.leave()
    desk.store.close()
