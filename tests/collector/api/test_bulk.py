"""Many things changed at once: told first, then done if it is still what was told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fakes.recertified import API, SHARED, SHOP, Company
from fastapi import FastAPI
from sqlalchemy import select

from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.access.users import add_user
from keycensus_collector.api.app import create_app
from keycensus_collector.ownership.assignments import Thing
from keycensus_collector.ownership.teams import team_no
from keycensus_collector.ownership.worker import settle
from keycensus_collector.store.schema import audit

CERTS = {"what": "certificates", "q": "name:*.example.com"}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    made = Company.create(tmp_path_factory.mktemp("company"))
    yield made
    made.census.store.close()


@pytest.fixture(scope="module")
def app(company: Company) -> FastAPI:
    return create_app(company.census.store, company.census.clock)


@pytest.fixture(scope="module")
def tokens(company: Company) -> dict[str, str]:
    with company.census.store.write() as connection:
        add_user(connection, name="olga", role="operator", now_ms=company.now_ms, actor="test")
        own = {"operator": None, "web": [team_no(connection, "web")]}
        return {
            name: create_api_token(
                connection,
                user_name="olga",
                name="",
                now_ms=company.now_ms,
                actor="test",
                teams=teams,
            ).text
            for name, teams in own.items()
        }


class Asking:
    """Requests of somebody; each returns the answer."""

    def __init__(self, client: httpx.AsyncClient, tokens: dict[str, str]) -> None:
        self.client = client
        self.tokens = tokens

    async def __call__(
        self,
        path: str,
        *,
        who: str = "operator",
        over: str = "",
        **body: Any,  # noqa: ANN401 - JSON
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[who]}"}
        headers |= {"If-Match": over} if over else {}
        return await self.client.post(f"/api/v1{path}", json=body, headers=headers)


@pytest.fixture
async def ask(app: FastAPI, tokens: dict[str, str]) -> AsyncIterator[Asking]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://census") as client:
        yield Asking(client, tokens)


def last_audit(company: Company) -> tuple[str, str, dict[str, Any]]:
    with company.census.store.read() as connection:
        row = connection.execute(select(audit).order_by(audit.c.audit_no.desc()).limit(1)).one()
    return row.action, row.subject, json.loads(row.detail)


async def test_owners_are_told_then_given_then_taken_back(ask: Asking, company: Company) -> None:
    company.give(Thing("certificate", artifact=API.sha256), "desk")
    said = {**CERTS, "owner": "db", "reason": "moved"}
    told = await ask("/owners", **said, preview=True)
    seen = told.json()
    assert (seen["done"], seen["things"], seen["changed"], seen["unchanged"]) == (False, 3, 3, 0)
    assert seen["taken_from"] == {"desk": 1}
    assert sorted(seen["samples"]) == [
        "api.example.com (desk now)",
        "sh.example.com",
        "shop.example.com",
    ]
    assert told.headers["ETag"] == f'"{seen["digest"]}"'
    # Somebody is faster: what was told is not what would be done.
    company.give(Thing("certificate", artifact=SHOP.sha256), "db")
    late = await ask("/owners", **said, over=told.headers["ETag"])
    assert (late.status_code, late.json()["type"]) == (412, "#changed")
    assert company.certs("owner:db") == {"sh", "shop"}
    again = await ask("/owners", **said, preview=True)
    assert (again.json()["changed"], again.json()["unchanged"]) == (2, 1)
    done = await ask("/owners", **said, over=again.headers["ETag"])
    assert (done.status_code, done.json()["done"], done.json()["changed"]) == (200, True, 2)
    action, subject, detail = last_audit(company)
    assert (action, subject) == ("owner.set", "2 things")
    assert (detail["query"], detail["count"]) == ("certificates: name:*.example.com", 2)
    with company.census.store.write() as connection:
        settle(connection, company.now_ms)
    assert company.certs("owner:db") == {"api", "sh", "shop"}
    back = await ask("/owners", **CERTS, owner=None)
    assert back.json()["changed"] == 3
    assert (await ask("/owners", **CERTS, owner=None)).json()["unchanged"] == 3
    with company.census.store.write() as connection:
        settle(connection, company.now_ms)
    assert company.certs("owner:web") == {"sh", "shop"}


async def test_what_is_not_ones_own_is_refused_line_by_line(ask: Asking) -> None:
    shop, api, unknown = SHOP.sha256.hex(), API.sha256.hex(), "ab" * 32
    said = {"owner": "web", "reason": "so"}
    told = (
        await ask("/owners", who="web", ids=[shop, "web1", unknown], **said, preview=True)
    ).json()
    assert (told["changed"], told["unchanged"]) == (1, 1)  # the host is web's by hand already
    assert told["refused"] == {"is not in the inventory": 1}
    assert told["refused_samples"] == [unknown]
    # To who sees in part, what others have is not there.
    assert (await ask("/owners", who="web", id=api, **said)).status_code == 404
    both = {"what": "places", "q": "holds:certificate"}
    whole = (await ask("/owners", **both, owner="web", reason="x", preview=True)).json()
    own = (await ask("/owners", who="web", **both, owner="web", reason="x", preview=True)).json()
    assert (whole["things"], own["things"], own["refused"]) == (4, 2, {})


async def test_labels_and_marks_go_the_same_way(ask: Asking, company: Company) -> None:
    ids: dict[str, Any] = {"ids": [SHOP.sha256.hex(), SHARED.sha256.hex()]}
    label = {"key": "tier", "value": "gold"}
    told = await ask("/labels", **ids, **label, preview=True)
    assert (told.json()["changed"], told.json()["done"]) == (2, False)
    done = await ask("/labels", **ids, **label, over=told.headers["ETag"])
    assert done.json()["changed"] == 2
    other = (await ask("/labels", **CERTS, key="tier", value="tin", preview=True)).json()
    assert (other["changed"], other["taken_from"]) == (3, {"gold": 2})
    assert company.certs("label.tier:gold") == {"sh", "shop"}
    assert (await ask("/labels", **CERTS, **label)).json()["unchanged"] == 2
    assert company.certs("label.tier:gold") == {"api", "sh", "shop"}
    assert (await ask("/labels", **CERTS, key="tier", value=None)).json()["changed"] == 3
    assert company.certs("label.tier:any") == set()
    assert last_audit(company)[2]["count"] == 3

    mark = {"mark": "distrusted", "reason": "old"}
    told = await ask("/marks/bulk", **ids, **mark, preview=True)
    assert (told.json()["changed"], company.certs("marked:any")) == (2, set())
    assert (await ask("/marks/bulk", **ids, **mark, over=told.headers["ETag"])).json()["done"]
    assert company.certs("marked:distrusted") == {"sh", "shop"}
    again = (await ask("/marks/bulk", **CERTS, **mark)).json()
    assert (again["changed"], again["unchanged"]) == (1, 2)
    assert last_audit(company)[:2] == ("mark.set", API.sha256.hex())
    lifted = (await ask("/marks/bulk", **CERTS, lift=True, reason="fine")).json()
    assert (lifted["changed"], lifted["taken_from"]) == (3, {"distrusted": 3})
    assert company.certs("marked:any") == set()
    hosts = await ask("/marks/bulk", what="hosts", q="host:web1", **mark)
    assert (hosts.status_code, "are marked" in hosts.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "either id, or ids, or what and q"),
        ({"id": "web1", "ids": ["web1"]}, "either id"),
        ({"what": "hosts", "q": " "}, "say which hosts in q"),
        ({"what": "hosts", "q": "as-of:7d"}, "leave as-of out"),
        ({"id": "web1", "owner": "nobody"}, "there is no team or person"),
    ],
)
async def test_what_can_not_be_changed_is_said(
    ask: Asking, body: dict[str, Any], said: str
) -> None:
    for preview in (True, False):
        asked = {"owner": "web", "reason": "x", "preview": preview} | body
        answer = await ask("/owners", **asked)
        assert (answer.status_code, said in answer.json()["detail"]) == (400, True), answer.text


async def test_too_many_are_refused_before_anything_is_done(
    ask: Asking, company: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keycensus_collector.ownership.bulk.MOST_THINGS", 2)
    answer = await ask("/labels", **CERTS, key="tier", value="gold")
    assert (answer.status_code, "more than 2 certificates" in answer.json()["detail"]) == (
        400,
        True,
    )
    assert company.certs("label.tier:any") == set()
