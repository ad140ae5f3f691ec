"""The pages of agents and of enrolment: what operators see and do, and what nobody else does."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fakes import hostile
from fakes.browser import signed_in
from fakes.census import Census
from fakes.identities import add_agent
from fakes.markup import check_accessible, check_inert
from sqlalchemy import select

from keycensus_collector.config import Configuration, Listen, enrol_address
from keycensus_collector.store import schema
from keycensus_collector.text import safe_text


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    yield census
    census.store.close()


async def test_an_agent_is_found_by_what_ails_it_banned_let_in_again_and_ended(
    census: Census,
) -> None:
    agent = add_agent(census, census.host("web1", clock_skew_ms=95_000))
    async with signed_in(census, "opa", "operator") as browser:
        page = await browser.get("/agents", host="EB1")
        assert "its clock is 95 s off" in page.words
        here = f"/agents/{agent}"
        assert here in page.links
        page = await browser.get(here)
        page = await browser.send(page, f"{here}/ban", reason="stolen <b>")
        assert "The host is shut out" in page.words
        assert "stolen <b>" in page.words
        page = await browser.get("/agents", state="banned")
        assert here in page.links
        page = await browser.send(await browser.get(here), f"{here}/unban")
        page = await browser.send(page, f"{here}/evict", reason="sold")
        assert "It has ended, for good." in page.words
        sent = {"csrf": page.form("/sign-out").fields["csrf"][0], "reason": "again"}
        response = await browser.client.post(f"{here}/ban", data=sent)
        assert response.status_code == 409
        assert "is evicted; it can&#39;t become banned" in response.text
        response = await browser.client.post("/agents/nobody/ban", data=sent)
        assert response.status_code == 404
    rows = census.rows(select(schema.audit.c.actor, schema.audit.c.action))
    assert [row.action for row in rows if row.actor == "user:opa"][1:] == [
        "agent.ban",
        "agent.unban",
        "agent.evict",
    ]


async def test_clones_get_identities_of_their_own_but_for_the_machine_that_is_kept(
    census: Census,
) -> None:
    agent = add_agent(census, census.host("image"), state="cloned", machines=("copy-a", "copy-b"))
    here = f"/agents/{agent}"
    async with signed_in(census, "opa", "operator") as browser:
        page = await browser.get(here)
        assert "Several machines use this identity" in page.words
        boots = re.findall(r'<option value="([0-9a-f]{32})">copy-b', page.text)
        page = await browser.send(page, f"{here}/rekey", 400, keep=boots[0], within_hours="0")
        assert "within_hours:" in page.words
        assert page.form(f"{here}/rekey").fields["keep"] == boots
        check_accessible(page)
        page = await browser.send(page, f"{here}/rekey", within_hours="24", copies="7")
        assert "7 more may until" in page.words
    (grant,) = census.rows(select(schema.rekey_grant))
    (kept,) = census.rows(
        select(schema.agent_contact.c.contact_no).where(schema.agent_contact.c.name == "copy-b")
    )
    assert (grant.keep_contact_no, grant.created_by) == (kept.contact_no, "user:opa")


async def test_all_clones_are_told_and_rekeyed_if_they_are_still_those(census: Census) -> None:
    clones = [
        add_agent(census, census.host(f"fleet{number}"), state="cloned", machines=("a", "b", "c"))
        for number in range(2)
    ]
    hostile_one = census.host(safe_text(hostile.TEXTS[0]))
    add_agent(census, hostile_one, state="cloned", machines=("x",))
    async with signed_in(census, "opa", "operator") as browser:
        page = await browser.get("/clones")
        assert "/clones" in page.links
        check_accessible(page)
        check_inert(page)
        page = await browser.get("/clones", 400, q="hst:fleet*")
        assert "did you mean host?" in page.words
        page = await browser.get("/clones", 400, q="host:fleet*", copies="0")
        assert "copies:" in page.words
        assert page.form("/clones").fields["copies"] == ["0"]
        page = await browser.get("/clones", q="host:fleet*", within_hours="24", copies="9")
        assert "2 shared identities end" in page.words
        assert "6 machines have called under them" in page.words
        clones.append(add_agent(census, census.host("fleet9"), state="cloned", machines=("z",)))
        told = next(form for form in page.forms if "digest" in form.fields)
        assert (await browser.client.post("/clones", data=told.fields)).status_code == 412
        page = await browser.get("/clones", q="host:fleet*", within_hours="24", copies="9")
        page = await browser.send(page, "/clones")
        assert "The shared identities have ended" in page.words
        assert {f"/agents/{each}" for each in clones} <= set(page.links)
        page = await browser.get("/clones", q="host:fleet*")
        assert "No host that the query lists has" in page.words
    grants = census.rows(
        select(schema.rekey_grant.c.copies_left, schema.rekey_grant.c.created_by)
        .join(schema.agent, schema.agent.c.agent_no == schema.rekey_grant.c.agent_no)
        .where(schema.agent.c.agent_id.in_(clones))
    )
    assert [tuple(row) for row in grants] == [(9, "user:opa")] * 3
    left = select(schema.agent.c.state).where(schema.agent.c.host_no == hostile_one)
    assert census.row(left)[0] == "cloned"


async def test_hosts_are_retired_and_go_on_as_earlier_ones(census: Census) -> None:
    census.host("db1", state="silent", machine_hash=b"d" * 32)
    census.clock.advance(10)
    census.host("db1-new", machine_hash=b"d" * 32)
    async with signed_in(census, "opa", "operator") as browser:
        page = await browser.get("/agents")
        (form,) = [form for form in page.forms if form.action.endswith("/succeeds")]
        page = await browser.send(page, form.action)
        assert "The host goes on as the earlier one" in page.words
        assert page.address.path == f"/hosts/{form.fields['old'][0]}"
        page = await browser.send(page, f"{page.address.path}/retire")
        assert "The host is retired" in page.words
        assert not any(form.action.endswith("/retire") for form in page.forms)


async def test_a_token_is_shown_once_with_the_command_and_never_again(census: Census) -> None:
    add_agent(census, census.host("any"))
    async with signed_in(census, "opa", "operator") as browser:
        page = await browser.get("/enrolment")
        page = await browser.send(page, "/enrolment", 400, labels="env=prod\nno label")
        assert "'no label' is no label" in page.words
        assert page.form("/enrolment").fields["labels"] == ["env=prod\nno label"]
        check_accessible(page)
        form = page.form("/enrolment").fields | {"labels": ["env=prod\nzone=dmz"], "uses": ["3"]}
        response = await browser.client.post("/enrolment", data=form)
        assert response.status_code == 201
        assert response.headers["Cache-Control"] == "no-store"
        token = re.search(r'<pre id="token">(kc1\.[^<]+)</pre>', response.text)
        assert token is not None
        assert "keycensus-agent enrol --collector census:8441 --token-file token" in response.text
        page = await browser.get("/enrolment")
        token_id, secret = token[1].split(".")[1:3]
        assert token_id in page.words
        assert "env=prod" in page.words
        assert "zone=dmz" in page.words
        assert secret not in page.text
        page = await browser.send(page, f"/enrolment/{token_id}/revoke")
        assert "The token is revoked." in page.words
        assert "revoked" in page.words
    assert secret not in str(census.rows(select(schema.audit)))


async def test_who_may_not_is_led_to_none_of_it_and_refused(census: Census) -> None:
    async with signed_in(census, "vic", "viewer") as browser:
        page = await browser.get("/")
        assert not {"/agents", "/enrolment"} & set(page.links)
        for address in ("/agents", "/enrolment", "/agents/any"):
            await browser.get(address, 403)
        sent = {"csrf": page.form("/sign-out").fields["csrf"][0]}
        for address in ("/agents/any/ban", "/enrolment", "/hosts/any/retire"):
            assert (await browser.client.post(address, data=sent)).status_code == 403, address


def test_the_address_at_which_hosts_join_is_the_first_public_name_with_its_port() -> None:
    assert enrol_address(Configuration()) == ""
    assert enrol_address(Configuration(names=("fd00::1", "b"))) == "[fd00::1]:8441"
    assert enrol_address(Configuration(names=("a",), listen=Listen())) == "a:8441"


async def test_text_of_strangers_stays_text(census: Census) -> None:
    """FAULTS T12."""
    for text in hostile.TEXTS:
        word = safe_text(text)
        add_agent(census, census.host(word), state="cloned", machines=(word, f"{word} 2"))
    agents = census.rows(select(schema.agent.c.agent_id))
    async with signed_in(census, "opa", "operator") as browser:
        pages = [await browser.get(f"/agents/{row.agent_id}") for row in agents]
        pages += [await browser.get("/agents"), await browser.get("/enrolment")]
        for text in hostile.TEXTS:
            pages.append(await browser.get("/enrolment", host=text))
            pages.append(await browser.get("/agents", host=text))
    for page in pages:
        check_inert(page)
        check_accessible(page)
