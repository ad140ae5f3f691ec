"""First use: a link sets the first admin's password, once, in time, and only while nobody is there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from fakes.browser import ORIGIN, Page, signed_in
from fakes.census import Census
from fakes.markup import check_accessible, check_inert
from sqlalchemy import select

from keycensus_collector.access import first_use, users
from keycensus_collector.api.security import COOKIE
from keycensus_collector.errors import MissingError
from keycensus_collector.store import schema
from keycensus_collector.store.tables.access import first_use as table
from keycensus_collector.web.site import create_front

PASSWORD = "correct horse battery"


@pytest.fixture
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    with census.store.write() as connection:
        users.add_user(connection, name="admin", role="admin", now_ms=0, actor="operator")
        users.add_user(connection, name="vic", role="viewer", now_ms=0, actor="operator")
    yield census
    census.store.close()


@pytest.fixture
async def client(census: Census) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_front(census.store, census.clock))
    async with httpx.AsyncClient(
        transport=transport, base_url=ORIGIN, headers={"Origin": ORIGIN}, timeout=60
    ) as client:
        yield client


def offer(census: Census) -> str:
    with census.store.write() as connection:
        return first_use.offer(
            connection, user_name="admin", now_ms=census.clock.now_ms(), actor="operator"
        ).secret


async def send(client: httpx.AsyncClient, secret: str, **fields: str) -> httpx.Response:
    form = {"secret": secret, "password": PASSWORD, "repeated": PASSWORD} | fields
    return await client.post("/first-use", data=form)


async def test_the_link_sets_the_password_signs_in_and_counts_once(
    census: Census, client: httpx.AsyncClient
) -> None:
    secret = offer(census)
    page = Page(await client.get("/first-use"))
    check_accessible(page)
    check_inert(page)
    assert "data-fragment" in page.attributes
    for fields, words in (
        ({"repeated": "something else"}, "typed in two ways"),
        ({"password": "short", "repeated": "short"}, "12 to 1024 characters"),
        ({"sent": "<i>wrong"}, "this link was used, has expired, or is not whole"),
    ):
        answer = await send(client, fields.pop("sent", secret), **fields)
        assert answer.status_code in {400, 404}
        assert words in Page(answer).words
        check_inert(Page(answer))
    answer = await send(client, secret)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert answer.cookies[COOKIE]
    assert (await client.get("/users")).status_code == 200
    assert (await send(client, secret)).status_code == 404
    assert "No link is open" in (await client.get("/first-use")).text
    stored = census.row(select(schema.user.c.password_hash).where(schema.user.c.name == "admin"))[0]
    assert users.password_matches(stored, PASSWORD)
    rows = census.rows(select(schema.audit.c.action, schema.audit.c.actor, schema.audit.c.detail))
    done = [(row.action, row.actor) for row in rows[2:] if not row.action.endswith(".read")]
    assert done == [
        ("first-use.offer", "operator"),
        ("first-use.take", "user:admin"),
        ("user.passwd", "user:admin"),
        ("session.begin", "user:admin"),
    ]
    assert secret not in str(rows)


async def test_it_is_refused_when_it_is_old_replaced_or_came_from_elsewhere(
    census: Census, client: httpx.AsyncClient
) -> None:
    first, second = offer(census), offer(census)
    assert (await send(client, first)).status_code == 404
    form = {"secret": second, "password": PASSWORD, "repeated": PASSWORD}
    foreign = await client.post(
        "/first-use", data=form, headers={"Origin": "https://evil.example.com"}
    )
    assert foreign.status_code == 403
    census.clock.advance(24 * 3600 - 1)
    with census.store.read() as connection:
        assert first_use.holder(connection, second, census.clock.now_ms()) == "admin"
    census.clock.advance(1)
    assert (await send(client, second)).status_code == 404
    assert "No link is open" in (await client.get("/first-use")).text


async def test_it_ends_when_an_admin_signs_in_or_gets_a_password_and_not_before(
    census: Census,
) -> None:
    now_ms, secret = census.clock.now_ms(), offer(census)
    async with signed_in(census, "vic"):
        assert census.rows(select(table))
    async with signed_in(census, "other", "admin"):
        assert not census.rows(select(table))
    secret = offer(census)
    with census.store.write() as connection:
        users.set_password(
            connection, name="vic", password_hash="x", now_ms=now_ms, actor="operator"
        )
        assert first_use.holder(connection, secret, now_ms) == "admin"
        users.set_password(
            connection, name="admin", password_hash="x", now_ms=now_ms, actor="operator"
        )
        with pytest.raises(MissingError):
            first_use.holder(connection, secret, now_ms)
