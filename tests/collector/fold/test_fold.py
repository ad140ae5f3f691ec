"""Lines, steps and counts, from reported places to what the inventory shows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import Issued, issue
from sqlalchemy import insert, select

from keycensus_collector.fold import fold as fold_module
from keycensus_collector.fold.lineage import Leaf, Step, find_steps
from keycensus_collector.store import schema

pytestmark = pytest.mark.usefixtures("each_database_in_full")

ROOT = issue("Example Root", is_ca=True, days=3650)
FIRST = issue("www.example.com", issuer=ROOT, sans=("www.example.com",), days=5)
SECOND = issue("www.example.com", issuer=ROOT, sans=("www.example.com",), days=95)
THIRD = issue("www.example.com", issuer=ROOT, sans=("www.example.com",), days=185, key=SECOND.key)


@pytest.fixture
def census(tmp_path: Path) -> Iterator[Census]:
    census = Census.create(tmp_path)
    yield census
    census.store.close()


def line_of(census: Census, issued: Issued) -> int | None:
    column = schema.certificate.c
    number = census.row(select(column.line_no).where(column.sha256 == issued.sha256))[0]
    return None if number is None else int(number)


def counts_of(census: Census, issued: Issued) -> tuple[int, int, int]:
    column = schema.certificate.c
    row = census.row(
        select(column.live_places, column.retained_places, column.hosts).where(
            column.sha256 == issued.sha256
        )
    )
    return (row.live_places, row.retained_places, row.hosts)


def steps(census: Census) -> list[tuple[bytes, bytes, str]]:
    rows = census.rows(select(schema.line_step).order_by(schema.line_step.c.at_ms))
    return [(row.predecessor, row.successor, row.kind) for row in rows]


LIVE = "/etc/letsencrypt/live/www.example.com/cert.pem"
ARCHIVE = "/etc/letsencrypt/archive/www.example.com/cert{}.pem"


def test_a_certbot_renewal_is_one_change_and_continues_its_line(census: Census) -> None:
    host = census.host("web1")
    census.report(host, ARCHIVE.format(1), certificate(FIRST), cause="first")
    census.report(host, LIVE, certificate(FIRST), cause="first", target=ARCHIVE.format(1))
    census.fold()
    line = line_of(census, FIRST)
    census.clock.advance(60)
    census.report(host, ARCHIVE.format(2), certificate(SECOND))
    census.report(host, ARCHIVE.format(1), certificate(FIRST), cause="facts", use="retained")
    census.report(host, LIVE, certificate(SECOND), target=ARCHIVE.format(2))
    census.fold()
    assert steps(census) == [(FIRST.sha256, SECOND.sha256, "rekey")]
    assert line is not None
    assert line_of(census, FIRST) == line_of(census, SECOND) == line
    assert counts_of(census, FIRST) == (0, 1, 1)
    assert counts_of(census, SECOND) == (2, 0, 1)
    assert len(census.rows(select(schema.line))) == 1


def test_a_renewal_with_the_same_key_is_told_from_a_rekey(census: Census) -> None:
    host = census.host("web1")
    for issued in (FIRST, SECOND, THIRD):
        census.report(host, LIVE, certificate(issued), certificate(ROOT))
        census.clock.advance(1)
        census.fold()
    assert steps(census) == [
        (FIRST.sha256, SECOND.sha256, "rekey"),
        (SECOND.sha256, THIRD.sha256, "renewal"),
    ]
    assert len({line_of(census, issued) for issued in (FIRST, SECOND, THIRD)}) == 1


def test_several_states_in_one_round_keep_their_order(census: Census) -> None:
    host = census.host("web1")
    for issued in (FIRST, SECOND, THIRD):
        census.report(host, LIVE, certificate(issued))
    census.fold()
    # Both of one moment, so in no order of their own.
    assert {(p, s) for p, s, _ in steps(census)} == {
        (FIRST.sha256, SECOND.sha256),
        (SECOND.sha256, THIRD.sha256),
    }
    assert len(census.rows(select(schema.line))) == 1


def test_of_two_predecessors_the_one_with_more_live_places_gives_the_line(census: Census) -> None:
    wildcard = issue("*.example.com", issuer=ROOT, sans=("*.example.com",))
    host = census.host("web1")
    for path in ("/a.pem", "/b.pem"):
        census.report(host, path, certificate(FIRST))
    census.report(host, "/c.pem", certificate(SECOND))
    census.fold()
    line = line_of(census, FIRST)
    census.report(host, "/c.pem", certificate(wildcard))
    census.report(host, "/a.pem", certificate(wildcard))
    census.fold()
    assert line_of(census, wildcard) == line
    assert {p for p, _, _ in steps(census)} == {FIRST.sha256, SECOND.sha256}


def test_a_certificate_that_was_copied_first_gives_up_its_own_line(census: Census) -> None:
    host = census.host("web1")
    census.report(host, "/live.pem", certificate(FIRST))
    census.report(host, "/new.pem", certificate(SECOND))
    census.fold()
    assert line_of(census, FIRST) != line_of(census, SECOND)
    census.report(host, "/live.pem", certificate(SECOND))
    census.fold()
    assert line_of(census, FIRST) == line_of(census, SECOND)
    assert len(census.rows(select(schema.line))) == 1


def test_the_line_is_named_after_its_newest_certificate(census: Census) -> None:
    renamed = issue("shop.example.com", issuer=ROOT, sans=("shop.example.com",))
    host = census.host("web1")
    census.report(host, LIVE, certificate(FIRST))
    census.fold()
    assert census.row(select(schema.line.c.name))[0] == "www.example.com"
    census.report(host, LIVE, certificate(renamed))
    census.fold()
    assert census.row(select(schema.line.c.name))[0] == "shop.example.com"


def test_the_same_change_at_many_places_is_compared_once(
    census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[int] = []

    def counted(before: Sequence[Leaf], after: Sequence[Leaf]) -> list[Step]:
        compared.append(1)
        return find_steps(before, after)

    monkeypatch.setattr(fold_module, "find_steps", counted)
    hosts = [census.host(f"web{number}") for number in range(4)]
    for issued in (FIRST, SECOND):
        for host in hosts:
            census.report(host, LIVE, certificate(issued))
    census.fold()
    assert len(compared) <= 2  # the queue's worker takes four batches at a time
    assert steps(census) == [(FIRST.sha256, SECOND.sha256, "rekey")]
    assert counts_of(census, SECOND) == (4, 0, 4)


def test_an_older_certificate_put_back_is_no_successor(census: Census) -> None:
    host = census.host("web1")
    for issued in (FIRST, SECOND, FIRST):
        census.report(host, LIVE, certificate(issued))
        census.fold()
    assert steps(census) == [(FIRST.sha256, SECOND.sha256, "rekey")]


def test_a_file_that_was_away_for_a_moment_follows_itself(census: Census) -> None:
    host = census.host("web1")
    census.report(host, LIVE, certificate(FIRST))
    census.fold()
    census.gone(host, LIVE)
    census.fold()
    assert counts_of(census, FIRST) == (0, 0, 0)
    census.report(host, LIVE, certificate(SECOND))
    census.fold()
    assert steps(census) == [(FIRST.sha256, SECOND.sha256, "rekey")]


@pytest.mark.parametrize("cause", ["parser", "coverage", "reconcile"])
def test_what_is_no_news_makes_no_step_but_counts(census: Census, cause: str) -> None:
    host = census.host("web1")
    census.report(host, LIVE, certificate(FIRST))
    census.report(host, LIVE, certificate(SECOND), cause=cause)
    census.fold()
    assert steps(census) == []
    assert counts_of(census, SECOND) == (1, 0, 1)


def test_retained_copies_make_neither_steps_nor_lines(census: Census) -> None:
    host = census.host("web1")
    for issued in (FIRST, SECOND):
        census.report(host, "/backup/cert.pem.bak", certificate(issued), use="retained")
    census.fold()
    assert steps(census) == []
    assert line_of(census, FIRST) is line_of(census, SECOND) is None
    assert counts_of(census, SECOND) == (0, 1, 1)


def test_a_trust_store_is_counted_but_makes_no_lines(census: Census) -> None:
    roots = [issue(f"Root {n}", is_ca=True) for n in range(3)]
    hosts = [census.host(f"web{n}") for n in range(4)]
    for host in hosts:
        census.report(host, "/etc/ssl/ca.crt", *map(certificate, roots), role="trust-store")
    census.report(hosts[0], "/etc/own/root.pem", certificate(roots[0]), role="ca")
    census.report(hosts[0], "/etc/ssl/ca.crt", *map(certificate, roots[1:]), role="trust-store")
    census.fold()
    assert counts_of(census, roots[0]) == (4, 0, 4)
    assert counts_of(census, roots[1]) == (4, 0, 4)
    assert line_of(census, roots[0]) is not None
    assert line_of(census, roots[1]) is None


def test_certificates_gone_from_every_place_keep_their_row_and_line(census: Census) -> None:
    host = census.host("web1")
    census.report(host, LIVE, certificate(FIRST), private_key(FIRST.key))
    census.fold()
    line = line_of(census, FIRST)
    census.gone(host, LIVE)
    census.fold()
    assert counts_of(census, FIRST) == (0, 0, 0)
    assert line_of(census, FIRST) == line
    assert census.row(select(schema.public_key.c.live_places))[0] == 0


def test_a_key_counts_the_places_of_its_private_half_only(census: Census) -> None:
    host, other = census.host("web1"), census.host("web2")
    census.report(host, "/a.pem", certificate(FIRST), private_key(FIRST.key))
    census.report(host, "/a.key", private_key(FIRST.key))
    census.report(other, "/b.pem", certificate(FIRST))
    census.fold()
    key = census.row(select(schema.public_key))
    assert (key.live_places, key.retained_places, key.hosts) == (2, 0, 1)
    assert counts_of(census, FIRST) == (2, 0, 2)


def test_certificates_in_parts_of_a_long_manifest_count_and_step(census: Census) -> None:
    host = census.host("web1")
    census.report(host, "/part.pem", certificate(FIRST))
    census.report(host, "/whole.pem", certificate(ROOT))
    part = census.row(select(schema.place.c.manifest).where(schema.place.c.path == "/part.pem"))[0]
    whole = census.row(select(schema.place.c.manifest).where(schema.place.c.path == "/whole.pem"))[
        0
    ]
    with census.store.write() as connection:
        connection.execute(
            insert(schema.manifest_part).values(manifest=whole, position=0, part=part)
        )
    census.fold()
    assert counts_of(census, FIRST) == (2, 0, 1)
    census.report(host, "/whole.pem", certificate(SECOND))
    census.fold()
    assert (FIRST.sha256, SECOND.sha256, "rekey") in steps(census)
    assert counts_of(census, FIRST) == (1, 0, 1)


def test_a_place_that_stays_without_content_changes_nothing(census: Census) -> None:
    host = census.host("web1")
    census.report(host, "/locked.p12", status="locked")
    census.fold()
    assert census.rows(select(schema.certificate)) == []
    census.report(host, "/a.pem", certificate(b"\x30\x00"))
    with census.store.write() as connection:
        connection.execute(schema.blob.delete())
    census.fold()
    unread = hashlib.sha256(b"\x30\x00").digest()
    assert (
        census.rows(select(schema.certificate).where(schema.certificate.c.sha256 == unread)) == []
    )


def test_a_key_is_open_while_everybody_can_read_a_live_place_of_it(census: Census) -> None:
    def is_open() -> bool:
        census.fold()
        found: bool = census.row(select(schema.public_key.c.world_readable))[0]
        return found

    web, key = census.host("web1"), private_key(FIRST.key)
    census.report(web, "/a.key", key, mode=0o600, readable_by="owner")
    census.report(web, "/old.key", key, mode=0o644, readable_by="world", use="retained")
    census.report(web, "/etc/ssl/ca.key", key, readable_by="world", role="trust-store")
    assert not is_open()
    # By its mode, where the agent does not judge it.
    other = census.host("web2")
    census.report(other, "/b.key", key, mode=0o644)
    assert is_open()
    census.report(other, "/b.key", key, mode=0o640, cause="facts")
    assert not is_open()
    census.report(web, "/a.key", key, mode=0o644, readable_by="world", cause="facts")
    assert is_open()
    census.gone(web, "/a.key")
    assert not is_open()


def test_what_is_in_use_is_counted_outside_trust_stores(census: Census) -> None:
    def in_use() -> tuple[int, int]:
        census.fold()
        table = schema.certificate.c
        row = census.row(select(table.live_places, table.in_use))
        return row.live_places, row.in_use

    web, leaf = census.host("web1"), certificate(issue("www.example.com"))
    census.report(web, "/etc/ssl/a.pem", leaf, role="trust-store")
    assert in_use() == (1, 0)
    census.report(web, "/etc/b.pem", leaf)
    census.report(web, "/etc/c.pem", leaf, use="retained")
    assert in_use() == (2, 1)
    census.report(web, "/etc/b.pem", leaf, role="trust-store", cause="facts")
    assert in_use() == (2, 0)
    census.report(census.host("web2"), "/etc/d.pem", leaf)
    assert in_use() == (3, 1)
    census.gone(web, "/etc/ssl/a.pem")
    assert in_use() == (2, 1)
