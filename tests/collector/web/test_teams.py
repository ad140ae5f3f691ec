"""The pages of teams and people: made, changed, ended; who leaves is told about first."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import hostile
from fakes.browser import signed_in
from fakes.recertified import API, BY, Company
from sqlalchemy import select, update

from keycensus_collector.access.users import add_user
from keycensus_collector.ownership.assignments import Thing
from keycensus_collector.ownership.people import Person, add_person, change_person
from keycensus_collector.ownership.teams import add_member
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store.schema import audit, user


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    made = Company.create(tmp_path_factory.mktemp("company"))
    with made.census.store.write() as connection:
        add_user(connection, name="anna", role="owner", now_ms=made.now_ms, actor="test")
        change_person(connection, Person("anna", user="anna"), actor="test", now_ms=made.now_ms)
        connection.execute(update(user).where(user.c.name == "anna").values(sees="teams"))
        add_person(connection, Person("bob", full_name="Bob B"), now_ms=made.now_ms, **BY)
    made.give(Thing("certificate", artifact=API.sha256), "bob")
    yield made
    made.census.store.close()


async def test_a_team_is_made_described_renamed_and_dissolved(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/teams")
        page = await browser.send(page, "/teams", 400, name="No Name")
        assert page.form("/teams").fields["name"] == ["No Name"]
        page = await browser.send(page, "/teams", 409, name="web")
        page = await browser.send(page, "/teams", name="pki", description="Our CA")
        assert "The team is saved." in page.words
        page = await browser.send(page, "/teams/pki", contact="#pki")
        assert "Reached at #pki." in page.words
        assert "Our CA" in page.words
        page = await browser.send(page, "/teams/pki/members", 404, person="nobody")
        assert page.form("/teams/pki/members").fields["person"] == ["nobody"]
        page = await browser.send(page, "/teams/pki/members", person="bob")
        assert "Bob B" in page.words
        page = await browser.send(page, "/teams/pki/members/remove")
        assert "nobody is in it" in page.words
        page = await browser.send(page, "/teams/pki/rename", 400, new_name="web")
        page = await browser.send(page, "/teams/pki/rename", new_name="trust")
        assert page.address.path == "/teams/trust"
        page = await browser.get("/teams/trust/dissolve", 400, into="trust")
        assert "can't take what it held itself" in page.words
        assert [form.method for form in page.forms if "/dissolve" in form.action] == ["get"]
        page = await browser.get("/teams/trust/dissolve")
        assert "Nobody is in it." in page.words
        with company.census.store.write() as connection:
            add_member(connection, "trust", "bob", now_ms=company.now_ms, **BY)
        page = await browser.send(page, "/teams/trust/dissolve", 412)
        assert "decide anew" in page.words
        assert "No longer in it: bob." in page.words
        page = await browser.send(page, "/teams/trust/dissolve")
        assert "The team is dissolved." in page.words
        assert "/teams/trust" not in page.links
        page = await browser.get("/teams", all="true")
        assert "/teams/trust" in page.links
        page = await browser.get("/teams/trust")
        assert [form.action for form in page.forms if form.method == "post"] == ["/sign-out"]
        await browser.get("/teams/none", 404)
    done = {
        row.action
        for row in company.census.rows(select(audit.c.action, audit.c.actor))
        if row.actor == "user:ann"
    }
    assert done >= {"team.create", "team.member.remove", "team.rename", "team.dissolve"}


async def test_what_a_team_owns_is_counted_as_its_lists_count(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/teams")
        page = await browser.send(page, "/fallback", fallback="desk")
        assert "answers for" in page.words
        figures: set[str] = set()
        for name in ("web", "db", "desk"):
            counted = (await browser.get(f"/teams/{name}")).tiles
            assert len(counted) == 5
            for way, figure in counted.items():
                listed = await browser.get(way)
                assert listed.total == figure, way
            figures |= set(counted.values())
        assert len(figures) > 2
        page = await browser.get("/teams")
        page = await browser.send(page, "/fallback", 400, fallback="nobody")
        page = await browser.send(page, "/fallback", fallback="")


async def test_who_leaves_is_told_about_and_leaves_if_it_is_still_so(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/people")
        page = await browser.send(page, "/people", 400, name="Carl C")
        page = await browser.send(page, "/people", name="carl", full_name="Carl C")
        page = await browser.send(page, "/people/carl", email="carl@example.com")
        assert "carl@example.com" in page.words
        page = await browser.get("/people", name="CARL@")
        assert "/people/carl" in page.links
        assert "/people/bob" not in page.links
        for who, there in (("active", True), ("no-team", True), ("left", False), ("", True)):
            page = await browser.get("/people", who=who)
            assert ("/people/carl" in page.links) == there, who
        assert "/people/anna" not in (await browser.get("/people", who="no-team")).links
        # Without a fallback team, somebody has to be named.
        page = await browser.get("/people/bob/leave")
        assert "there is no fallback team: what they hold needs one" in page.words
        assert not [form for form in page.forms if "digest" in form.fields]
        await browser.get("/people/bob/leave", 400, to="nobody")
        assert [form.action for form in page.forms if "/leave" in form.action] == [
            "/people/bob/leave"
        ]
        page = await browser.get("/people/bob/leave", to="db")
        assert "1 certificate with its renewals given by hand" in page.words
        told = [form for form in page.forms if "digest" in form.fields]
        with company.census.store.write() as connection:
            add_member(connection, "desk", "bob", now_ms=company.now_ms, **BY)
        sent = told[0].fields
        response = await browser.client.post("/people/bob/leave", data=sent)
        assert response.status_code == 412
        page = await browser.get("/people/bob/leave", to="db")
        assert "They are no longer in desk" in page.words
        page = await browser.send(page, "/people/bob/leave")
        assert "They have left." in page.words
        with company.census.store.write() as connection:
            settle(connection, company.now_ms)
        assert "api" in company.certs("owner:db")
        page = await browser.send(page, "/people/bob")
        assert "The person is saved." in page.words
        assert "They leave…" in page.words
        await browser.get("/people/none", 404)


async def test_who_may_only_look_is_offered_nothing_and_sees_in_scope_only(
    company: Company,
) -> None:
    async with signed_in(company.census, "anna") as browser:
        page = await browser.get("/teams")
        assert {link for link in page.links if link.startswith("/teams/")} == {"/teams/web"}
        assert "Certificates" in page.words
        await browser.get("/teams/db", 404)
        await browser.get("/people/bob", 404)
        for address in ("/teams", "/teams/web", "/people", "/people/anna"):
            page = await browser.get(address)
            assert {form.method for form in page.forms} == {"get", "post"}
            assert [form.action for form in page.forms if form.method == "post"] == ["/sign-out"]
        await browser.get("/teams/web/dissolve", 403)
        await browser.get("/people/anna/leave", 403)
        csrf = page.form("/sign-out").fields["csrf"][0]
        for path in ("/teams", "/teams/web", "/fallback", "/people", "/people/anna/leave"):
            response = await browser.client.post(path, data={"csrf": csrf, "name": "x"})
            assert response.status_code == 403, path


async def test_what_strangers_say_of_themselves_is_text(company: Company) -> None:
    async with signed_in(company.census) as browser:
        for number, text in enumerate(hostile.TEXTS[2:12:4]):
            page = await browser.get("/teams")
            page = await browser.send(
                page, "/teams", name=f"h{number}", description=text, contact=text
            )
            page = await browser.get("/people")
            page = await browser.send(
                page, "/people", name=f"p{number}", full_name=text, contact=text
            )
        texts = [
            (await browser.get(address)).text
            for address in ("/teams", "/people", "/teams/h2", "/people/p2", "/people/p2/leave")
        ]
        for text in hostile.TEXTS:
            response = await browser.client.get("/people", params={"name": text})
            texts.append(response.text)
            response = await browser.client.get("/people/p1/leave", params={"to": text})
            texts.append(response.text)
    for page_text in texts:
        assert "<img" not in page_text
        assert page_text.count("<script") == 1
