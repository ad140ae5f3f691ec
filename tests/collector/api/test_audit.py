"""The audit log over REST: sensitive reads stand in it, and admins read it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from fakes.census import Census, certificate, private_key
from fakes.pki import issue
from fakes.served import api_token
from sqlalchemy import select

from keycensus_collector.access import audit
from keycensus_collector.api.app import create_app
from keycensus_collector.store import schema

pytestmark = pytest.mark.usefixtures("each_database_in_full")

WWW = issue("www.example.com")
KEY = private_key(WWW.key)


@pytest.fixture
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    census.report(census.host("web1"), "/etc/www.pem", certificate(WWW), KEY)
    census.fold()
    yield census
    census.store.close()


async def test_sensitive_reads_stand_in_the_log_and_plain_ones_do_not(census: Census) -> None:
    token = api_token(census, role="admin")
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(census.store, census.clock)),
        base_url="https://census/api/v1",
        headers={"Authorization": f"Bearer {token}"},
    ) as client:
        for path in (
            "/export/hosts?format=csv",
            f"/keys/{KEY.artifact.hex()}",
            "/users",
            "/users/ada/tokens",
            "/hosts",
            "/summary",
            "/audit",
        ):
            assert (await client.get(path)).status_code == 200, path
        rows = (await client.get("/audit", params={"actor": "user:ada", "limit": 10})).json()
        older = (await client.get("/audit", params={"before": rows[0]["number"]})).json()
    assert [row["action"] for row in rows] == [
        "audit.read",
        "tokens.read",
        "users.read",
        "key.read",
        "export.read",
    ]
    assert rows[-1]["subject"] == "/api/v1/export/hosts?format=csv"
    assert rows[-1]["detail"] == {"token": token.split("_")[1]}
    assert older[0]["number"] == rows[0]["number"] - 1
    stored = census.rows(select(schema.audit))
    assert token.split("_")[2] not in str(stored)
    with census.store.read() as connection:
        assert audit.verify(connection).broken_no is None
