"""Marks stand, reach by key and by signature, and tell where what is marked comes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key, sealed_key
from fakes.pki import NOW_MS, Issued, issue, new_key
from sqlalchemy import select

from keycensus_collector.errors import UsageError
from keycensus_collector.inventory.certificates import list_certificates
from keycensus_collector.inventory.detail import certificate_detail, key_detail
from keycensus_collector.inventory.keys import list_keys
from keycensus_collector.marks.reach import MarkDetail, reach_of
from keycensus_collector.marks.stored import Mark, find_mark, lift_mark, list_marks, set_mark
from keycensus_collector.query.parse import parse
from keycensus_collector.store.schema import audit

DAY = 86_400_000
ROOT = issue("Example Root", is_ca=True, days=3650)
SUB = issue("Example Sub", issuer=ROOT, is_ca=True, days=2000)
LEAF = issue("www.example.com", issuer=SUB, days=60)
RENEWED = issue("www.example.com", issuer=SUB, days=90, key=LEAF.key)
OTHER = issue("other.example.com", days=60)
KEY_ID = private_key(LEAF.key).artifact


@pytest.fixture
def census(tmp_path: Path) -> Iterator[Census]:
    census = Census.create(tmp_path)
    yield census
    census.store.close()


def mark(census: Census, kind: str, subject: bytes, word: str = "compromised") -> Mark:
    with census.store.write() as connection:
        return set_mark(
            connection,
            kind=kind,
            subject=subject,
            word=word,
            reason="incident 7",
            actor="user:olga",
            now_ms=census.clock.now_ms(),
        )


def later(census: Census, days: float = 1) -> None:
    census.clock.current_ms += int(days * DAY)


def names(census: Census, query: str) -> list[str]:
    wanted = parse(query)
    with census.store.read() as connection:
        page = list_certificates(connection, wanted, census.clock.now_ms())
    return [item.name for item in page.items]


def key_ids(census: Census, query: str) -> list[str]:
    wanted = parse(query)
    with census.store.read() as connection:
        return [item.id for item in list_keys(connection, wanted, census.clock.now_ms()).items]


def reach(census: Census, number: int) -> MarkDetail:
    with census.store.read() as connection:
        found = find_mark(connection, number)
        assert found is not None
        return reach_of(connection, found, census.clock.now_ms())


def test_a_mark_on_a_key_reaches_its_certificates_and_says_every_place(census: Census) -> None:
    web, db = census.host("web1"), census.host("db1")
    census.report(web, "/etc/a.pem", certificate(LEAF))
    census.report(db, "/etc/b.pem", certificate(RENEWED), use="retained")
    census.report(db, "/etc/b.key", private_key(LEAF.key), mode=0o600)
    census.report(db, "/etc/other.pem", certificate(OTHER))
    census.fold()
    made = mark(census, "key", KEY_ID)
    found = reach(census, made.number)
    assert (found.certificates, found.keys, found.hosts, found.places_total) == (2, 1, 2, 3)
    assert [(place.host, place.path) for place in found.places] == [
        ("db1", "/etc/b.key"),
        ("web1", "/etc/a.pem"),
        ("db1", "/etc/b.pem"),
    ]
    assert names(census, "marked:compromised") == ["www.example.com"]
    assert names(census, "marked:compromised use:any") == ["www.example.com"] * 2
    assert names(census, "mark:none") == ["other.example.com"]
    assert names(census, "marked:distrusted") == []
    assert key_ids(census, "marked:any") == [KEY_ID.hex()]


def test_a_mark_on_an_authority_reaches_all_below_it_by_its_key(census: Census) -> None:
    again = issue("Example Sub", issuer=ROOT, is_ca=True, days=3000, key=SUB.key)
    web = census.host("web1")
    census.report(web, "/etc/a.pem", certificate(LEAF), certificate(SUB))
    census.report(web, "/etc/other.pem", certificate(OTHER))
    census.report(web, "/etc/ca.pem", certificate(again), certificate(ROOT))
    census.fold()
    made = mark(census, "certificate", again.sha256, "distrusted")
    assert made.authority
    assert names(census, "marked:distrusted") == ["www.example.com", "Example Sub"]
    lifted = mark(census, "certificate", ROOT.sha256)
    assert sorted(names(census, "marked:compromised")) == [
        "Example Root",
        "Example Sub",
        "Example Sub",
        "www.example.com",
    ]
    assert reach(census, lifted.number).certificates == 4


def test_what_stands_already_is_no_reappearance_and_what_comes_is(census: Census) -> None:
    web, db = census.host("web1"), census.host("db1")
    census.report(web, "/etc/a.pem", certificate(LEAF))
    census.fold()
    later(census)
    made = mark(census, "certificate", LEAF.sha256)
    later(census)
    census.report(web, "/etc/a.pem", certificate(LEAF), mode=0o600)  # no other content
    census.fold()
    assert names(census, "reappeared:yes") == []
    assert reach(census, made.number).reappearances == []

    census.gone(web, "/etc/a.pem")
    census.report(db, "/root/old.pem", certificate(LEAF), use="retained")  # a copy, not in use
    census.fold()
    assert names(census, "reappeared:yes use:any") == []

    later(census)
    census.report(web, "/etc/a.pem", certificate(LEAF))
    census.report(db, "/srv/new.pem", certificate(LEAF), cause="first")
    census.fold()
    assert names(census, "reappeared:yes") == ["www.example.com"]
    assert names(census, "reappeared:yes as-of:1d") == []
    found = reach(census, made.number)
    assert found.mark.reappeared == 2
    assert [(each.host, each.path, each.cause) for each in found.reappearances] == [
        ("db1", "/srv/new.pem", "first"),
        ("web1", "/etc/a.pem", "content"),
    ]


def test_a_key_that_comes_back_is_told_sealed_ones_too(census: Census) -> None:
    web = census.host("web1")
    sealed = sealed_key(b"box")
    for subject in (KEY_ID, sealed.artifact):  # neither was ever seen here
        mark(census, "key", subject)
    later(census)
    census.report(web, "/etc/k.pem", private_key(LEAF.key), sealed)
    census.fold()
    assert sorted(key_ids(census, "reappeared:yes")) == sorted(
        [KEY_ID.hex(), sealed.artifact.hex()]
    )


def test_a_certificate_whose_issuer_is_found_later_is_told_then(census: Census) -> None:
    web = census.host("web1")
    census.report(web, "/etc/ca.pem", certificate(ROOT))
    census.fold()
    made = mark(census, "certificate", ROOT.sha256, "distrusted")
    later(census)
    # Folded while nobody knows who issued it: SUB comes a day after.
    census.report(web, "/etc/a.pem", certificate(LEAF))
    census.fold()
    began = census.clock.now_ms()
    later(census)
    assert names(census, "reappeared:yes") == []
    census.report(web, "/etc/sub.pem", certificate(SUB))
    census.fold()
    found = reach(census, made.number)
    assert {each.path for each in found.reappearances} == {"/etc/sub.pem", "/etc/a.pem"}
    assert names(census, "reappeared:yes name:www*") == ["www.example.com"]
    by_path = {each.path: each.at for each in found.reappearances}
    with census.store.read() as connection:
        own = certificate_detail(connection, LEAF.sha256, NOW_MS)
    assert own is not None
    assert by_path["/etc/a.pem"] == own.history[0].since
    assert began < census.clock.now_ms()
    assert [(m.on, m.name, m.reappeared) for m in own.marks] == [
        ("an authority above", "Example Root", 1)
    ]


def test_marks_are_intervals_and_audited(census: Census) -> None:
    web = census.host("web1")
    census.report(web, "/etc/a.pem", certificate(LEAF), private_key(LEAF.key))
    census.fold()
    later(census)
    made = mark(census, "certificate", LEAF.sha256)
    with pytest.raises(UsageError, match=f"mark {made.number}"):
        mark(census, "certificate", LEAF.sha256)
    later(census, 2)
    with census.store.write() as connection:
        lifted = lift_mark(
            connection,
            made.number,
            reason=" a drill ",
            actor="user:ada",
            now_ms=census.clock.now_ms(),
        )
        again = lift_mark(
            connection, made.number, reason="x", actor="a", now_ms=census.clock.now_ms()
        )
    assert lifted is not None
    assert (lifted.lifted_by, lifted.lifted_reason, again) == ("user:ada", "a drill", None)
    assert names(census, "marked:any") == []
    assert names(census, "marked:any as-of:1d") == ["www.example.com"]
    assert names(census, "marked:any as-of:3d") == []
    with census.store.read() as connection:
        assert list_marks(connection, standing=True, after=None, limit=9) == []
        assert [m.number for m in list_marks(connection, standing=False, after=None, limit=9)] == [
            made.number
        ]
        own, its_key = (
            certificate_detail(connection, LEAF.sha256, NOW_MS),
            key_detail(connection, KEY_ID),
        )
    assert own is not None
    assert its_key is not None
    assert (own.marks, its_key.marks) == ([], [])
    actions = [row.action for row in census.rows(select(audit).order_by(audit.c.audit_no))]
    assert actions == ["mark.set", "mark.lift"]
    mark(census, "certificate", LEAF.sha256)  # can be set again


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_mark_without_a_reason_is_refused(census: Census, reason: str) -> None:
    with census.store.write() as connection, pytest.raises(UsageError, match="needs a reason"):
        set_mark(
            connection,
            kind="key",
            subject=bytes(32),
            word="compromised",
            reason=reason,
            actor="a",
            now_ms=1,
        )


def test_circles_of_authorities_end(census: Census) -> None:
    key_a, key_b = new_key(), new_key()
    one = issue("A", is_ca=True, key=key_a)
    two = issue("B", is_ca=True, key=key_b)
    crossed = [
        issue("A", is_ca=True, key=key_a, issuer=Issued(two.der, key_b)),
        issue("B", is_ca=True, key=key_b, issuer=Issued(one.der, key_a)),
    ]
    web = census.host("web1")
    census.report(web, "/etc/x.pem", *map(certificate, [one, two, *crossed]))
    census.fold()
    later(census)
    mark(census, "key", private_key(key_a).artifact)
    assert sorted(names(census, "marked:any")) == ["A", "A", "B"]  # the one that A issued
    later(census)
    census.report(web, "/etc/y.pem", *map(certificate, [one, two, *crossed]))
    census.fold()
    assert sorted(names(census, "reappeared:yes")) == ["A", "A", "B"]
