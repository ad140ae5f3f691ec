"""What is declared in one database product can be declared in the other, and is the same there."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.databases import DATABASES
from fakes.declaring import WANTED, a_census, make, now


def test_what_sqlite_says_postgresql_says_when_it_was_made_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    census = a_census(tmp_path)
    make(census, WANTED)
    monkeypatch.setattr(DATABASES, "product", "postgresql")
    other = a_census(tmp_path)
    assert make(other, now(census)).after == now(other) == now(census) == WANTED
    make(census, now(other), prune=True)
    assert now(census) == WANTED
    DATABASES.close_stores()
