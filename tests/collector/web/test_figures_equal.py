"""Every figure on a page is the total of the list that it leads to, and of its export: of random inventories, now and then."""

from __future__ import annotations

import html
import re
from pathlib import Path

import httpx
import pytest
from fakes.census import Census
from fakes.served import api_token
from fakes.small_inventory import NOW, random_inventory, write

from keycensus_collector.clock import FixedClock
from keycensus_collector.web.listed import LISTS
from keycensus_collector.web.site import create_front

_FIGURE = re.compile(
    r'<a class="tile[^>]*href="([^"]+)">\s*<strong>([\d,]+)</strong>|<td class="number"><a href="([^"]+)">([\d,]+)</a>'
)
_TOTAL = re.compile(r'<h1[^>]*>[^<]*<span class="quiet">([\d,]+)')
QUERIES = {
    "certificates": "ca:no",
    "keys": "host:web*",
    "places": "role:server",
    "gaps": "gap:/srv",
}


def figures(text: str) -> dict[str, str]:
    """Return where each figure of a page leads, and the figure."""
    found = {}
    for tile, number, bar, count in _FIGURE.findall(text):
        way = html.unescape(tile or bar)
        if way.partition("?")[0].removeprefix("/") in LISTS:
            found[way] = number or count
    return found


@pytest.mark.parametrize(("seed", "as_of"), [(0, ""), (1, "10d")])
async def test_every_figure_is_the_total_of_its_list_and_export(
    tmp_path: Path, seed: int, as_of: str
) -> None:
    census = Census(write(random_inventory(seed), tmp_path), FixedClock(NOW))
    pages = [("/", {"as_of": as_of}), ("/coverage", {"as_of": as_of})]
    pages += [
        (f"/{name}/facets", {"q": q, "as_of": as_of})
        for name in LISTS
        for q in ("", QUERIES.get(name, "state:active"))
    ]
    pages += [
        ("/certificates/by/expires-month", {"as_of": as_of}),
        ("/keys/by/bits", {"q": f"as-of:{as_of}" if as_of else ""}),
    ]
    headers = {"Authorization": f"Bearer {api_token(census)}"}
    transport = httpx.ASGITransport(create_front(census.store, census.clock))
    async with httpx.AsyncClient(
        transport=transport, base_url="https://census", headers=headers
    ) as client:
        known: dict[str, str] = {}
        for address, given in pages:
            response = await client.get(address, params={k: v for k, v in given.items() if v})
            assert response.status_code == 200, (address, given, response.text)
            if as_of:
                assert "As it was on <strong>10d</strong>" in response.text
            for way, figure in figures(response.text).items():
                assert known.setdefault(way, figure) == figure, (address, way)
        assert len(known) > 40
        assert len(set(known.values())) > 3
        for number, (way, figure) in enumerate(sorted(known.items())):
            page = await client.get(f"{way}{'&' if '?' in way else '?'}limit=1")
            total = _TOTAL.search(page.text)
            assert total is not None, way
            assert total[1] == figure, way
            assert ("As it was on <strong>" in page.text) == bool(as_of), way
            if number % 4 == 0:
                rows = await client.get(f"/api/v1/export{way}")
                assert rows.text.count("\n") - 1 == int(figure.replace(",", "")), way
    census.store.close()


async def test_what_is_not_known_of_a_past_day_is_said(tmp_path: Path) -> None:
    census = Census(write(random_inventory(0), tmp_path), FixedClock(NOW))
    headers = {"Authorization": f"Bearer {api_token(census)}"}
    transport = httpx.ASGITransport(create_front(census.store, census.clock))
    async with httpx.AsyncClient(
        transport=transport, base_url="https://census", headers=headers
    ) as client:
        unknown = re.compile(
            r'<div class="tile calm"><strong>[^<]+</strong> <span>([^<]+)</span> <small>Not known'
        )
        then = (await client.get("/?as_of=10d")).text
        assert set(unknown.findall(then)) == {"blind spots", "looked at whole"}
        assert "data-live" not in then
        then = (await client.get("/coverage?as_of=10d")).text
        assert set(unknown.findall(then)) == {"looked at whole", "first sweep not finished"}
        told = (await client.get("/api/v1/coverage?as_of=10d")).json()
        assert (told["complete"], told["refused_rows"]) == (None, None)
        for list_, found in (("gaps", told["gaps"]), ("places", told["places"])):
            for each in found:
                asked = {"q": each["query"], "as_of": "10d", "limit": 1}
                listed_then = (await client.get(f"/api/v1/{list_}", params=asked)).json()
                assert listed_then["total"] == each[list_], each
        assert told["gaps"]
        assert told["places"]
        now = (await client.get("/api/v1/coverage")).json()
        assert (told["hosts"], told["places"]) != (now["hosts"], now["places"])
        assert (await client.get("/coverage?as_of=soon")).status_code == 400
        assert not unknown.search((await client.get("/")).text)
        assert (await client.get("/?as_of=soon")).status_code == 400
        for way in ("/hosts/by/os?as_of=10d", "/certificates/by/hosts?q=as-of:10d"):
            assert "of a past day it is not known" in (await client.get(way)).text
        assert "not known of a past day" in (await client.get("/hosts/facets?as_of=10d")).text
        listed = (await client.get("/places?q=os:Debian&as_of=10d")).text
        assert "Not known of a past day, so as it is today: os." in listed
        assert (
            "what is told of each here is of today" in (await client.get("/hosts?as_of=10d")).text
        )
        listed = (await client.get("/certificates?as_of=10d&sort=name")).text
        assert "as_of=10d&amp;sort=-name" in listed
        assert "sort=hosts" not in listed
        assert (await client.get("/certificates?as_of=10d&sort=hosts")).status_code == 400
        assert (await client.get("/certificates/by/colour")).status_code == 400
    census.store.close()
