"""Gaps as a list: what a query means of them, then and now, and that figures of coverage are its own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fakes.census import Census
from fakes.served import api_token

from keycensus_collector.errors import QueryError
from keycensus_collector.inventory.counts import count
from keycensus_collector.inventory.coverage import count_coverage
from keycensus_collector.inventory.gap_list import list_gaps
from keycensus_collector.inventory.groups import counted_now
from keycensus_collector.query.parse import parse
from keycensus_collector.web.site import create_front

DAY = 86_400  # seconds


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory, each_database: str) -> Iterator[Census]:
    del each_database
    census = Census.create(tmp_path_factory.mktemp("gaps"))
    web, db = census.host("web1"), census.host("db1", state="silent")
    old = census.host("old1", state="retired")
    census.gap(web, "/srv/data")
    census.gap(old, "/srv")
    census.clock.advance(2 * DAY)
    census.gap(db, "/mnt/nfs", "network-file-system")
    census.gap(db, "/srv", "unreadable")
    census.gap(db, "/srv/data%")
    yield census
    census.store.close()


@pytest.mark.parametrize(
    ("query", "prefixes"),
    [
        ("", ["/srv/data", "/mnt/nfs", "/srv", "/srv/data%", "/srv"]),
        ("gap:/srv host:web1", ["/srv/data"]),
        ("gap:/srv not state:retired", ["/srv/data", "/srv", "/srv/data%"]),
        ("gap=/srv", ["/srv", "/srv"]),
        ("not gap:/srv", ["/mnt/nfs"]),
        ("gap-reason:network*", ["/mnt/nfs"]),
        ("gap-since<1d", ["/mnt/nfs", "/srv", "/srv/data%"]),
        ("nfs", ["/mnt/nfs"]),
        ("db1 or gap-since>1d", ["/srv/data", "/mnt/nfs", "/srv", "/srv/data%", "/srv"]),
        ("gap:none or gap-detail:none", []),
        ("gap:any owner:none state:silent gap:/srv/data%", ["/srv/data%"]),
        ("as-of:1d", ["/srv/data", "/srv"]),
    ],
)
def test_a_query_lists_its_gaps(census: Census, query: str, prefixes: list[str]) -> None:
    with census.store.read() as connection:
        now_ms = census.clock.now_ms()
        page = list_gaps(connection, parse(query), now_ms)
        assert sorted(item.prefix for item in page.items) == sorted(prefixes)
        assert page.total == count(connection, parse(query), "gaps", now_ms) == len(prefixes)
        for by in ("reason", "host", "owner"):
            found = counted_now(connection, parse(query), "gaps", by, now_ms)
            assert sum(group.count for group in found.groups) == len(prefixes), by
            for group in found.groups:
                assert count(connection, parse(group.query), "gaps", now_ms) == group.count


def test_figures_of_coverage_are_those_of_the_list_they_lead_to(census: Census) -> None:
    with census.store.read() as connection:
        now_ms = census.clock.now_ms()
        reasons = count_coverage(connection, now_ms).gaps
        for each in reasons:
            assert count(connection, parse(each.query), "gaps", now_ms) == each.gaps
            assert count(connection, parse(each.query), "hosts", now_ms) == each.hosts
        assert sum(each.gaps for each in reasons) == 4


def test_what_no_gap_has_is_pointed_at(census: Census) -> None:
    with census.store.read() as connection:
        for query, said in (("path:/srv", "can't be asked of gaps"), ("gap-sinc<1d", "gap-since")):
            with pytest.raises(QueryError, match=said):
                list_gaps(connection, parse(query), census.clock.now_ms())


async def test_the_page_shows_what_rest_lists_and_exports(census: Census) -> None:
    transport = httpx.ASGITransport(create_front(census.store, census.clock))
    headers = {"Authorization": f"Bearer {api_token(census, role='viewer')}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="https://census", headers=headers
    ) as client:
        asked = {"q": "gap:/srv not state:retired", "sort": "-prefix"}
        rest = (await client.get("/api/v1/gaps", params=asked)).json()
        assert [item["prefix"] for item in rest["items"]] == ["/srv/data%", "/srv/data", "/srv"]
        page = (await client.get("/gaps", params=asked)).text
        assert [page.index(f"<code>{item['prefix']}</code>") for item in rest["items"]] == sorted(
            page.index(f"<code>{item['prefix']}</code>") for item in rest["items"]
        )
        export = await client.get("/api/v1/export/gaps", params={**asked, "format": "csv"})
        assert [line.split(",")[2] for line in export.text.splitlines()[1:-1]] == [
            f'"{item["prefix"]}"' for item in rest["items"]
        ]
        facets = (await client.get("/gaps/facets", params=asked)).text
        assert "network-file-system" not in facets
        assert "/gaps?q=" in (await client.get("/coverage")).text
        then = (await client.get("/gaps", params={"as_of": "1d"})).text
        assert "/mnt/nfs" not in then
        assert "As it was on <strong>1d</strong>" in then
