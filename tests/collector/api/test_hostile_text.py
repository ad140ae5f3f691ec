"""Text that strangers wrote into certificates and file names does nothing, whatever is asked (FAULTS T11, T13, T15, T16)."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fakes import hostile
from fakes.census import Census
from fakes.served import api_token
from sqlalchemy import select

import keycensus_collector
from keycensus_collector.api.app import create_app
from keycensus_collector.store.schema import certificate, host, public_key


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = hostile.fill(tmp_path_factory.mktemp("census"))
    yield census
    census.store.close()


@pytest.fixture(scope="module")
def token(census: Census) -> str:
    return api_token(census, role="admin")


@pytest.fixture
async def client(census: Census, token: str) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(census.store, census.clock))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=transport, base_url="https://census", headers=headers, timeout=60
    ) as client:
        yield client


def values(census: Census) -> dict[str, list[str]]:
    """Return what path and query parameters are to be, by name; others are left out."""
    hashes = [row[0].hex() for row in census.rows(select(certificate.c.sha256))]
    keys = [row[0].hex() for row in census.rows(select(public_key.c.key_id))]
    ids = [row[0] for row in census.rows(select(host.c.host_id))]
    return {
        "sha256": hashes,
        "key_id": keys,
        "host_id": ids,
        "id": [*hashes, *keys[:3], *ids[:3], *hostile.TEXTS],
        "list_": ["certificates", "keys", "places", "hosts"],
        "name": ["expiring", *hostile.TEXTS],
        "number": ["1"],
        "by": ["issuer", "package", "os", "key", *hostile.TEXTS[:3]],
        "q": ["", *(f'"{text}"' for text in hostile.TEXTS)],
    }


async def test_every_answer_to_every_get_is_inert(
    census: Census, client: httpx.AsyncClient
) -> None:
    known, texts = values(census), 0
    description = (await client.get("/api/v1/openapi.json")).json()
    for path, item in description["paths"].items():
        if "get" not in item:
            continue
        names = {
            parameter["name"]: parameter["in"] for parameter in item["get"].get("parameters", [])
        }
        asked = {name: known[name] for name in names if name in known}
        if names.get("name") == "query":
            asked.pop("name")  # a filter
        for number in range(max((len(each) for each in asked.values()), default=1)):
            chosen = {name: each[number % len(each)] for name, each in asked.items()}
            url = httpx.URL(f"https://census{path}")
            parts = {name: chosen[name] for name in chosen if names[name] == "path"}
            for name, value in parts.items():
                quoted = httpx.QueryParams({"x": value}).__str__()[2:].replace("+", "%20")
                path_now = url.raw_path.decode().replace(f"%7B{name}%7D", quoted)
                url = url.copy_with(raw_path=path_now.encode())
            query = {name: value for name, value in chosen.items() if names[name] == "query"}
            response = await client.get(url.copy_merge_params(query))
            assert response.status_code < 500, (url, query, response.text)
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "html" not in response.headers.get("Content-Type", "")
            for value in response.headers.values():
                assert hostile.is_inert(value), (url, value)
            assert hostile.is_inert(response.text), url
            lines = (
                response.text.splitlines()
                if "ndjson" in response.headers.get("Content-Type", "")
                else [response.text]
            )
            texts += sum(map(hostile.check_json, filter(None, lines)))
    assert texts > 5_000


@pytest.mark.parametrize("list_", ["certificates", "keys", "places", "hosts"])
async def test_every_cell_of_a_csv_is_inert(client: httpx.AsyncClient, list_: str) -> None:
    response = await client.get(f"/api/v1/export/{list_}", params={"format": "csv"})
    assert response.status_code == 200
    assert hostile.check_csv(response.text) > 100


async def test_a_name_is_one_name_whatever_stands_in_it(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/v1/certificates", params={"limit": 100})).json()
    names = {item["name"]: item["names"] for item in page["items"]}
    split = "a.example.com, DNS:evil.example.com"
    assert names[split] == [split.lower()]
    assert names['","injected","'] == ['","injected","']
    assert not any("evil.example.com" in listed for listed in names.values())


def is_constant(node: ast.expr) -> bool:
    """Whether text is what stands in the program: a name's own words are only those of constants."""
    if isinstance(node, ast.JoinedStr):
        parts = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        return all(isinstance(part, ast.Name) and part.id.isupper() for part in parts)
    return not isinstance(node, ast.BinOp)


def test_no_sql_is_put_together_from_text() -> None:
    looked_at = 0
    for file in Path(keycensus_collector.__path__[0]).rglob("*.py"):
        if file.parent.name == "store":
            continue  # its DDL has names of our own tables, quoted; no request's text comes there
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in {"text", "exec_driver_sql", "literal_column"}:
                    looked_at += 1
                    assert is_constant(node.args[0]), (file, node.lineno)
    assert looked_at > 3
