"""Owners, labels and marks changed at pages: chosen, told first, done if it is still so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from fakes import hostile
from fakes.browser import Browser, Page, signed_in
from fakes.census import Census
from fakes.recertified import API, SHARED, SHOP, Company
from sqlalchemy import select, update

from keycensus_collector.access.users import add_user
from keycensus_collector.ownership.assignments import Thing
from keycensus_collector.ownership.people import Person, change_person
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store.schema import audit, host, user

QUERY = "name:*.example.com"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    made = Company.create(tmp_path_factory.mktemp("company"))
    with made.census.store.write() as connection:
        add_user(connection, name="anna", role="owner", now_ms=made.now_ms, actor="test")
        change_person(connection, Person("anna", user="anna"), actor="test", now_ms=made.now_ms)
        connection.execute(update(user).where(user.c.name == "anna").values(sees="teams"))
    yield made
    made.census.store.close()


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    made = hostile.fill(tmp_path_factory.mktemp("hostile"))
    yield made
    made.store.close()


def settled(company: Company) -> None:
    with company.census.store.write() as connection:
        settle(connection, company.now_ms)


async def chosen(browser: Browser, what: str, *ids: str) -> Page:
    """Open what the list's form leads to when these rows are checked."""
    given = {"what": what, "id": ids, "of": "chosen"}
    return await browser.get(f"/change?{urlencode(given, doseq=True)}")


async def test_chosen_rows_are_given_to_a_team_after_it_was_told(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/certificates", q=QUERY)
        ids = [SHOP.sha256.hex(), API.sha256.hex()]
        assert all(f'name="id" value="{each}"' in page.text for each in ids)
        page = await chosen(browser, "certificates", *ids)
        assert "Change 2 certificates" in page.words
        page = await browser.send(page, "/change/owner", 400, owner="desk")
        assert "say why" in page.words
        page = await browser.send(page, "/change/owner", 200, owner="desk", owner_reason="moved")
        assert "shop.example.com" in page.words
        assert company.certs("owner:desk") == set()
        # Somebody is faster: what was told is not what would be done.
        company.give(Thing("certificate", artifact=SHOP.sha256), "desk")
        page = await browser.send(page, "/change/owner", 412)
        assert "decide anew" in page.words
        assert "Would change 1" in page.words
        assert company.certs("owner:desk") == {"shop"}
        page = await browser.send(page, "/change/owner")
        assert "It is done." in page.words
        settled(company)
        assert company.certs("owner:desk") == {"api", "shop"}
        page = await chosen(browser, "certificates", *ids)
        page = await browser.send(page, "/change/owner", 200, owner_how="take")
        assert "desk: 2" in page.words
        await browser.send(page, "/change/owner")
        settled(company)
        assert company.certs("owner:desk") == set()


async def test_all_that_a_query_lists_is_labelled_and_marked(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/change", what="certificates", q=QUERY, of="all")
        page = await browser.send(page, "/change/label", 200, label_key="tier", label_value="gold")
        assert "Set the label tier=gold: 3" in page.words
        page = await browser.send(page, "/change/label")
        assert (page.address.path, page.address.params["q"]) == ("/certificates", QUERY)
        assert company.certs("label.tier:gold") == {"api", "sh", "shop"}
        page = await browser.get("/change", what="certificates", q=QUERY, of="all")
        page = await browser.send(page, "/change/mark", 400, mark_how="compromised")
        page = await browser.send(page, "/change/mark", 200, mark_reason="it leaked")
        await browser.send(page, "/change/mark")
        assert company.certs("marked:compromised") == {"api", "sh", "shop"}
    rows = company.census.rows(select(audit.c.action, audit.c.actor, audit.c.detail))
    assert [row.actor for row in rows if row.action == "mark.set"] == ["user:ann"]
    assert any(QUERY in row.detail for row in rows if row.action == "mark.set")


async def test_a_page_of_one_thing_has_the_same_forms_and_lifts_its_marks(
    company: Company,
) -> None:
    there = f"/certificates/{SHARED.sha256.hex()}"
    async with signed_in(company.census) as browser:
        page = await browser.get(there)
        page = await browser.send(page, "/change/mark", 200, mark_how="distrusted", mark_reason="x")
        page = await browser.send(page, "/change/mark")
        assert page.address.path == there
        lifts = [form.action for form in page.forms if form.action.endswith("/lift")]
        page = await browser.send(page, lifts[0], 400)
        assert "reason" in page.words
        page = await browser.get(there)
        page = await browser.send(page, lifts[0], reason="by mistake")
        assert page.address.path == there
        left = [form.action for form in page.forms if form.action.endswith("/lift")]
        assert left == lifts[1:]
        host_id = company.census.rows(select(host.c.host_id))[0][0]
        page = await browser.get(f"/hosts/{host_id}")
        page = await browser.send(page, "/change/label", 200, label_key="env", label_value="prod")
        page = await browser.send(page, "/change/label")
        assert "env prod by hand" in page.words


async def test_nothing_chosen_and_no_query_are_said(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/change", 400, what="hosts")
        assert "No row was chosen" in page.words
        page = await browser.get("/change", 400, what="hosts", of="all")
        assert "Say which hosts" in page.words
        page = await browser.get("/change", what="places", q="path:/etc/*", of="all")
        assert [form.action for form in page.forms if "/change/" in form.action] == [
            "/change/owner"
        ]
        told = await browser.send(page, "/change/owner", 200, owner="desk", owner_reason="x")
        assert "Would change 5" in told.words
        page = await browser.send(
            page, "/change/owner", 400, owner="web", owner_reason="x", q="pth:x"
        )
        assert "^^^" in page.words


async def test_who_may_not_is_offered_nothing_and_an_owner_changes_owners_alone(
    company: Company,
) -> None:
    there = f"/certificates/{SHOP.sha256.hex()}"
    async with signed_in(company.census, "vic", "viewer") as browser:
        for address in (f"/certificates?q={QUERY}", there):
            page = await browser.get(address)
            assert not any("/change" in form.action for form in page.forms)
        await browser.get("/change", 403, what="hosts")
        csrf = page.form("/sign-out").fields["csrf"][0]
        for name in ("owner", "label", "mark"):
            response = await browser.client.post(f"/change/{name}", data={"csrf": csrf})
            assert response.status_code == 403
    async with signed_in(company.census, "anna") as browser:
        page = await browser.get(there)
        assert [form.action for form in page.forms if "/change/" in form.action] == [
            "/change/owner"
        ]
        page = await chosen(browser, "certificates", SHOP.sha256.hex(), API.sha256.hex())
        page = await browser.send(page, "/change/owner", 200, owner="web", owner_reason="mine")
        assert "is not in the inventory" in page.words
        assert "api.example.com" not in page.words
        csrf = page.form("/sign-out").fields["csrf"][0]
        response = await browser.client.post("/change/label", data={"csrf": csrf})
        assert response.status_code == 403


async def test_names_of_strangers_are_text_in_what_is_told(strangers: Census) -> None:
    async with signed_in(strangers) as browser:
        page = await browser.get("/change", what="certificates", q="expires<90d", of="all")
        page = await browser.send(page, "/change/mark", 200, mark_reason=hostile.TEXTS[10])
        assert {"script", "img"} & page.elements == {"script"}
        assert "onerror" not in page.attributes
        assert all(hostile.is_inert(line) for line in page.words.split("\n"))
        await browser.send(page, "/change/mark")
        page = await browser.get("/certificates", q="marked:compromised")
        there = next(
            link for link in page.links if re.fullmatch("/certificates/[0-9a-f]{64}", link)
        )
        page = await browser.get(there)
        assert "Lift this mark" in page.words
        assert "onerror" not in page.attributes
        assert hostile.is_inert(page.words)
