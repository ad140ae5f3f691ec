"""Agents and enrolment tokens over REST: what the operators' socket does, by people, with their names."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fakes.census import Census
from fakes.identities import add_agent
from fakes.served import api_token
from sqlalchemy import select, update

from keycensus_collector.access import audit
from keycensus_collector.api.app import create_app
from keycensus_collector.authority import tokens
from keycensus_collector.authority.authority import spki
from keycensus_collector.authority.keeper import current_anchor
from keycensus_collector.errors import StoreError
from keycensus_collector.store import schema


@pytest.fixture
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    yield census
    census.store.close()


@pytest.fixture
async def client(census: Census) -> AsyncIterator[httpx.AsyncClient]:
    token = api_token(census, role="operator")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(census.store, census.clock)),
        base_url="https://census/api/v1",
        headers={"Authorization": f"Bearer {token}"},
    ) as client:
        yield client


def done(census: Census, beginning: str) -> list[tuple[str, str]]:
    rows = census.rows(select(schema.audit.c.actor, schema.audit.c.action))
    return [(row.actor, row.action) for row in rows if row.action.startswith(beginning)]


async def test_identities_come_in_pages_by_host_with_what_ails_them(
    census: Census, client: httpx.AsyncClient
) -> None:
    add_agent(census, census.host("web1"))
    ailing = census.host("web2", state="silent", clock_skew_ms=-95_000, complete=False)
    add_agent(census, ailing, days=2)
    census.gap(ailing, "/home")
    shared = add_agent(census, census.host("web3"), state="cloned", machines=("a", "b"))
    first = (await client.get("/agents", params={"limit": 2})).json()
    assert [each["host"] for each in first["items"]] == ["web1", "web2"]
    assert (first["total"], first["items"][0]["problems"]) == (3, [])
    assert first["items"][1]["problems"] == [
        "its certificate is not renewed",
        "nothing is heard of it",
        "its clock is 95 s off",
        "its first sweep has not ended",
        "gaps: 1",
    ]
    second = (await client.get("/agents", params={"cursor": first["next"]})).json()
    assert ([each["id"] for each in second["items"]], second["next"]) == ([shared], None)
    found = (await client.get("/agents", params={"state": ["cloned", "banned"]})).json()
    assert [(each["copies"], each["problems"]) for each in found["items"]] == [
        (2, ["several machines use this identity"])
    ]
    assert (await client.get("/agents", params={"host": "WEB2"})).json()["total"] == 1
    assert (await client.get("/agents", params={"host": "_eb"})).json()["total"] == 0
    whole = (await client.get(f"/agents/{shared}")).json()
    assert {each["name"] for each in whole["machines"]} == {"a", "b"}
    assert whole["certificates"][0]["state"] == "current"


async def test_what_is_done_to_an_agent_stands_in_the_log_with_who_did_it(
    census: Census, client: httpx.AsyncClient
) -> None:
    agent = add_agent(census, census.host("web1"))
    banned = await client.post(f"/agents/{agent}/ban", json={"reason": "stolen\x1b"})
    assert banned.json() == {"id": agent, "state": "banned"}
    one = (await client.get("/agents/web1")).json()
    assert (one["state"], one["reason"], one["host_state"]) == ("banned", "stolen\\x1b", "banned")
    assert (await client.post(f"/agents/{agent}/unban")).json()["state"] == "active"
    assert (await client.post(f"/agents/{agent}/evict", json={})).json()["state"] == "evicted"
    refused = await client.post(f"/agents/{agent}/ban", json={})
    assert (refused.status_code, refused.json()["type"]) == (409, "#conflict")
    assert (await client.post("/agents/nobody/ban", json={})).status_code == 404
    assert (await client.post("/hosts/web1/retire")).json()["state"] == "retired"
    assert (await client.post("/hosts/web9/retire")).status_code == 404
    actions = ["agent.ban", "agent.unban", "agent.evict"]
    assert done(census, "agent.") == [("user:ada", action) for action in actions]
    assert done(census, "host.") == [("user:ada", "host.retire")]


async def test_machines_that_share_an_identity_get_one_each(
    census: Census, client: httpx.AsyncClient
) -> None:
    agent = add_agent(census, census.host("web1"), state="cloned", machines=("one", "two"))
    wrong = await client.post(f"/agents/{agent}/rekey", json={"keep": "nobody"})
    assert (wrong.status_code, "no machine" in wrong.json()["detail"]) == (400, True)
    answer = (await client.post(f"/agents/{agent}/rekey", json={"keep": "two"})).json()
    assert (answer["id"], answer["machines"]) == (agent, 2)
    one = (await client.get(f"/agents/{agent}")).json()
    assert (one["state"], one["rekey_copies_left"]) == ("rekeyed", 2000)
    assert one["rekey_until"] == answer["until"]


async def test_a_machine_that_names_itself_like_another_ones_boot_is_not_taken_for_it(
    census: Census, client: httpx.AsyncClient
) -> None:
    agent = add_agent(census, census.host("web1"), state="cloned", machines=("one", "two"))
    boots = {
        each["name"]: each["boot"]
        for each in (await client.get(f"/agents/{agent}")).json()["machines"]
    }
    begin = boots["one"][:8]
    with census.store.write() as connection:
        contact = schema.agent_contact
        connection.execute(update(contact).where(contact.c.name == "two").values(name=begin))
    refused = await client.post(f"/agents/{agent}/rekey", json={"keep": begin})
    assert refused.status_code == 400
    assert "2 machines" in refused.json()["detail"]
    answer = await client.post(f"/agents/{agent}/rekey", json={"keep": boots["one"]})
    assert answer.json()["machines"] == 2


async def test_all_clones_get_identities_if_they_are_still_those_that_were_told(
    census: Census, client: httpx.AsyncClient
) -> None:
    add_agent(census, census.host("web1"), state="cloned", machines=("a", "b"))
    kept = add_agent(census, census.host("db1"), state="cloned", machines=("c",))
    wish = {"q": "host:web*", "preview": True}
    told = await client.post("/clones/rekey", json=wish)
    assert (told.json()["done"], told.json()["identities"], told.json()["machines"]) == (
        False,
        1,
        2,
    )
    assert done(census, "agent.rekey") == []
    tag = {"If-Match": told.headers["ETag"]}
    other = {"q": "host:web*", "copies": 1}
    assert (await client.post("/clones/rekey", json=other, headers=tag)).status_code == 412
    answer = (await client.post("/clones/rekey", json={"q": "host:web*"}, headers=tag)).json()
    assert (answer["done"], answer["samples"][0]["host"]) == (True, "web1")
    assert done(census, "agent.rekey") == [("user:ada", "agent.rekey")]
    rest = (await client.post("/clones/rekey", json={"preview": True})).json()
    assert [each["id"] for each in rest["samples"]] == [kept]
    wrong = await client.post("/clones/rekey", json={"q": "hst:x"})
    assert (wrong.status_code, wrong.json()["type"]) == (400, "#query")


async def test_a_host_installed_anew_goes_on_as_it_was(
    census: Census, client: httpx.AsyncClient
) -> None:
    old = census.host("web1", state="silent", machine_hash=b"m" * 32)
    add_agent(census, old)
    census.clock.advance(1_000)
    agent = add_agent(census, census.host("web1-new", machine_hash=b"m" * 32))
    (found,) = (await client.get("/successions")).json()
    assert (found["host"], found["old"], found["same"]) == ("web1-new", "web1", ["machine"])
    answer = await client.post(f"/hosts/{found['host_id']}/succeeds", json={"old": found["old_id"]})
    assert answer.json() == {
        "id": found["old_id"],
        "name": "web1-new",
        "new": found["host_id"],
        "agents": [agent],
    }
    assert (await client.get(f"/agents/{agent}")).json()["host_id"] == found["old_id"]
    assert (await client.get("/successions")).json() == []


async def test_a_token_is_told_once_pins_the_anchor_and_lets_in_until_it_is_revoked(
    census: Census, client: httpx.AsyncClient
) -> None:
    with census.store.read() as connection, pytest.raises(StoreError, match="names no authority"):
        current_anchor(connection)
    add_agent(census, census.host("web1"))
    body = {"minutes": 30, "uses": 3, "labels": {"env": "prod"}}
    answer = await client.post("/enrolment-tokens", json=body)
    assert answer.status_code == 201
    made = answer.json()
    _, token_id, secret, _ = made["token"].split(".")
    with census.store.read() as connection:
        tokens.check(
            tokens.find(connection, tokens.read_proof(f"{token_id}.{secret}")),
            census.clock.now_ms(),
        )
        anchor = spki(current_anchor(connection))
        assert audit.list_rows(connection, audit.Wanted(action="token."), limit=9)[0]["actor"] == (
            "user:ada"
        )
    assert made["token"] == tokens_text(token_id, secret, anchor)
    listed = await client.get("/enrolment-tokens", params={"open": True})
    assert secret not in listed.text
    (one,) = listed.json()
    assert (one["labels"], one["uses_left"], one["state"]) == ({"env": "prod"}, 3, "open")
    assert (await client.delete(f"/enrolment-tokens/{token_id}")).status_code == 204
    assert (await client.get("/enrolment-tokens", params={"open": True})).json() == []
    assert (await client.get("/enrolment-tokens")).json()[0]["state"] == "revoked"
    assert (await client.delete("/enrolment-tokens/none")).status_code == 404


def tokens_text(token_id: str, secret: str, anchor: bytes) -> str:
    pin = base64.urlsafe_b64encode(hashlib.sha256(anchor).digest()).decode().rstrip("=")
    return f"kc1.{token_id}.{secret}.{pin}"


async def test_a_token_for_a_host_is_for_one_that_is_there_and_not_banned(
    census: Census, client: httpx.AsyncClient
) -> None:
    number = census.host("web1")
    add_agent(census, number)
    made = await client.post("/enrolment-tokens", json={"for_host": "web1"})
    assert made.status_code == 201
    assert (await client.get("/enrolment-tokens")).json()[0]["host"] == "web1"
    for body, status in (
        ({"for_host": "web9"}, 404),
        ({"for_host": "web1", "uses": 2}, 400),
        ({"labels": {"No Key": "x"}}, 400),
        ({"labels": {"env": "a\u202eb"}}, 400),
        ({"minutes": 0}, 400),
        ({"uses": 100_001}, 400),
    ):
        assert (await client.post("/enrolment-tokens", json=body)).status_code == status, body
    with census.store.write() as connection:
        connection.execute(
            update(schema.host).where(schema.host.c.host_no == number).values(banned_ms=1)
        )
    assert (await client.post("/enrolment-tokens", json={"for_host": "web1"})).status_code == 409
