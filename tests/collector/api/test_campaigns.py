"""Campaigns over REST: who may start, see and answer, and what is said of what can't be."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from fakes.recertified import SHOP, Company
from fastapi import FastAPI
from sqlalchemy import select

from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.access.users import add_user, change_user
from keycensus_collector.api.app import create_app
from keycensus_collector.ownership.teams import team_no
from keycensus_collector.store.schema import audit
from keycensus_collector.store.tables.recertification import campaign

WHO = {"olga": "operator", "anna": "owner", "vera": "viewer", "sven": "owner"}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    made = Company.create(tmp_path_factory.mktemp("company"))
    yield made
    made.census.store.close()


@pytest.fixture(scope="module")
def tokens(company: Company) -> dict[str, str]:
    """Anna is in team web and sees all; sven sees his teams' things, and is in none."""
    made = {}
    with company.census.store.write() as connection:
        now_ms = company.now_ms

        def token(name: str, teams: list[int] | None = None) -> str:
            return create_api_token(
                connection, user_name=name, name="", now_ms=now_ms, actor="test", teams=teams
            ).text

        for name, role in WHO.items():
            add_user(connection, name=name, role=role, now_ms=now_ms, actor="test")
            made[name] = token(name)
        change_user(connection, name="sven", sees="teams", now_ms=now_ms, actor="test")
        made["scoped"] = token("olga", [team_no(connection, "web")])
    return made


class Asking:
    """Requests by name; each returns the status and the JSON."""

    def __init__(self, client: httpx.AsyncClient, tokens: dict[str, str]) -> None:
        self.client = client
        self.tokens = tokens

    async def __call__(self, who: str, method: str, path: str, **body: Any) -> tuple[int, Any]:  # noqa: ANN401 - JSON
        response = await self.client.request(
            method,
            f"/api/v1/campaigns{path}",
            json=body or None,
            headers={"Authorization": f"Bearer {self.tokens[who]}"},
        )
        assert response.headers.get("ETag") or method == "POST" or response.status_code != 200
        return response.status_code, response.json()


@pytest.fixture(scope="module")
def app(company: Company) -> FastAPI:
    return create_app(company.census.store, company.census.clock)


@pytest.fixture
async def ask(app: FastAPI, tokens: dict[str, str]) -> AsyncIterator[Asking]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="https://census") as client:
        yield Asking(client, tokens)


async def test_owners_answer_for_their_own_teams_and_operators_for_all(
    ask: Asking, company: Company
) -> None:
    assert (await ask("anna", "POST", "", by="30d"))[0] == 403
    assert (await ask("anna", "POST", "/preview", by="30d"))[0] == 403
    status, told = await ask("olga", "POST", "/preview", by="30d", name="q4")
    assert (status, [(each["owner"], each["open"]) for each in told]) == (
        200,
        [("db", 4), ("web", 4)],
    )
    assert (await ask("vera", "GET", ""))[1] == []
    status, found = await ask("olga", "POST", "", by="30d", name="q4")
    assert (status, found["state"], found["counts"]["open"]) == (201, "running", 8)
    assert [each["name"] for each in (await ask("vera", "GET", ""))[1]] == ["q4"]
    status, page = await ask("anna", "GET", "/q4/lines?mine=true&limit=3")
    assert (page["total"], len(page["items"]), {each["owner"] for each in page["items"]}) == (
        4,
        3,
        {"web"},
    )
    of_db = (await ask("anna", "GET", "/q4/lines?team=db"))[1]["items"]
    one = [of_db[0]["item"]]
    answers = "/q4/answers"
    assert (await ask("vera", "POST", answers, answer="confirmed", all=True))[0] == 403
    refused = await ask("anna", "POST", answers, answer="confirmed", items=one)
    assert (refused[0], "not your teams'" in refused[1]["detail"]) == (403, True)
    refused = await ask("anna", "POST", answers, answer="confirmed", all=True, team="db")
    assert (refused[0], "not in team db" in refused[1]["detail"]) == (403, True)
    shop = SHOP.sha256.hex()
    done = await ask("anna", "POST", answers, answer="confirmed", id=shop)
    assert done == (200, {"lines": 1, "changed": 1})
    said = {"answer": "disputed", "remark": "db's", "proposed": "db"}
    query = {"what": "certificates", "q": "name:sh.example.com"}
    assert await ask("anna", "POST", answers, **said, **query) == (200, {"lines": 1, "changed": 1})
    done = await ask("olga", "POST", answers, answer="confirmed", items=one)
    assert done == (200, {"lines": 1, "changed": 1})
    refused = await ask("olga", "POST", answers, answer="confirmed", all=True)
    assert (refused[0], "you are in no team" in refused[1]["detail"]) == (400, True)
    owners = (await ask("vera", "GET", "/q4/owners"))[1]
    assert [(each["owner"], each["contact"], each["people"]) for each in owners] == [
        ("db", "#db", []),
        ("web", "#web", ["anna"]),
    ]
    assert [(each["confirmed"], each["disputed"], each["open"]) for each in owners] == [
        (1, 0, 3),
        (1, 1, 2),
    ]
    assert (await ask("anna", "POST", "/q4/accept", all=True))[0] == 403
    assert await ask("olga", "POST", "/q4/accept", all=True) == (200, {"given": {"db": 1}})
    assert (await ask("olga", "POST", "/q4/close"))[1]["state"] == "closed"
    status, problem = await ask("anna", "POST", answers, answer="confirmed", all=True)
    assert (status, problem["type"]) == (409, "#conflict")
    with company.census.store.read() as connection:
        rows = connection.execute(select(audit.c.actor, audit.c.action).order_by(audit.c.audit_no))
        log = [(row.actor, row.action) for row in rows if row.action.startswith("recertify.")]
    assert log == [
        ("user:olga", "recertify.start"),
        ("user:anna", "recertify.confirm"),
        ("user:anna", "recertify.dispute"),
        ("user:olga", "recertify.confirm"),
        ("user:olga", "recertify.close"),
    ]


async def test_who_sees_a_teams_things_sees_its_lines_and_no_more(ask: Asking) -> None:
    query = "host:web1 or host:db1"
    status, _ = await ask("olga", "POST", "", by="30d", name="two", q=query, lists=["hosts"])
    assert status == 201
    assert (await ask("sven", "GET", "/two"))[0] == 404
    assert (await ask("sven", "GET", ""))[1] == []
    status, found = await ask("scoped", "GET", "/two")
    assert (status, found["query"], found["counts"]["open"]) == (200, "", 1)
    lines = (await ask("scoped", "GET", "/two/lines"))[1]["items"]
    assert [(each["owner"], each["name"]) for each in lines] == [("web", "web1")]
    assert [each["owner"] for each in (await ask("scoped", "GET", "/two/owners"))[1]] == ["web"]
    of_db = [{1, 2}.difference({lines[0]["item"]}).pop()]
    refused = await ask("scoped", "POST", "/two/answers", answer="confirmed", items=of_db)
    assert refused[0] == 400
    assert (await ask("scoped", "POST", "/two/accept", all=True))[0] == 403
    done = await ask("scoped", "POST", "/two/answers", answer="confirmed", all=True)
    assert done == (200, {"lines": 1, "changed": 1})
    assert (await ask("olga", "GET", "/two"))[1]["counts"] == {
        "confirmed": 1,
        "disputed": 0,
        "open": 1,
        "lapsed": 0,
        "moved": 0,
        "gone": 0,
    }


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"answer": "confirmed"}, "either items, id, what and q, or all"),
        ({"answer": "confirmed", "all": True, "id": "web1"}, "either items"),
        ({"answer": "confirmed", "items": [99]}, "no line 99"),
        ({"answer": "disputed", "all": True, "team": "web"}, "say why"),
        ({"answer": "confirmed", "all": True, "team": "none"}, "there is no team"),
        ({"answer": "disputed", "remark": "x", "proposed": "none", "items": [2]}, "no team or"),
        ({"answer": "confirmed", "proposed": "db", "items": [2]}, "disputed only"),
        ({"answer": "confirmed", "id": "db1"}, "nothing is asked of you"),
        ({"answer": "confirmed", "what": "hosts", "q": "as-of:7d", "team": "web"}, "as-of"),
    ],
)
async def test_what_can_not_be_answered_is_said(
    ask: Asking, company: Company, body: dict[str, Any], said: str
) -> None:
    with company.census.store.read() as connection:
        names = set(connection.execute(select(campaign.c.name)).scalars())
    if "mistakes" not in names:
        assert (await ask("olga", "POST", "", by="9d", name="mistakes", q="host:web1"))[0] == 201
    status, problem = await ask("olga", "POST", "/mistakes/answers", **body)
    assert (status, said in problem["detail"]) == (400, True), problem["detail"]
    assert (await ask("olga", "POST", "/missing/answers", **body))[0] == 404
