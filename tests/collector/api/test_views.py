"""Groups, exports, completion and views over REST: they agree with their lists."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fakes.census import Census, certificate, private_key, sealed_key
from fakes.pki import issue
from fakes.served import api_token
from sqlalchemy import update

from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.access.users import add_user
from keycensus_collector.api.app import create_app
from keycensus_collector.inventory import groups, paging
from keycensus_collector.store import schema
from keycensus_collector.views.defaults import DEFAULTS

ROOT = issue("Example Root", is_ca=True, days=3650)
LEAVES = [issue(f"n{n}.example.com", issuer=ROOT, days=20 + 40 * (n % 3)) for n in range(7)]
FORMULA = issue("=cmd|x\x1b[31m", days=60)


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    web, db = census.host("web1"), census.host("db1", state="silent")
    for number, leaf in enumerate(LEAVES):
        host = db if number % 2 else web
        census.report(host, f"/etc/{number}.pem", certificate(leaf), package="nginx" * (number < 2))
        census.report(host, f"/etc/{number}.key", private_key(leaf.key), mode=0o644)
    census.report(db, "/etc/odd.pem", certificate(FORMULA))
    census.report(db, "/srv/box.p12", sealed_key(b"box"), status="locked")
    census.gap(db, "/mnt/nfs")
    census.fold()
    yield census
    census.store.close()


@pytest.fixture(scope="module")
def tokens(census: Census) -> dict[str, str]:
    """Give a token of a viewer and one of an operator."""
    viewer, now_ms = api_token(census), census.clock.now_ms()
    with census.store.write() as connection:
        add_user(connection, name="olga", role="operator", now_ms=now_ms, actor="test")
        operator = create_api_token(
            connection, user_name="olga", name="t", now_ms=now_ms, actor="test"
        )
    return {"viewer": viewer, "operator": operator.text}


@pytest.fixture
async def client(census: Census, tokens: dict[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(census.store, census.clock))
    headers = {"Authorization": f"Bearer {tokens['operator']}"}
    base = "https://census/api/v1"
    async with httpx.AsyncClient(transport=transport, base_url=base, headers=headers) as client:
        yield client


async def total(client: httpx.AsyncClient, list_: str, query: str) -> int:
    page = (await client.get(f"/{list_}", params={"q": query})).json()
    return int(page["total"])


@pytest.mark.parametrize("list_", ["certificates", "keys", "places", "hosts"])
async def test_each_group_counts_what_its_own_query_lists(
    client: httpx.AsyncClient, list_: str
) -> None:
    query = "" if list_ in {"hosts", "places"} else "host:web1 or host:db1"
    for by in groups.choices(list_):
        found = (await client.get(f"/groups/{list_}", params={"q": query, "by": by})).json()
        assert found["groups"], by
        assert found["total"] == sum(group["count"] for group in found["groups"])
        for group in found["groups"]:
            assert await total(client, list_, group["query"]) == group["count"], (by, group)


async def test_groups_by_time_stand_in_its_order(client: httpx.AsyncClient) -> None:
    found = (await client.get("/groups/certificates", params={"by": "expires-month"})).json()
    values = [group["value"] for group in found["groups"]]
    assert values == sorted(values)
    assert len(values) == 3
    wrong = await client.get("/groups/certificates", params={"by": "colour"})
    assert wrong.status_code == 400
    assert "expires-week" in wrong.json()["detail"]


async def test_an_export_is_the_whole_list_in_its_order(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keycensus_collector.api.queries.PAGE_LIMIT", 3)
    for list_, query in (
        ("certificates", "expires<1y"),
        ("keys", ""),
        ("places", ""),
        ("hosts", ""),
    ):
        listed = (await client.get(f"/{list_}", params={"q": query, "limit": 1000})).json()
        done = await client.get(f"/export/{list_}", params={"q": query})
        assert done.headers["Content-Type"] == "application/x-ndjson"
        *items, end = [json.loads(line) for line in done.text.splitlines()]
        assert items == listed["items"]
        assert end == {"end": True, "items": len(items)}
        table = await client.get(f"/export/{list_}", params={"q": query, "format": "csv"})
        rows = list(csv.DictReader(io.StringIO(table.text)))
        assert len(rows) == listed["total"] + 1
        assert table.text.splitlines()[-1] == f'"# end","{listed["total"]}"'


async def test_an_export_has_the_columns_that_are_asked_for_and_nothing_runs(
    client: httpx.AsyncClient,
) -> None:
    parameters = {"q": "expires<1y subject:cmd", "format": "csv", "columns": "name,bits,is_ca"}
    done = await client.get("/export/certificates", params=parameters)
    assert done.text == '"name","bits","is_ca"\n"\'=cmd|x\\x1b[31m","256","false"\n"# end","1"\n'
    keys = await client.get("/export/keys", params={"format": "csv", "columns": "places"})
    assert '"web1:/etc/0.key"' in keys.text
    for parameters in ({"columns": "name,nothing"}, {"q": "expirs<1d"}):
        assert (await client.get("/export/certificates", params=parameters)).status_code == 400


async def test_completion_says_what_can_stand_there(client: httpx.AsyncClient) -> None:
    done = (await client.get("/completion/hosts", params={"q": "state:si"})).json()
    assert (done["start"], done["length"]) == (0, 8)
    assert [each["text"] for each in done["suggestions"]] == ["state:silent"]
    assert (await client.get("/completion/nothing")).status_code == 400


async def test_the_views_of_the_program_count_what_their_lists_show(
    client: httpx.AsyncClient,
) -> None:
    views = (await client.get("/views", params={"counts": "true"})).json()
    assert [view["name"] for view in views] == [view.name for view in DEFAULTS]
    for view in views:
        assert view["built_in"]
        assert view["total"] == await total(client, view["what"], view["query"]), view["name"]
    counts = {view["name"]: view["total"] for view in views}
    assert counts["expiring"] == 3
    assert counts["open-keys"] == 8
    assert counts["locked-keystores"] == 1
    assert counts["silent-hosts"] == counts["blind-spots"] == 1


async def test_a_view_is_saved_changed_and_deleted_and_that_is_audited(
    client: httpx.AsyncClient, census: Census
) -> None:
    body = {"what": "places", "query": "path:/etc/**", "description": "x\x1b", "columns": ["path"]}
    saved = (await client.put("/views/mine", json=body)).json()
    assert (saved["query"], saved["saved_by"]) == ("path:/etc/**", "user:olga")
    assert saved["description"] == "x\\x1b"
    changed = await client.put("/views/mine", json=body | {"query": "status:locked as-of:1d"})
    assert changed.json()["query"] == "status:locked as-of:1d"
    assert (await client.get("/views/mine")).json() == changed.json()
    views = (await client.get("/views", params={"counts": "true"})).json()
    assert [(view["name"], view["total"]) for view in views][-1] == ("mine", 0)
    assert (await client.delete("/views/mine")).status_code == 204
    gone = await client.delete("/views/mine")
    assert (gone.status_code, gone.json()["type"]) == (404, "#not-found")
    assert "there is no view 'mine'" in gone.json()["detail"]
    actions = [row.action for row in census.rows(schema.audit.select())]
    assert [action for action in actions if action.startswith("view.")] == [
        "view.save",
        "view.save",
        "view.delete",
    ]


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("expiring", {}, "comes with the program"),
        ("Bad Name", {}, "can't name a view"),
        ("x" * 64, {}, "can't name a view"),
        ("mine", {"query": "expirs<1d"}, "did you mean"),
        ("mine", {"columns": ["nothing"]}, "have no 'nothing'"),
        ("mine", {"what": "users"}, "what"),
        ("mine", {"owner": "x"}, "owner"),
    ],
)
async def test_what_can_be_no_view_is_refused(
    client: httpx.AsyncClient, name: str, body: dict[str, object], said: str
) -> None:
    response = await client.put(f"/views/{name}", json={"what": "certificates", "query": ""} | body)
    assert response.status_code == 400
    assert said in response.json()["detail"]


async def test_views_come_in_pages_and_are_known_again(client: httpx.AsyncClient) -> None:
    body = {"what": "hosts", "query": ""}
    for name in ("zulu", "alpha", "silent-too"):
        await client.put(f"/views/{name}", json=body)
    whole = await client.get("/views")
    assert "Link" not in whole.headers
    names, url = [], "/views?limit=4"
    while url:
        page = await client.get(url)
        names += [view["name"] for view in page.json()]
        url = page.links.get("next", {}).get("url", "").removeprefix("/api/v1")
    assert names == [view["name"] for view in whole.json()]
    assert names[-3:] == ["alpha", "silent-too", "zulu"]
    again = await client.get("/views?limit=4", headers={"If-None-Match": "W/x"})
    tag = again.headers["ETag"]
    assert tag.startswith("W/")
    known = await client.get("/views?limit=4", headers={"If-None-Match": tag})
    assert (known.status_code, known.content) == (304, b"")
    assert [v["name"] for v in (await client.get("/views?after=silent-too")).json()] == ["zulu"]
    for name in ("zulu", "alpha", "silent-too"):
        await client.delete(f"/views/{name}")


async def test_a_viewer_reads_views_and_writes_none(
    client: httpx.AsyncClient, tokens: dict[str, str]
) -> None:
    headers = {"Authorization": f"Bearer {tokens['viewer']}"}
    assert (await client.get("/views/expiring", headers=headers)).status_code == 200
    body = {"what": "hosts", "query": ""}
    for response in (
        await client.put("/views/mine", json=body, headers=headers),
        await client.delete("/views/mine", headers=headers),
    ):
        assert (response.status_code, response.json()["type"]) == (403, "#forbidden")
    assert (await client.delete("/views/expiring")).status_code == 400


async def test_a_view_that_can_not_be_read_keeps_none_of_the_others(
    client: httpx.AsyncClient, census: Census, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "EXACT_TOTAL", 10_000)
    await client.put("/views/old", json={"what": "hosts", "query": "state:silent"})
    with census.store.write() as connection:
        connection.execute(update(schema.view).values(query='{"version": 99}'))
    views = (await client.get("/views", params={"counts": "true"})).json()
    assert "version 99" in views[-1]["problem"]
    assert views[-1]["total"] is None
    assert (await client.delete("/views/old")).status_code == 204
