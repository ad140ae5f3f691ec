"""What a view is. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from keycensus_collector.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class View:
    """A named query on one list. `columns`: members to show, in order; empty: the list's own."""

    name: str
    description: str
    what: str  # "certificates", "keys", "places", "hosts", "gaps"
    query: str
    columns: tuple[str, ...] = ()
    built_in: bool = False
    saved_by: str = ""
    saved_ms: int | None = None
    problem: str = ""  # why the query can't be read; then it is empty


def check_name(name: str) -> str:
    """Return a name that a view can have; UsageError says what would be one."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} can't name a view: use up to 63 of a-z, 0-9 and -, a letter or digit first"
        )
    return name
