"""Which revision a database is at, and how it gets to the newest: Alembic without an ini file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

MIGRATIONS = Path(__file__).with_name("migrations")


@dataclass(frozen=True, slots=True)
class RevisionStatus:
    """Where a database stands. `current` is empty for one without any revision."""

    current: str
    newest: str
    known: bool  # this program knows `current`; if not, a newer one made it

    @property
    def is_newest(self) -> bool:
        """Whether nothing is to be done."""
        return self.current == self.newest


def revision_status(connection: Connection, migrations: Path = MIGRATIONS) -> RevisionStatus:
    """Compare the database's revision with those of this program."""
    current = MigrationContext.configure(connection).get_current_revision() or ""
    scripts = ScriptDirectory.from_config(_configuration(migrations))
    known = {script.revision for script in scripts.walk_revisions()}
    return RevisionStatus(
        current, scripts.get_current_head() or "", not current or current in known
    )


def upgrade(connection: Connection, migrations: Path = MIGRATIONS) -> None:
    """Run every migration that the database lacks, inside the connection's transaction."""
    configuration = _configuration(migrations)
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "head")


def _configuration(migrations: Path) -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(migrations).replace("%", "%%"))
    configuration.set_main_option("path_separator", "newline")
    return configuration
