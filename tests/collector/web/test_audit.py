"""The page of the audit log: narrowed down, page by page, with its chain; for admins only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import hostile
from fakes.browser import signed_in
from fakes.census import Census
from fakes.markup import check_accessible, check_inert
from sqlalchemy import update

from keycensus_collector.access import audit
from keycensus_collector.store import schema

_DAY_SECONDS = 86_400


@pytest.fixture
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    yield census
    census.store.close()


def record(census: Census, action: str, subject: str, **detail: object) -> None:
    now_ms = census.clock.now_ms()
    with census.store.write() as connection:
        audit.record(
            connection, at_ms=now_ms, actor="user:bo", action=action, subject=subject, detail=detail
        )


async def test_rows_are_narrowed_down_and_come_in_pages(census: Census) -> None:
    for number in range(105):
        record(census, "team.save", f"team{number}", members=number)
    census.clock.advance(3 * _DAY_SECONDS)
    record(census, "mark.set", "www", reason="broken into")
    async with signed_in(census) as browser:
        page = await browser.get("/audit")
        check_accessible(page)
        assert "reason broken into" in page.words
        assert "team8 " in page.words
        assert "team4 " not in page.words
        (following,) = [link for link in page.links if "before=" in link]
        page = await browser.get(following)
        assert "team4 " in page.words
        assert "team8 " not in page.words
        page = await browser.get("/audit", since="1d", actor="user:bo")
        assert "mark.set" in page.words
        assert "team.save" not in page.words
        page = await browser.get("/audit", until="2d", action="mark.")
        assert "No row fits." in page.words
        page = await browser.get("/audit", action="team.", subject="team7")
        assert "members 7" in page.words
        assert "team8" not in page.words
        page = await browser.get("/audit", 400, since="yesterday")
        assert "'yesterday' is no date or age" in page.words
        rest = await browser.client.get("/api/v1/audit", params={"since": "1d", "action": "mark."})
        assert [row["subject"] for row in rest.json()] == ["www"]


async def test_a_row_that_was_changed_is_named(census: Census) -> None:
    record(census, "team.save", "one")
    record(census, "team.save", "two")
    async with signed_in(census) as browser:
        page = await browser.get("/audit/chain")
        assert "The chain is whole." in page.words
        with census.store.write() as connection:
            connection.execute(
                update(schema.audit).where(schema.audit.c.subject == "two").values(subject="three")
            )
        page = await browser.get("/audit/chain")
        assert "is not as it was written: it, or a row before it" in page.words
        answer = (await browser.client.get("/api/v1/audit/chain")).json()
        assert (answer["rows"], answer["broken"]) == (1, 2)


async def test_operators_are_not_led_to_it_and_strangers_text_stays_text(census: Census) -> None:
    async with signed_in(census, "opa", "operator") as browser:
        page = await browser.get("/")
        assert "/audit" not in page.links
        for address in ("/audit", "/audit/chain"):
            await browser.get(address, 403)
    for text in hostile.TEXTS:
        record(census, "team.save", text, text=text, inner={"texts": [text]})
    async with signed_in(census) as browser:
        page = await browser.get("/audit")
        check_inert(page)
        for text in hostile.TEXTS:
            check_inert(await browser.get("/audit", subject=text))
