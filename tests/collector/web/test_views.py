"""The page of views: saved, changed and deleted by forms, by those who may."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fakes.browser import signed_in
from fakes.census import Census
from sqlalchemy import select

from keycensus_collector.store.schema import audit


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    yield census
    census.store.close()


async def test_a_view_is_saved_changed_and_deleted(census: Census) -> None:
    async with signed_in(census) as browser:
        page = await browser.get("/views", what="hosts", q="state:silent")
        assert page.form("/views").fields["query"] == ["state:silent"]
        assert page.form("/views").fields["what"] == ["hosts"]
        page = await browser.send(page, "/views", name="my-silent", description="Call them")
        assert "The view is saved." in page.words
        assert "/hosts?q=state%3Asilent" in page.links
        page = await browser.get("/views/my-silent")
        page = await browser.send(page, "/views", query="state:active")
        assert "state:active" in page.words
        page = await browser.get("/views/my-silent")
        page = await browser.send(page, "/views/my-silent/delete")
        assert "The view is deleted." in page.words
        assert "my-silent" not in page.words
        await browser.get("/views/my-silent", 404)
    actions = [
        row.action
        for row in census.rows(select(audit.c.action, audit.c.actor))
        if row.actor == "user:ann"
    ]
    assert actions == ["session.begin", "view.save", "view.save", "view.delete"]


async def test_gaps_have_views_which_are_counted_and_tiles(census: Census) -> None:
    host = census.host("nfs1")
    census.gap(host, "/mnt/a", "network-file-system")
    census.gap(host, "/srv")
    async with signed_in(census) as browser:
        page = await browser.get("/views", what="gaps", q="gap-reason:network*")
        assert page.form("/views").fields["what"] == ["gaps"]
        page = await browser.send(page, "/views", name="mounts")
        assert "/gaps?q=gap-reason%3Anetwork%2A" in page.links
        page = await browser.send(await browser.get("/tiles"), "/tiles", tile=["mounts"])
        assert re.search(r"<strong>1</strong>\s*<span>mounts", page.text)
        found = (await browser.client.get("/api/v1/views?counts=true")).json()
        (mounts,) = [view for view in found if view["name"] == "mounts"]
        assert (mounts["what"], mounts["total"]) == ("gaps", 1)
        page = await browser.get("/changes", what="gaps")
        assert {"nfs1:/mnt/a", "nfs1:/srv"} <= {text.strip() for text in page.words.split()}
    census.clock.advance(9 * 86_400)
    async with signed_in(census) as browser:
        assert "nfs1:/srv" not in (await browser.get("/changes", what="gaps")).words


async def test_what_is_wrong_is_said_beside_the_form_that_was_filled_in(census: Census) -> None:
    async with signed_in(census) as browser:
        page = await browser.get("/views")
        page = await browser.send(page, "/views", 400, name="mine", query="stat:silent")
        assert page.form("/views").fields["query"] == ["stat:silent"]
        assert "state" in page.words
        assert "^^^^" in page.words
        page = await browser.send(page, "/views", 400, name="No Name", query="state:silent")
        assert "No Name" in page.form("/views").fields["name"]
        page = await browser.send(page, "/views", 400, name="mine", what="nothing", query="a")
        assert "what:" in page.words


async def test_who_may_only_look_is_offered_nothing_and_refused(census: Census) -> None:
    async with signed_in(census, "vic", "viewer") as browser:
        page = await browser.get("/views")
        assert [form.action for form in page.forms] == ["/find", "/sign-out"]
        form = {"csrf": page.form("/sign-out").fields["csrf"][0], "name": "x", "query": "a"}
        response = await browser.client.post("/views", data=form)
        assert response.status_code == 403
        assert "Sign out" in response.text
