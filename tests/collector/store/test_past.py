"""The migration that fills `place_past` from what versions say, as intake would have."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from fakes.census import Census, certificate
from fakes.pki import issue
from sqlalchemy import Connection, delete, select, text

from keycensus_collector.store.revisions import MIGRATIONS
from keycensus_collector.store.schema import place_past


def test_past_states_are_filled_from_their_versions(tmp_path: Path) -> None:
    census = Census.create(tmp_path)
    host = census.host("web1")
    for mode, use in ((0o640, "live"), (0o600, "retained")):
        census.report(host, "/etc/a.pem", certificate(issue("a")), mode=mode, use=use)
        census.clock.advance(60)
    census.gone(host, "/etc/a.pem")
    columns = [column for column in place_past.columns if column.name not in _NOT_SAID]
    with census.store.write() as connection:
        before = connection.execute(select(*columns).order_by(place_past.c.from_ms)).all()
        assert [row.mode for row in before] == [0o640, 0o600]
        connection.execute(delete(place_past))
        _again(connection)
        assert connection.execute(select(*columns).order_by(place_past.c.from_ms)).all() == before
    census.store.close()


# The fake does not write these into the row as an agent would.
_NOT_SAID = {"past_no", "group", "reason", "package_version"}


def _again(connection: Connection) -> None:
    """Undo the migration by hand and run it again."""
    connection.execute(text("DROP TABLE place_past"))
    connection.execute(text("DROP INDEX ix_place_path"))
    connection.execute(text("UPDATE alembic_version SET version_num = '0006'"))
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    configuration.set_main_option("path_separator", "newline")
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "0008")
