"""The pages of recertification: started after it was told whom it asks, answered, disputes accepted, ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import hostile
from fakes.browser import Browser, Page, signed_in
from fakes.recertified import Company
from sqlalchemy import select, update

from keycensus_collector.access.users import add_user
from keycensus_collector.ownership.people import Person, change_person
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store.schema import user
from keycensus_collector.store.tables.recertification import campaign


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    made = Company.create(tmp_path_factory.mktemp("company"))
    with made.census.store.write() as connection:
        add_user(connection, name="anna", role="owner", now_ms=made.now_ms, actor="test")
        change_person(connection, Person("anna", user="anna"), actor="test", now_ms=made.now_ms)
        connection.execute(update(user).where(user.c.name == "anna").values(sees="teams"))
    yield made
    made.census.store.close()


async def press(
    browser: Browser, page: Page, action: str, said: dict[str, str], status: int = 303
) -> Page:
    """Send the form of a campaign's lines with one of its buttons, some of which lead elsewhere."""
    form = next(form for form in page.forms if "mine" in form.fields)
    response = await browser.client.post(action, data=form.fields | said)
    assert response.status_code == status, response.text
    if status != 303:
        return Page(response)
    return await browser.get(response.headers["Location"])


async def test_a_campaign_is_told_then_started_then_answered_by_its_owners(
    company: Company,
) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/recertification")
        page = await browser.send(page, "/recertification", 400, by="yesterday")
        assert page.form("/recertification").fields["by"] == ["yesterday"]
        page = await browser.send(page, "/recertification", 200, by="30d", name="q4", do="preview")
        assert "Whom it would ask" in page.words
        assert "of 2 owners." in page.words
        assert company.census.rows(select(campaign)) == []
        page = await browser.send(page, "/recertification", do="start")
        assert page.address.path == "/recertification/q4"
        assert "/recertification/q4?team=web&state=open" in page.links
    async with signed_in(company.census, "anna") as browser:
        page = await browser.get("/recertification")
        assert "Yours to confirm" in page.words
        way = next(link for link in page.links if "mine=true" in link)
        page = await browser.get(way)
        assert "api.example.com" not in page.words
        count = page.text.count('name="item"')
        assert count == 4
        first = page.text.partition('name="confirm" value="')[2].partition('"')[0]
        page = await press(browser, page, "/recertification/q4", {"confirm": first})
        assert page.text.count('name="item"') == count - 1
        said = {"answer": "open", "do": "chosen"}
        page = await press(browser, page, "/recertification/q4", said, 400)
        assert "No line was chosen" in page.words
        said = {"answer": "disputed", "do": "all"}
        page = await press(browser, page, "/recertification/q4", said, 400)
        assert "say why" in page.words
        said |= {"remark": "it moved"}
        page = await press(browser, page, "/recertification/q4", said)
        assert "No line stands so." in page.words
        await browser.get("/recertification/none", 404)
        csrf = page.form("/sign-out").fields["csrf"][0]
        for path in ("", "/q4/accept", "/q4/close", "/q4/cancel"):
            response = await browser.client.post(f"/recertification{path}", data={"csrf": csrf})
            assert response.status_code == 403, path


async def test_disputes_are_accepted_and_the_campaign_is_closed(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/recertification/q4", state="disputed")
        disputed = page.text.count('name="item"')
        item = page.text.partition('name="item" value="')[2].partition('"')[0]
        said = {"do": "chosen", "item": item}
        whose = {"answer": "disputed", "remark": "it moved", "proposed": "db"}
        page = await press(browser, page, "/recertification/q4", said | whose)
        assert "it is db" in page.words
        page = await press(browser, page, "/recertification/q4/accept", said)
        with company.census.store.write() as connection:
            settle(connection, company.now_ms)
        page = await browser.get("/recertification/q4", state="disputed")
        assert page.text.count('name="item"') == disputed - 1
        # Of the others nobody says whose they are.
        page = await press(browser, page, "/recertification/q4/accept", {"do": "all"}, 400)
        assert "set a fallback team" in page.words
        page = await browser.get("/recertification/q4", team="db")
        await press(browser, page, "/recertification/q4", {"do": "all", "answer": "confirmed"})
        page = await browser.get("/recertification/q4")
        page = await browser.send(page, "/recertification/q4/close")
        assert "The campaign is closed." in page.words
        assert [form.action for form in page.forms] == ["/find", "/sign-out"]


async def test_a_campaign_that_is_cancelled_takes_no_answers(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/recertification")
        page = await browser.send(
            page, "/recertification", by="10d", name="again", lists="hosts", do="start"
        )
        page = await browser.send(page, "/recertification/again/cancel")
        assert "counts for nothing" in page.words
    async with signed_in(company.census, "vic", "viewer") as browser:
        for address in ("/recertification", "/recertification/again", "/recertification/q4"):
            page = await browser.get(address)
            assert [form.action for form in page.forms] == ["/find", "/sign-out"]


async def test_remarks_and_queries_of_strangers_are_text(company: Company) -> None:
    async with signed_in(company.census) as browser:
        for number, text in enumerate(hostile.TEXTS[2:12:4]):
            page = await browser.get("/recertification")
            await browser.send(
                page, "/recertification", by="10d", name=f"h{number}", lists="hosts", do="start"
            )
            page = await browser.get(f"/recertification/h{number}", team="db")
            said = {"answer": "disputed", "remark": text, "do": "all"}
            page = await press(browser, page, f"/recertification/h{number}", said)
            assert "<img" not in page.text
            assert page.text.count("<script") == 1
            assert hostile.is_inert(page.words)
            page = await browser.send(page, f"/recertification/h{number}/cancel")
            response = await browser.client.get(f"/recertification/{text!r}")
            assert response.status_code == 404
            assert "<img" not in response.text
