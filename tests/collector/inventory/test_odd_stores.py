"""Trust stores that differ from the fleet: by the set of their certificates, at the same path."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fakes.census import Census, certificate
from fakes.pki import issue

from keycensus_collector.inventory.keeper import Keeper
from keycensus_collector.inventory.place_list import list_places
from keycensus_collector.query.parse import parse

pytestmark = pytest.mark.usefixtures("each_database")

ROOTS = [certificate(issue(f"Root {number}", is_ca=True)) for number in range(3)]
BUNDLE, DIRECTORY = "/etc/ssl/ca.pem", "/etc/ssl/certs"


def listed(census: Census, query: str) -> list[tuple[str, str]]:
    with census.store.read() as connection:
        page = list_places(connection, parse(query), census.clock.now_ms())
    return [(place.host, place.path) for place in page.items]


def test_what_differs_is_what_most_hosts_have_not(tmp_path: Path) -> None:
    census = Census.create(tmp_path)
    hosts = [census.host(f"web{number}") for number in range(4)]
    for number, host in enumerate(hosts):
        # The same set in another order is no other set.
        roots = [ROOTS[1], ROOTS[0]] if number == 1 else ROOTS[:2]
        own = [*roots, ROOTS[2]] if number == 3 else roots
        census.report(host, BUNDLE, *own, role="trust-store")
        tree = {f"{n}.pem": root for n, root in enumerate(ROOTS[: 2 + (number == 0)])}
        census.report(host, DIRECTORY, role="trust-store", format_="tree", tree=tree)
    # On fewer hosts than three nothing is usual; and this is no trust store.
    for host, root in zip(hosts[:2], ROOTS, strict=False):
        census.report(host, "/opt/few.pem", root, role="trust-store")
        census.report(host, "/srv/tls.pem", root)
    census.report(hosts[2], "/srv/tls.pem", ROOTS[2])
    census.fold()
    assert listed(census, "fleet:differs") == []
    keeper = Keeper(census.store, census.clock)
    asyncio.run(keeper.run_once())
    odd = [("web0", DIRECTORY), ("web3", BUNDLE)]
    assert sorted(listed(census, "fleet:differs")) == odd
    assert len(listed(census, "fleet:same")) == 8
    # What is as usual again is not odd any more, and what became odd is.
    census.report(hosts[3], BUNDLE, *ROOTS[:2], role="trust-store")
    census.report(hosts[2], BUNDLE, ROOTS[2], role="trust-store")
    census.fold()
    asyncio.run(keeper.run_once())
    assert sorted(listed(census, "fleet:differs")) == [("web0", DIRECTORY), ("web2", BUNDLE)]
    census.store.close()
