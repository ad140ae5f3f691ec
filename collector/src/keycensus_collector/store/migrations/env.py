"""Alembic's entry: run the migrations inside the transaction that `revisions.upgrade` brings."""

from __future__ import annotations

from alembic import context

from keycensus_collector.store.schema import metadata
from keycensus_collector.store.tables import (  # noqa: F401 - their tables join the metadata
    access,
    figures,
    listed,
    oidc,
    ownership,
    revocation,
    sharing,
)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # ours begins by itself, so SQLite's schema changes roll back too
)
context.run_migrations()
