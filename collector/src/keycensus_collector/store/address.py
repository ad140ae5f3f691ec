"""Which product a database address is of. Apart, so that who only asks loads no driver."""

from __future__ import annotations


def is_postgresql(url: str) -> bool:
    """Say whether an address is of PostgreSQL; else it is of SQLite, or a mistake."""
    return url.startswith(("postgresql://", "postgres://"))
