"""What campaigns of recertification ask, of whom, and what becomes of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import issue
from fakes.recertified import BY, SHOP, Company
from sqlalchemy import select

from keycensus_collector.errors import ConflictError, UsageError
from keycensus_collector.ownership.leaving import leave
from keycensus_collector.ownership.people import Person, add_person
from keycensus_collector.ownership.settings import FALLBACK, change_setting
from keycensus_collector.ownership.teams import add_member, team_no
from keycensus_collector.ownership.worker import settle
from keycensus_collector.recertification import answers, campaigns
from keycensus_collector.recertification.answers import Answer, Answered
from keycensus_collector.recertification.campaigns import Wanted
from keycensus_collector.recertification.handing import IS_OPEN
from keycensus_collector.recertification.lines import page
from keycensus_collector.store.engine import Store
from keycensus_collector.store.schema import host
from keycensus_collector.store.tables.recertification import campaign_line


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("template")
    Company.create(directory).census.store.close()
    return directory / "collector.db"


@pytest.fixture
def company(template: Path, tmp_path: Path) -> Iterator[Company]:
    shutil.copy(template, tmp_path / "collector.db")
    with Store.open(f"sqlite:///{tmp_path}/collector.db") as store:
        yield Company(Census(store, batches=100))


def test_what_comes_later_is_no_part_and_what_is_gone_or_moved_is_told_apart(
    company: Company,
) -> None:
    found = company.start(lists=("certificates",))
    company.later()
    census = company.census
    with census.store.read() as connection:
        web, db = connection.execute(select(host.c.host_no).order_by(host.c.host_no)).scalars()
    census.report(web, "/etc/new.pem", certificate(issue("new.example.com", days=90)))
    renewed = issue("shop.example.com", days=600, key=SHOP.key)
    census.report(web, "/etc/shop.pem", certificate(renewed), private_key(SHOP.key))
    census.gone(db, "/etc/api.pem")
    census.gone(web, "/etc/shared.pem")
    census.fold()
    with census.store.write() as connection:
        settle(connection, company.now_ms)
    assert company.told(found) == {
        "db certificate api": "gone",
        "db certificate sh": "open",
        "web certificate sh": "moved",
        "web certificate shop": "open",
    }
    # Of a certificate its line is asked: the renewal is the same thing, and has the newest end.
    (shop,) = [each for each in company.lines(found, state="open") if each.owner == "web"]
    assert shop.id == renewed.sha256.hex()
    assert company.answer(found, Answer("confirmed"), IS_OPEN, "web") == Answered(1, 1)
    assert company.certs("recertified:confirmed") == {"shop"}
    assert company.certs("recertified:open") == {"sh"}
    assert company.certs("recertified:never") == {"new", "sh"}


def test_open_lines_move_with_what_a_person_held_who_leaves(company: Company) -> None:
    found = company.start()
    company.answer(found, Answer("confirmed"), company.of_query("name:shop.example.com"), "web")
    company.later()
    with company.census.store.write() as connection:
        leave(connection, "anna", to="desk", now_ms=company.now_ms, actor="test")
        settle(connection, company.now_ms)
    assert company.counts(found, "web") == {"confirmed": 1}
    assert company.counts(found, "desk") == {"open": 3}
    assert company.certs("recertified:open owner:desk") == {"sh"}
    # Who shares a thing that it takes over is not asked twice.
    with company.census.store.write() as connection:
        web, db = connection.execute(select(host.c.host_no).order_by(host.c.host_no)).scalars()
        assert (web, db) == (1, 2)
    company.later()
    with company.census.store.write() as connection:
        add_person(connection, Person("dora"), now_ms=company.now_ms, **BY)
        add_member(connection, "db", "dora", now_ms=company.now_ms, **BY)
        leave(connection, "dora", to="desk", now_ms=company.now_ms, actor="test")
        settle(connection, company.now_ms)
    assert [each.name for each in company.lines(found) if each.owner == "desk"].count(
        "sh.example.com"
    ) == 1
    assert company.counts(found, "desk") == {"open": 6}


def test_a_cancelled_campaign_counts_for_nothing_and_one_that_is_due_can_not_be_cancelled(
    company: Company,
) -> None:
    first = company.start("2d")
    company.answer(first, Answer("confirmed"))
    company.later(3)
    with company.census.store.write() as connection, pytest.raises(ConflictError, match="passed"):
        campaigns.cancel(connection, first, now_ms=company.now_ms, **BY)
    second = company.start()
    company.later()
    company.answer(second, Answer("disputed", "no"))
    assert company.certs("recertified:disputed") == {"api", "sh", "shop"}
    company.later()
    with company.census.store.write() as connection:
        campaigns.cancel(connection, second, now_ms=company.now_ms, **BY)
        second = campaigns.find_campaign(connection, second.name)
        assert second.state(company.now_ms) == "cancelled"
    assert company.certs("recertified:disputed") == set()
    assert company.certs("recertified:confirmed") == {"api", "sh", "shop"}
    assert company.certs("recertified:disputed as-of:1h") == {"api", "sh", "shop"}
    with pytest.raises(ConflictError, match="was cancelled by user:olga"):
        company.answer(second, Answer("confirmed"))
    cancelled = pytest.raises(ConflictError, match="was cancelled")
    with company.census.store.write() as connection, cancelled:
        campaigns.close(connection, second, now_ms=company.now_ms, **BY)


def test_an_answer_can_be_changed_and_taken_back_and_a_remark_leaves_it(company: Company) -> None:
    found = company.start(lists=("hosts",))
    company.answer(found, Answer("confirmed"))
    company.later()
    company.answer(found, Answer(None, "as in\x1b spring"), campaign_line.c.item == 1)
    first, second = company.lines(found)
    assert (first.state, first.remark, first.answered_by) == (
        "confirmed",
        "as in\\x1b spring",
        "user:olga",
    )
    assert first.answered_ms == second.answered_ms
    company.answer(found, Answer("open"), campaign_line.c.item == 1)
    first, second = company.lines(found)
    assert (first.state, first.remark, first.answered_by, first.answered_ms) == (
        "open",
        "",
        "",
        None,
    )
    assert second.state == "confirmed"


def test_nothing_is_ever_given_to_nobody(company: Company) -> None:
    found = company.start(lists=("hosts",))
    company.answer(found, Answer("disputed", "unknown"), campaign_line.c.item == 1)

    def accept() -> dict[str, int]:
        with company.census.store.write() as connection:
            lines = answers.meant(connection, found, campaign_line.c.answer == "disputed", None)
            given = answers.accept(connection, found, lines, now_ms=company.now_ms, **BY)
            settle(connection, company.now_ms)
            return given

    with pytest.raises(UsageError, match="set a fallback team"):
        accept()
    assert company.told(found) == {"db host db1": "disputed", "web host web1": "open"}
    with company.census.store.write() as connection:
        number = str(team_no(connection, "desk"))
        change_setting(connection, FALLBACK, number, now_ms=company.now_ms, **BY)
    assert accept() == {"desk": 1}
    assert company.told(found) == {"db host db1": "moved", "web host web1": "open"}
    assert company.certs("owner:desk") == {"api", "sh"}


def test_what_a_running_campaign_asks_is_not_asked_again(company: Company) -> None:
    company.start(query="host:web1", name="first")
    second = company.start(lists=("certificates",))
    assert company.told(second) == {"db certificate api": "open"}
    with pytest.raises(UsageError, match="not asked already"):
        company.start(lists=("certificates",))
    third = company.start(lists=("hosts",), team="web")
    assert company.told(third) == {"web host web1": "open"}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted("soon"), "a date or a length of time"),
        (Wanted("2020-01-01"), "lie ahead"),
        (Wanted("9y"), "within two years"),
        (Wanted("30d", name="No Name"), "can't name a campaign"),
        (Wanted("30d", team="nobody"), "there is no team"),
        (Wanted("30d", query="as-of:7d"), "leave as-of out"),
        (Wanted("30d", query="name:nothing.example.com"), "nobody holds anything"),
        (Wanted("30d", query="owner:"), "a value is missing"),
    ],
)
def test_what_can_not_be_a_campaign_is_said_and_leaves_nothing(
    company: Company, wanted: Wanted, said: str
) -> None:
    with pytest.raises(UsageError, match=said), company.census.store.write() as connection:
        campaigns.start(connection, wanted, asker="", now_ms=company.now_ms, **BY)
    with company.census.store.read() as connection:
        assert campaigns.list_campaigns(connection, before=None, limit=10) == []


def test_pages_have_every_line_once(company: Company) -> None:
    found = company.start()
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        with company.census.store.read() as connection:
            one = page(connection, found, company.now_ms, cursor=cursor, limit=3)
        seen += [each.item for each in one.lines]
        cursor = one.next
        assert (one.total, one.total_is_exact) == (8, True)
    assert seen == list(range(1, 9))


def test_too_many_lines_are_refused_whole(
    company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keycensus_collector.recertification.snapshot.MOST_LINES", 7)
    with pytest.raises(UsageError, match="more than 7 things"):
        company.start()
    with company.census.store.read() as connection:
        assert campaigns.list_campaigns(connection, before=None, limit=10) == []
