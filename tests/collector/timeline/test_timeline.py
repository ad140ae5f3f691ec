"""Time lines tell what happened in order, and a difference is what two lists differ in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import issue

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.coverage import coverage
from keycensus_collector.inventory.hosts import list_hosts
from keycensus_collector.inventory.identify import identify
from keycensus_collector.inventory.place_list import list_places
from keycensus_collector.marks.stored import lift_mark, set_mark
from keycensus_collector.query.parse import parse
from keycensus_collector.timeline import difference as comparing
from keycensus_collector.timeline.difference import Difference, difference
from keycensus_collector.timeline.model import TimeLine
from keycensus_collector.timeline.read import time_line

pytestmark = pytest.mark.usefixtures("each_database_in_full")

DAY = 86_400_000
FIRST = issue("www.example.com", days=60)
NEXT = issue("www.example.com", days=120)
OTHER = issue("other.example.com", days=60)


@pytest.fixture(scope="module")
def census(
    each_database_in_full: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Census]:
    """Give a week: day 0 came, 1 mode, 2 moved, 3 marked, 4 renewed, 5 back while marked, 6 lifted."""
    census = Census.create(tmp_path_factory.mktemp(each_database_in_full))
    web, db = census.host("web1"), census.host("db1", complete=False)
    census.report(web, "/etc/a.pem", certificate(FIRST), cause="first")
    census.report(web, "/etc/other.pem", certificate(OTHER), private_key(OTHER.key))
    census.report(db, "/srv/box.p12", status="locked")
    census.gap(db, "/mnt/nfs", "network-file-system")
    census.fold()
    later(census)
    census.report(web, "/etc/a.pem", certificate(FIRST), mode=0o600, cause="facts")
    later(census)
    census.gone(web, "/etc/a.pem")
    census.report(web, "/etc/b.pem", certificate(FIRST))
    census.fold()
    later(census)
    with census.store.write() as connection:
        mark = set_mark(
            connection,
            kind="certificate",
            subject=FIRST.sha256,
            word="compromised",
            reason="lost",
            actor="user:ada",
            now_ms=census.clock.now_ms(),
        )
    later(census)
    census.report(web, "/etc/b.pem", certificate(NEXT))
    census.fold()
    later(census)
    census.report(db, "/root/b.pem", certificate(FIRST))
    census.fold()
    later(census)
    with census.store.write() as connection:
        lift_mark(
            connection, mark.number, reason="x", actor="user:ada", now_ms=census.clock.now_ms()
        )
    later(census)
    yield census
    census.store.close()


def later(census: Census) -> None:
    census.clock.current_ms += DAY


def line_of(census: Census, text: str, *, limit: int = 100, before: int | None = None) -> TimeLine:
    with census.store.read() as connection:
        (match,) = identify(connection, text)
        return time_line(connection, match, before_ms=before, limit=limit)


def told(line: TimeLine) -> list[tuple[str, str, str]]:
    return [(each.what, f"{each.host}:{each.path}", each.detail) for each in line.events]


def test_a_certificate_tells_its_life_the_newest_first(census: Census) -> None:
    assert told(line_of(census, FIRST.sha256.hex())) == [
        ("unmarked", ":", "compromised lifted by user:ada: x"),
        ("appeared", "db1:/root/b.pem", "live 0644 root"),
        ("came-back", "db1:/root/b.pem", "while marked compromised (mark 1)"),
        ("gone", "web1:/etc/b.pem", ""),
        ("renewed", "web1:/etc/b.pem", f"rekey by www.example.com {NEXT.sha256.hex()[:12]}"),
        ("marked", ":", "compromised by user:ada: lost"),
        ("moved", "web1:/etc/b.pem", "from /etc/a.pem"),
        ("permissions", "web1:/etc/a.pem", "0644 to 0600"),
        ("appeared", "web1:/etc/a.pem", "live 0644 root"),
    ]
    follows = told(line_of(census, NEXT.sha256.hex()))
    assert follows[-1][0] == "follows"
    assert follows[-1][2] == f"rekey after www.example.com {FIRST.sha256.hex()[:12]}"


def test_a_key_and_a_host_have_time_lines_too(census: Census) -> None:
    key = private_key(OTHER.key).artifact.hex()
    assert told(line_of(census, key)) == [("appeared", "web1:/etc/other.pem", "live 0644 root")]
    words = [(each.what, each.path, each.cause) for each in line_of(census, "web1").events]
    assert words == [
        ("changed", "/etc/b.pem", "content"),
        ("gone", "/etc/a.pem", "content"),
        ("appeared", "/etc/b.pem", "content"),
        ("permissions", "/etc/a.pem", "facts"),
        ("appeared", "/etc/a.pem", "first"),
        ("appeared", "/etc/other.pem", "content"),
    ]


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("what", ["host", "certificate"])
def test_pages_hold_every_event_once(census: Census, what: str, limit: int) -> None:
    what = {"host": "web1", "certificate": FIRST.sha256.hex()}[what]
    whole = line_of(census, what).events
    pages, before = [], None
    while True:
        page = line_of(census, what, limit=limit, before=before)
        pages += page.events
        before = page.next
        if before is None:
            break
    assert pages == whole


def differ(census: Census, target: str, since: str, until: str, q: str = "") -> Difference:
    with census.store.read() as connection:
        now_ms = census.clock.now_ms()
        return difference(connection, parse(q), target, (since, until), now_ms)


def named(found: Difference) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    return (
        [each.name for each in found.came],
        [each.name for each in found.gone],
        [(each.name, each.detail) for each in found.changed],
    )


def test_a_difference_is_what_two_lists_differ_in(census: Census) -> None:
    # From day 1 to day 4: a.pem became b.pem with another certificate in it.
    found = named(differ(census, "places", "6d", "3d", "host:web1"))
    assert found == (["web1:/etc/b.pem"], ["web1:/etc/a.pem"], [])
    assert named(differ(census, "certificates", "6d", "3d"))[:2] == (
        ["www.example.com"],
        ["www.example.com"],
    )
    found = named(differ(census, "places", "7d", "6d"))
    assert found == ([], [], [("web1:/etc/a.pem", "mode 0644 to 0600")])
    assert named(differ(census, "keys", "7d", "0h")) == ([], [], [])
    assert named(differ(census, "hosts", "7d", "0h")) == ([], [], [])
    assert named(differ(census, "gaps", "8d", "0h")) == (["db1:/mnt/nfs"], [], [])
    assert named(differ(census, "gaps", "7d", "0h")) == ([], [], [])
    back = differ(census, "certificates", "3d", "0h")
    assert [each.id for each in back.came] == [FIRST.sha256.hex()]
    with census.store.read() as connection:
        for days in ("6d", "3d"):
            wanted = parse(f"name:* as-of:{days}")
            page = list_certificates(connection, wanted, census.clock.now_ms())
            assert page.total == 2


def test_a_difference_needs_two_dates_in_order(census: Census) -> None:
    with pytest.raises(UsageError, match="is not before"):
        differ(census, "places", "1d", "2d")
    with pytest.raises(UsageError, match="two dates of its own"):
        differ(census, "places", "2d", "1d", "as-of:3d")


def test_coverage_counts_what_its_queries_list(census: Census) -> None:
    with census.store.read() as connection:
        now_ms = census.clock.now_ms()
        found = coverage(connection, now_ms)
        assert (found.hosts, found.complete, found.with_gaps, found.unfinished) == (2, 1, 1, 1)
        for gap in found.gaps:
            listed = list_hosts(connection, parse(gap.query), now_ms)
            assert (gap.reason, gap.hosts) == ("network-file-system", listed.total)
        assert {each.status: each.places for each in found.places} == {"read": 3, "locked": 1}
        for status in found.places:
            listed_places = list_places(connection, parse(status.query), now_ms)
            assert listed_places.total == status.places


def test_how_many_places_have_a_thing_is_compared_where_those_are_not_too_many(
    census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    census.report(census.host("mail1"), "/etc/other.pem", certificate(OTHER))
    census.fold()
    later(census)
    found = named(differ(census, "certificates", "2d", "0h"))
    assert found[2] == [("other.example.com", "live places 1 to 2, hosts 1 to 2")]
    monkeypatch.setattr(comparing, "MOST_PLACES", 1)
    assert named(differ(census, "certificates", "2d", "0h")) == ([], [], [])
