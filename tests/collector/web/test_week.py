"""What the overview tells of the last seven days: each thing once, under the word for what happened to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fakes.browser import signed_in
from fakes.census import Census, certificate, private_key
from fakes.pki import issue

from keycensus_collector.inventory.counts import count
from keycensus_collector.query.parse import parse
from keycensus_collector.views.week import WEEK

pytestmark = pytest.mark.usefixtures("each_database")

ROOT = issue("Example Root", is_ca=True, days=3650)
OLD = issue("shop.example.com", issuer=ROOT, days=5)
NEW = issue("shop.example.com", issuer=ROOT, days=95)
LOST = issue("lost.example.com", issuer=ROOT, days=50)
_DAY = 86_400


async def test_the_week_tells_what_came_was_renewed_changed_and_went(tmp_path: Path) -> None:
    census = Census.create(tmp_path)
    host = census.host("web1")
    census.report(host, "/etc/shop.pem", certificate(OLD))
    census.report(host, "/etc/lost.pem", certificate(LOST))
    census.report(host, "/etc/calm.pem", certificate(ROOT))
    await census.work()
    assert _told(census) == {
        "certificates appeared": 3,
        "places appeared": 3,
        "hosts came": 1,
    }
    census.clock.advance(10 * _DAY)
    assert _told(census) == {}
    census.report(host, "/etc/shop.pem", certificate(NEW), private_key(NEW.key))
    census.gone(host, "/etc/lost.pem")
    census.gap(host, "/srv")
    await census.work()
    week = {
        "certificates appeared": 1,
        "certificates renewed": 1,
        "certificates went": 2,  # OLD, too
        "keys appeared": 1,
        "places changed": 1,
        "gaps opened": 1,
    }
    assert _told(census) == week
    async with signed_in(census, "ada") as browser:
        assert "The last seven days" in (await browser.get("/")).words
    census.clock.advance(10 * _DAY)
    assert _told(census) == {}
    assert _told(census, "9d") == week
    # What came back is not gone.
    census.report(host, "/etc/lost.pem", certificate(LOST))
    await census.work()
    with census.store.read() as connection:
        now_ms = census.clock.now_ms()
        assert count(connection, parse("gone>7d"), "certificates", now_ms) == 1
        assert count(connection, parse("renewed>7d"), "certificates", now_ms) == 1
    census.store.close()


def _told(census: Census, as_of: str = "") -> dict[str, int]:
    """Return the figures of the week that are not zero."""
    day = f" as-of:{as_of}" if as_of else ""
    with census.store.read() as connection:
        now_ms = census.clock.now_ms()
        told = {
            view.name: count(connection, parse(view.query + day), view.what, now_ms)
            for view in WEEK
        }
    return {name: number for name, number in told.items() if number}
