"""The life of a campaign, on SQLite and on PostgreSQL."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.recertified import BY, Company

from keycensus_collector.inventory.hosts import list_hosts
from keycensus_collector.inventory.keys import list_keys
from keycensus_collector.inventory.place_list import list_places
from keycensus_collector.ownership.worker import settle
from keycensus_collector.query.parse import parse
from keycensus_collector.recertification import answers, campaigns
from keycensus_collector.recertification.answers import Answer, Answered
from keycensus_collector.recertification.handing import IS_OPEN
from keycensus_collector.store.tables.recertification import campaign_line


@pytest.mark.usefixtures("each_database")
def test_a_campaign_lives_alike_on_both(tmp_path: Path) -> None:
    company = Company.create(tmp_path)
    company.later()
    found = company.start()
    assert found.name == "by-2026-12-24"
    assert company.told(found) == {
        "db certificate api": "open",
        "db certificate sh": "open",
        "db host db1": "open",
        "db key ": "open",
        "web certificate sh": "open",
        "web certificate shop": "open",
        "web host web1": "open",
        "web key ec": "open",
    }
    assert company.certs("recertified:open") == {"api", "sh", "shop"}
    assert company.certs("recertified:never") == {"api", "sh", "shop"}
    company.later()
    assert company.answer(found, Answer("confirmed"), IS_OPEN, "db") == Answered(4, 4)
    dispute = Answer("disputed", "not ours", "desk")
    shop = company.of_query("name:shop.example.com")
    assert company.answer(found, dispute, shop, "web") == Answered(1, 1)
    assert company.answer(found, dispute, shop, "web") == Answered(1, 0)
    assert company.counts(found, "db") == {"confirmed": 4}
    assert company.counts(found, "web") == {"disputed": 1, "open": 3}
    assert company.certs("recertified:confirmed") == {"api", "sh"}
    assert company.certs("recertified:disputed") == {"shop"}
    assert company.certs("recertified:open") == {"sh"}
    assert company.certs("recertified<1d not recertified:never") == {"api", "sh"}
    with company.census.store.read() as connection:
        now_ms = company.now_ms
        hosts = list_hosts(connection, parse("recertified:confirmed"), now_ms)
        assert [item.name for item in hosts.items] == ["db1"]
        keys = list_keys(connection, parse("recertified:confirmed"), now_ms)
        assert [item.kind for item in keys.items] == ["sealed-key"]
        places = list_places(connection, parse("recertified:confirmed"), now_ms)
        assert {item.host for item in places.items} == {"db1"}
    company.later(40)
    assert company.counts(found, "web") == {"disputed": 1, "lapsed": 3}
    assert company.certs("recertified:lapsed") == {"sh"}
    assert company.certs("recertified:open") == set()
    assert company.certs("recertified>30d") == {"api", "sh"}
    assert company.certs("recertified:open as-of:39d") == {"sh"}
    assert company.certs("recertified:open as-of:41d") == {"api", "sh", "shop"}
    assert company.certs("recertified:confirmed as-of:41d") == set()
    with company.census.store.write() as connection:
        lines = answers.meant(connection, found, campaign_line.c.answer == "disputed", None)
        assert answers.accept(connection, found, lines, now_ms=company.now_ms, **BY) == {"desk": 1}
        settle(connection, company.now_ms)
        campaigns.close(connection, found, now_ms=company.now_ms, **BY)
    assert company.certs("owner:desk") == {"shop"}
    # A key follows the owner of its certificate.
    assert company.counts(found, "web") == {"moved": 2, "lapsed": 2}
    again = company.start(query="name:*.example.com", name="again")
    assert company.told(again) == {
        "db certificate api": "open",
        "db certificate sh": "open",
        "desk certificate shop": "open",
        "web certificate sh": "open",
    }
    assert company.certs("recertified:lapsed") == set()
    company.later()
    assert company.certs("recertified:lapsed as-of:36h") == {"sh"}
    assert company.certs("recertified:open") == {"api", "sh", "shop"}
    assert company.certs("recertified>30d") == {"api", "sh"}
