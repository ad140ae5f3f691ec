"""What a path begins with is a stretch of its order, whatever character it ends at."""

from __future__ import annotations

from pathlib import Path as File

import pytest
from fakes.databases import new_store
from sqlalchemy import literal, select

from keycensus_collector.query.conditions import Path
from keycensus_collector.query.patterns import path_matches

pytestmark = pytest.mark.usefixtures("each_database")

STARTS = ("/etc/x", "/etc/x/", "/a%", "/a_", "/é", "/\ud7ff", "/\ue000", "/\U0010ffff", "/~")
LONG = "/" + "l" * 498
ENDS = ("", "-y", "/y", "0", "é", "\ud7ff", "\ue000", "\U0010ffff", "\U0010ffff\U0010ffff")


def test_what_begins_so_is_found_and_nothing_beside_it(tmp_path: File) -> None:
    starts = (*STARTS, LONG, LONG + "x")
    paths = sorted({start + end for start in (*starts, "/", "/b", "/etc/X") for end in ENDS})
    with new_store(tmp_path) as store, store.read() as connection:
        for start in starts:
            test = Path(f"{start}**", "glob")
            matches = [
                path_matches(connection, literal(path), test, indexed=True).label(f"p{number}")
                for number, path in enumerate(paths)
            ]
            row = connection.execute(select(*matches)).one()
            found = [path for path, is_found in zip(paths, row, strict=True) if is_found]
            assert found == [path for path in paths if path.startswith(start)], start
