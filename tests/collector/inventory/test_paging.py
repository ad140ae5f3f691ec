"""A first page is the same whether its rows come with the count or, being too many, from an index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes.small_inventory import NOW, random_inventory, write
from sqlalchemy import Connection

from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.hosts import list_hosts
from keycensus_collector.inventory.keys import list_keys
from keycensus_collector.inventory.place_list import list_places
from keycensus_collector.query import compile as compiling
from keycensus_collector.query import in_files
from keycensus_collector.query.parse import parse

pytestmark = pytest.mark.usefixtures("each_database")
QUERIES = (
    *("use:live", "readable-by:world", "mode:0644", "path:/etc/**", "role:any use:any"),
    *("path:**/key.pem role:any", "host:* mode:0600", "key:rsa path:/opt/**", "bits>1024"),
    *("host:*", "host:web* use:any", "host:web1", "readable-by:world path:/**"),
    "readable-by:world role:any path:/**",
)


def pages(connection: Connection, text: str) -> list[tuple[int, bool, list[object]]]:
    query = parse(text)
    of_certificates = query
    of_keys = query
    found: list[Any] = [
        list_certificates(connection, of_certificates, NOW, limit=5),
        list_keys(connection, of_keys, NOW, limit=5),
        list_places(connection, query, NOW, limit=5),
        list_hosts(connection, query, NOW, limit=5),
    ]
    return [(page.total, page.total_is_exact, [page.next, *page.items]) for page in found]


@pytest.mark.parametrize(
    "limits",  # of few places, of very many, of what is named, of rows that are tried
    [
        (10_000, 100_000, 300, 3_000),
        (10_000, 100_000, 0, 3_000),
        (0, 100_000, 0, 3_000),
        (0, 100_000, 0, 1),  # rows that are read do not suffice
        (10_000, -1, 0, 3_000),  # more places are expected than there are
        (10_000, -1, 0, 1),
    ],
)
def test_too_many_to_count_have_the_same_first_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int, int, int]
) -> None:
    with write(random_inventory(0), tmp_path) as store, store.read() as connection:
        usual = [pages(connection, text) for text in QUERIES]
        monkeypatch.setattr(in_files, "_FEW", limits[0])
        monkeypatch.setattr(compiling, "_FEW_HOSTS", limits[0])
        for name, value in zip(("_FEW", "_MANY", "_NAMED", "_TRIED"), limits, strict=True):
            monkeypatch.setattr(compiling, name, value)
        counted = [pages(connection, text) for text in QUERIES]
        monkeypatch.setattr(compiling, "COUNTED", 1)
        monkeypatch.setattr(compiling, "COUNTED_SOUGHT", 1)
        bounded = [pages(connection, text) for text in QUERIES]
    assert counted == usual
    for before, after in zip(counted, bounded, strict=True):
        for (total, exact, rows), now in zip(before, after, strict=True):
            assert exact
            assert now == (min(total, 1), total <= 1, rows)
    assert max(total for each in counted for total, _, _ in each) > 1
