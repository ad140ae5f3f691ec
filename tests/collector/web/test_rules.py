"""The page of rules: shown as they win, tried, put in force, and not over what somebody else put there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fakes import hostile
from fakes.browser import signed_in
from fakes.recertified import BY, Company
from sqlalchemy import update

from keycensus_collector.access.users import add_user
from keycensus_collector.ownership.applying import apply_rules
from keycensus_collector.ownership.people import Person, change_person
from keycensus_collector.store.schema import user

FILE = """owners:
  - rule: every-host
    of: hosts
    host: "*"
    owner: desk
  - rule: shop
    of: certificates
    name: shop.example.com
    owner: web
labels:
  - rule: tier
    of: hosts
    set: tier=gold
    host: web1
"""


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    made = Company.create(tmp_path_factory.mktemp("company"))
    with made.census.store.write() as connection:
        add_user(connection, name="anna", role="owner", now_ms=made.now_ms, actor="test")
        change_person(connection, Person("anna", user="anna"), actor="test", now_ms=made.now_ms)
        connection.execute(update(user).where(user.c.name == "anna").values(sees="teams"))
    yield made
    made.census.store.close()


async def test_rules_are_tried_then_put_in_force_and_shown_as_they_win(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/rules")
        assert "No rule says" in page.words
        page = await browser.send(page, "/rules", 400, text="owners:\n  - rule: x\n    ownr: web\n")
        assert "line 3" in page.text.partition("<pre>")[2]
        assert page.form("/rules").fields["text"] == ["owners:\n  - rule: x\n    ownr: web\n"]
        page = await browser.send(page, "/rules", 200, text=FILE.replace("\n", "\r\n"), do="try")
        assert "Would be assigned 1" in page.words
        assert "Stay as given by hand 2" in page.words
        assert "shop 1 1 every-host nothing 0" in page.words
        assert page.form("/rules").fields["text"] == [FILE]
        page = await browser.send(page, "/rules", do="apply")
        assert "The rules are in force." in page.words
        order = [page.text.index(f">{name}<") for name in ("shop", "every-host", "tier")]
        assert order == sorted(order)
        assert page.form("/rules").fields["text"] == [FILE]
        assert "/hosts?q=host%3A%2A" in page.links


async def test_what_somebody_else_put_in_force_is_not_written_over(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/rules")
        with company.census.store.write() as connection:
            apply_rules(connection, FILE + "trust: [rack]\n", now_ms=company.now_ms, **BY)
        mine = FILE.replace("every-host", "all-hosts")
        page = await browser.send(page, "/rules", 412, text=mine, do="apply")
        assert "What is in force now" in page.words
        assert "trust: [rack]" in page.words
        assert page.form("/rules").fields["text"] == [mine]
        page = await browser.send(page, "/rules", do="apply")
        assert "all-hosts" in page.words


async def test_who_may_not_write_sees_the_file_and_who_sees_in_part_their_own_rules(
    company: Company,
) -> None:
    text = FILE.replace("every-host", "all-hosts") + "trust: [rack]\n"
    with company.census.store.write() as connection:
        apply_rules(connection, text, now_ms=company.now_ms, **BY)
    async with signed_in(company.census, "vic", "viewer") as browser:
        page = await browser.get("/rules")
        assert "The file" in page.words
        assert "host: web1" in page.words
        assert [form.action for form in page.forms if form.method == "post"] == ["/sign-out"]
        csrf = page.form("/sign-out").fields["csrf"][0]
        response = await browser.client.post("/rules", data={"csrf": csrf, "text": "", "do": "try"})
        assert response.status_code == 403
    async with signed_in(company.census, "anna") as browser:
        page = await browser.get("/rules")
        assert "shop" in page.words
        assert "all-hosts" not in page.words
        assert "rack" not in page.words


async def test_text_of_strangers_in_rules_is_text(company: Company) -> None:
    async with signed_in(company.census) as browser:
        page = await browser.get("/rules")
        note = "<script>alert(1)</script><img src=x onerror=alert(1)>"
        assert note in hostile.TEXTS
        text = FILE.replace("owner: web", f'owner: web\n    note: "{note} \\u202e"')
        page = await browser.send(page, "/rules", text=text, do="apply")
        assert "<img" not in page.text
        assert page.text.count("<script") == 1
    async with signed_in(company.census, "vic", "viewer") as browser:
        page = await browser.get("/rules")
        assert "onerror=alert(1)" in page.words
        assert hostile.is_inert(page.words)
