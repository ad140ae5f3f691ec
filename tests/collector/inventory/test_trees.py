"""A trust store told as one place answers as one that is told name by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate
from fakes.pki import NOW_MS, Issued, issue
from sqlalchemy import select

from keycensus_collector.api.parameters import CertificateParameters
from keycensus_collector.inventory import detail, results
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.hosts import list_hosts
from keycensus_collector.inventory.identify import identify
from keycensus_collector.inventory.place_list import list_places
from keycensus_collector.query.parse import parse
from keycensus_collector.store import schema

pytestmark = pytest.mark.usefixtures("each_database_in_full")

ROOTS = [issue(f"Root {number}", is_ca=True, days=3650) for number in range(4)]
DIRECTORY = "/etc/ssl/certs"
# Debian's links: one by name, one by a hash of the subject; two names lead to one file.
NAMES = {
    "Root_0.pem": ROOTS[0],
    "00000000.0": ROOTS[0],
    "Root_1.pem": ROOTS[1],
    "11111111.0": ROOTS[1],
    "Root_2.pem": ROOTS[2],
}
Tell = Callable[[Census, int, dict[str, Issued]], None]


def as_tree(census: Census, host: int, names: dict[str, Issued]) -> None:
    tree = {name: certificate(issued) for name, issued in names.items()}
    census.report(host, DIRECTORY, role="trust-store", format_="tree", tree=tree)


def name_by_name(census: Census, host: int, names: dict[str, Issued]) -> None:
    for name, issued in names.items():
        census.report(host, f"{DIRECTORY}/{name}", certificate(issued), role="trust-store")


def told(directory: Path, tell: Tell) -> Census:
    """Two hosts with the store; one of them has two of its roots in a bundle, too."""
    census = Census.create(directory)
    for name in ("web1", "web2"):
        tell(census, census.host(name), NAMES)
    bundle = [certificate(root) for root in ROOTS[1:3]]
    census.report(1, "/opt/bundle.pem", *bundle, role="trust-store")
    census.fold()
    return census


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Census, Census]]:
    """Give the same hosts, told in both ways."""
    pair = [told(tmp_path_factory.mktemp("told"), tell) for tell in (as_tree, name_by_name)]
    yield pair[0], pair[1]
    for census in pair:
        census.store.close()


def found(census: Census, issued: Issued) -> results.Where:
    with census.store.read() as connection:
        return detail.where(connection, identify(connection, issued.sha256.hex())[0], NOW_MS)


@pytest.mark.parametrize("root", ROOTS[:3])
def test_where_and_counts_are_the_same_in_both_ways(
    both: tuple[Census, Census], root: Issued
) -> None:
    tree, files = both
    ours, theirs = found(tree, root), found(files, root)
    assert [(place.host, place.path) for place in ours.places] == [
        (place.host, place.path) for place in theirs.places
    ]
    assert ours.total == theirs.total == len(ours.places)
    assert {place.role for place in ours.places} == {"trust-store"}
    column = schema.certificate.c
    counts = select(column.live_places, column.retained_places, column.hosts)
    assert tree.row(counts.where(column.sha256 == root.sha256)) == files.row(
        counts.where(column.sha256 == root.sha256)
    )


@pytest.mark.parametrize(
    ("path", "count"),
    [
        (f"{DIRECTORY}/Root_1.pem", 1),
        (DIRECTORY, 3),
        (f"{DIRECTORY}/", 3),
        ("/etc/*", 3),
        ("*/Root_*.pem", 3),
        (f"{DIRECTORY}/0*", 1),
        (f"{DIRECTORY}/Root_9.pem", 0),
        ("/opt/bundle.pem", 2),
    ],
)
def test_a_path_finds_names_in_both_ways(
    both: tuple[Census, Census], path: str, count: int
) -> None:
    wanted = CertificateParameters(path=path, include="trust-stores")
    for census in both:
        with census.store.read() as connection:
            page = list_certificates(connection, wanted.as_query(), 0)
        assert page.total == len(page.items) == count


def test_only_the_wanted_hosts_names_count(both: tuple[Census, Census]) -> None:
    for name, count in (("web2", 1), ("web3", 0)):
        path = f"{DIRECTORY}/Root_1.pem"
        wanted = CertificateParameters(host=name, path=path, include="trust-stores")
        for census in both:
            with census.store.read() as connection:
                assert list_certificates(connection, wanted.as_query(), 0).total == count


@pytest.mark.parametrize(
    ("query", "count"),
    [
        (f"path={DIRECTORY}/Root_1.pem role:any", 1),
        (f"path:{DIRECTORY}/* role:any", 3),
        ("path:**/0* role:any", 1),
        (f"path:{DIRECTORY} not path:**/Root_2.pem role:any", 2),
        (f"path:{DIRECTORY}/Root_1.pem host:web2 role:any", 1),
        (f"path:{DIRECTORY}/Root_1.pem host:web3 role:any", 0),
        (f"path={DIRECTORY} role:any", 0),
        (f"role:any any(path:{DIRECTORY}/Root_1.pem) none(path:/opt/**)", 0),
        ("places>3 role:any", 2),
    ],
)
def test_a_query_for_paths_lists_the_same_in_both_ways(
    both: tuple[Census, Census], query: str, count: int
) -> None:
    for as_of in ("", " as-of:1d"):
        for census in both:
            now_ms = census.clock.now_ms() + 2 * 86_400_000
            with census.store.read() as connection:
                page = list_certificates(connection, parse(query + as_of), now_ms)
            assert page.total == len(page.items) == count, (query, as_of)


def test_a_tree_is_one_place_of_its_host_and_found_by_its_names(
    both: tuple[Census, Census],
) -> None:
    tree, _ = both
    with tree.store.read() as connection:
        for query, paths in (
            ("", [DIRECTORY, "/opt/bundle.pem", DIRECTORY]),
            (f"path:{DIRECTORY}/Root_1.pem host:web2", [DIRECTORY]),
            (f"path={DIRECTORY} host:web2", [DIRECTORY]),
            (f"not path:{DIRECTORY}/Root_1.pem", ["/opt/bundle.pem"]),
        ):
            listed = list_places(connection, parse(query), 0)
            assert [place.path for place in listed.items] == paths, query
        hosts = list_hosts(connection, parse(f"path:{DIRECTORY}/Root_1.pem"), 0).items
        totals = {host.name: host.live_places for host in hosts}
        for name, total in totals.items():
            assert list_places(connection, parse(f"host:{name}"), 0).total == total
    assert totals == {"web1": 2, "web2": 1}


def test_trust_stores_stay_out_of_lists_that_do_not_ask_for_them(
    both: tuple[Census, Census],
) -> None:
    for census in both:
        for wanted in (CertificateParameters(), CertificateParameters(path=DIRECTORY)):
            with census.store.read() as connection:
                assert list_certificates(connection, wanted.as_query(), 0).total == 0
        assert census.rows(select(schema.holding)) == []


def test_a_name_that_stays_while_others_change_has_one_time_in_its_history(tmp_path: Path) -> None:
    census = Census.create(tmp_path)
    host = census.host("web1")
    as_tree(census, host, NAMES)
    census.clock.advance(60)
    as_tree(census, host, NAMES | {"Root_2.pem": ROOTS[3]})
    census.clock.advance(60)
    as_tree(census, host, {name: NAMES[name] for name in ("Root_0.pem", "Root_2.pem")})
    census.fold()

    def history(root: Issued) -> list[tuple[str, bool]]:
        with census.store.read() as connection:
            found = detail.certificate_detail(connection, root.sha256, NOW_MS)
        assert found is not None
        return sorted((interval.path, interval.until is None) for interval in found.history)

    assert history(ROOTS[0]) == [
        (f"{DIRECTORY}/00000000.0", False),
        (f"{DIRECTORY}/Root_0.pem", True),
    ]
    assert history(ROOTS[2]) == [
        (f"{DIRECTORY}/Root_2.pem", False),
        (f"{DIRECTORY}/Root_2.pem", True),
    ]
    assert history(ROOTS[3]) == [(f"{DIRECTORY}/Root_2.pem", False)]
    census.store.close()
