"""The table of docs/access.md is what happens: every route is called as every role."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from fakes.census import Census
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts

from keycensus_collector.access import rights
from keycensus_collector.access.permissions import ROLES, Permission
from keycensus_collector.access.tokens import create_api_token
from keycensus_collector.access.users import add_user
from keycensus_collector.api.app import create_app
from keycensus_collector.api.security import AUTHENTICATED
from keycensus_collector.operations import OPERATIONS

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "access.md"
ROW = re.compile(r"\| `([^`]+)` \| ([a-z.]+) \| (yes|no) \| (yes|no) \| (yes|no) \| (yes|no) \|")


def written() -> dict[str, tuple[str, tuple[bool, ...]]]:
    """Return the rows of the tables: request or operation, permission, and what each role may."""
    table = {}
    for name, permission, *answers in ROW.findall(DOCUMENT.read_text()):
        method, _, path = name.partition(" ")
        key = f"{method} /api/v1{path}" if path else name
        assert key not in table, key
        table[key] = (permission, tuple(answer == "yes" for answer in answers))
    return table


def routes(app: FastAPI) -> set[str]:
    return {
        f"{method} {route.path}"
        for route in iter_route_contexts(app.routes)
        for method in route.methods or {"ANY"}
        if method != "HEAD"
    }


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    yield census
    census.store.close()


@pytest.fixture(scope="module")
def app(census: Census) -> FastAPI:
    return create_app(census.store, census.clock)


@pytest.fixture(scope="module")
def tokens(census: Census) -> dict[str, str]:
    now_ms, made = census.clock.now_ms(), {}
    with census.store.write() as connection:
        for role in ROLES:
            name = f"a-{role}"
            add_user(connection, name=name, role=role, now_ms=now_ms, actor="operator")
            made[role] = create_api_token(
                connection, user_name=name, name="", now_ms=now_ms, actor="operator"
            ).text
    return made


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="https://census") as client:
        yield client


def test_every_route_and_operation_is_declared_and_written_down(app: FastAPI) -> None:
    assert routes(app) == rights.OPEN | set(rights.ENDPOINTS)
    assert set(OPERATIONS) == set(rights.OPERATIONS)
    declared: dict[str, Permission] = {**rights.ENDPOINTS, **rights.OPERATIONS}
    expected = {
        name: (str(permission), tuple(permission in granted for granted in ROLES.values()))
        for name, permission in declared.items()
    }
    assert written() == expected
    open_ones = {f"`{name.replace('/api/v1', '')}`" for name in rights.OPEN}
    (line,) = re.findall(r"Without any name: (.*)\.\n", DOCUMENT.read_text())
    assert set(line.split(", ")) == open_ones


async def test_each_role_may_do_what_the_table_says_and_nothing_else(
    app: FastAPI, client: httpx.AsyncClient, tokens: dict[str, str]
) -> None:
    table = written()
    for route in sorted(routes(app) - rights.OPEN):
        method, _, path = route.partition(" ")
        path = re.sub(r"\{[^}]+\}", "none", path)
        for role, allowed in zip(ROLES, table[route][1], strict=True):
            headers = {"Authorization": f"Bearer {tokens[role]}"}
            response = await client.request(method, path, headers=headers)
            assert (response.status_code == 403) != allowed, (role, route, response.text)
            assert response.status_code not in {401, 500}, (role, route, response.text)
        assert (await client.request(method, path)).status_code == 401, route


async def test_a_refusal_names_what_is_missing_and_who_has_it(
    client: httpx.AsyncClient, tokens: dict[str, str]
) -> None:
    headers = {"Authorization": f"Bearer {tokens['viewer']}"}
    problem = (await client.delete("/api/v1/views/x", headers=headers)).json()
    assert problem["type"] == "#forbidden"
    assert problem["detail"] == (
        "this needs the permission views.write, which operators and admins have"
    )


async def test_an_endpoint_that_is_not_declared_is_refused_even_to_an_admin(
    census: Census, tokens: dict[str, str]
) -> None:
    app = create_app(census.store, census.clock)
    router = APIRouter(prefix="/api/v1", dependencies=AUTHENTICATED)

    @router.get("/forgotten")
    async def forgotten() -> str:
        return "secret"

    app.include_router(router)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="https://census"
    ) as client:
        headers = {"Authorization": f"Bearer {tokens['admin']}"}
        response = await client.get("/api/v1/forgotten", headers=headers)
    assert response.status_code == 403
    assert "not declared" in response.json()["detail"]


def test_a_greater_role_may_all_that_a_lesser_one_may() -> None:
    granted = list(ROLES.values())
    assert all(less <= more for less, more in pairwise(granted))
    assert granted[-1] == frozenset(Permission)
