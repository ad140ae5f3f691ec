"""What is known of a database before it is opened. Apart, so that who only asks loads no driver."""

from __future__ import annotations

# MiB of an SQLite database that its writer keeps in memory at most, by default; each reader half as many.
CACHE_MIB = 64


def is_postgresql(url: str) -> bool:
    """Say whether an address is of PostgreSQL; else it is of SQLite, or a mistake."""
    return url.startswith(("postgresql://", "postgres://"))
