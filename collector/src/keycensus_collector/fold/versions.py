"""What a place was from one moment on, as the fold reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row

from keycensus_collector.fold.convert import row_facts


@dataclass(frozen=True, slots=True)
class Version:
    """One content that a place had from some moment on."""

    version_no: int
    place_no: int
    from_ms: int
    manifest: bytes
    use: str
    role: str
    cause: str

    @property
    def is_live(self) -> bool:
        """Whether the place held something, in use."""
        return bool(self.manifest) and self.use == "live"


def version_of(row: Row[Any]) -> Version:
    """Return a row of `place_version`."""
    facts = row_facts(row.row)
    return Version(
        row.version_no,
        row.place_no,
        row.from_ms,
        row.manifest,
        facts.use,
        facts.role,
        row.cause,
    )
