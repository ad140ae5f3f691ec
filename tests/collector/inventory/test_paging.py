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
from keycensus_collector.query.parse import parse

QUERIES = ("use:live", "readable-by:world", "mode:0644", "path:/etc/**", "role:any use:any")


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


@pytest.mark.parametrize("few", [10_000, 0])
def test_too_many_to_count_have_the_same_first_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(compiling, "_FEW", few)
    with write(random_inventory(0), tmp_path) as store, store.read() as connection:
        counted = [pages(connection, text) for text in QUERIES]
        monkeypatch.setattr(compiling, "COUNTED", 1)
        monkeypatch.setattr(compiling, "COUNTED_SOUGHT", 1)
        bounded = [pages(connection, text) for text in QUERIES]
    for before, after in zip(counted, bounded, strict=True):
        for (total, exact, rows), now in zip(before, after, strict=True):
            assert exact
            assert now == (min(total, 1), total <= 1, rows)
    assert max(total for each in counted for total, _, _ in each) > 1
