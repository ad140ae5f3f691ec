"""The page of imports: files go where REST's go, of those who may, and nobody else's is read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from fakes import hostile
from fakes.browser import ORIGIN, Browser, Page, signed_in
from fakes.bundled import BundledHost
from fakes.census import Census
from fakes.markup import check_accessible, check_inert
from fakes.pki import issue

from keycensus_collector.web.site import create_front

ROOT = issue("Import root", is_ca=True, days=3650)
LEAF = issue("leaf.example.com", issuer=ROOT, days=30)
BODY_BYTES = 33 * 1024 * 1024


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Census]:
    census = Census.create(tmp_path_factory.mktemp("census"))
    census.host("web1")
    yield census
    census.store.close()


async def bring(browser: Browser, what: str, file: bytes, status: int = 201, **fields: str) -> Page:
    csrf = (await browser.get("/imports")).form("/sign-out").fields["csrf"][0]
    response = await browser.client.post(
        f"/imports/{what}", data={"csrf": csrf, **fields}, files={"file": ("name", file)}
    )
    assert response.status_code == status, response.text
    return Page(response)


async def test_each_kind_of_file_is_taken_and_listed(census: Census) -> None:
    async with signed_in(census, "opa", "operator") as browser:
        page = await bring(browser, "hosts", b"name\nweb1\nweb2\n", source="cmdb", format="csv")
        assert "Without an agent 1" in page.words
        assert "web2" in page.words
        page = await bring(browser, "artifacts", LEAF.pem, 200, name="ours", preview="yes")
        assert "Nothing was taken yet." in page.words
        page = await bring(browser, "artifacts", LEAF.pem + ROOT.pem, name="ours")
        assert "Certificates 2" in page.words
        check_accessible(page)
        listed = f"serial,subject\n{LEAF.certificate.serial_number:x},CN=leaf.example.com\n"
        await census.work()
        page = await bring(
            browser,
            "ca-list",
            listed.encode(),
            name="ca",
            format="csv",
            serials="hex",
            issuer=ROOT.sha256.hex(),
        )
        assert "Entries 1" in page.words
        page = await browser.get("/imports")
        check_accessible(page)
        for words in ("cmdb", "ours", "ca", "user:opa", "of an authority"):
            assert words in page.words
        await census.work()
        entries = await browser.get("/imports/list", name="ca", kind="ca-list")
        check_accessible(entries)
        assert f"/certificates/{LEAF.sha256.hex()}" in entries.links
        shown = await browser.get(f"/certificates/{LEAF.sha256.hex()}")
        check_accessible(shown)
        assert "/imports/list?name=ca&kind=ca-list" in shown.links
        assert "ca of an authority, by user:opa since" in shown.words
        assert "ours a file of certificates, by user:opa since" in shown.words
        entries = await browser.get("/imports/list", name="ca", missing="true")
        assert "Nothing of it is missing." in entries.words
        await browser.get("/imports/list", 404, name="none")
        rest = (await browser.client.get("/api/v1/imports")).json()
        assert sorted(each["source"] for each in rest) == ["ca", "cmdb", "ours"]


async def test_a_bundle_is_taken(census: Census, tmp_path: Path) -> None:
    host = BundledHost(tmp_path)
    host.put_pair(LEAF)
    bundle = host.bundle().read_bytes()
    async with signed_in(census, "opa", "operator") as browser:
        page = await bring(browser, "bundle", bundle)
        assert "The file is taken." in page.words
        page = await browser.get("/imports")
        assert "bundle" in page.words


async def test_what_is_wrong_is_said_and_nothing_is_taken(census: Census) -> None:
    async with signed_in(census, "opa", "operator") as browser:
        page = await bring(browser, "hosts", b"name\nx\n", 400, format="csv")
        assert "say what it is called" in page.words
        page = await bring(browser, "hosts", b"name\nx\n", 400, source="s", format="odd")
        assert "say how the list is written" in page.words
        assert page.form("/imports/hosts").fields["source"] == ["s"]
        check_accessible(page)
        page = await bring(browser, "artifacts", b"", 400, name="empty")
        assert "choose a file that is not empty" in page.words
        page = await bring(browser, "artifacts", b"no certificate", 400, name="odd")
        page = await bring(browser, "ca-list", b"a", 400, name="odd", serials="roman")
        assert "serial numbers" in page.words
        page = await bring(browser, "bundle", b"no bundle", 400)
        assert "this is no bundle" in page.words


async def test_a_file_of_who_may_not_is_not_even_read(census: Census) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(4):
            read += 1
            yield b"x" * 65_536

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with signed_in(census, "vic", "viewer") as browser:
        page = await browser.get("/imports")
        assert not [form for form in page.forms if form.action.startswith("/imports/")]
        response = await browser.client.post("/imports/bundle", content=body(), headers=headers)
        assert response.status_code == 403
    transport = httpx.ASGITransport(create_front(census.store, census.clock))
    async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as nobody:
        response = await nobody.post("/imports/bundle", content=body(), headers=headers)
        assert response.status_code == 303
    async with signed_in(census, "opa", "operator") as browser:
        foreign = headers | {"Origin": "https://evil.example.com"}
        response = await browser.client.post("/imports/bundle", content=body(), headers=foreign)
        assert response.status_code == 403
    assert read == 0


async def test_a_file_is_bounded_two_are_refused_and_other_forms_take_none(census: Census) -> None:
    async with signed_in(census, "opa", "operator") as browser:
        csrf = (await browser.get("/imports")).form("/sign-out").fields["csrf"][0]

        async def send(address: str, *files: bytes) -> httpx.Response:
            return await browser.client.post(
                address,
                data={"csrf": csrf, "source": "x", "format": "csv"},
                files=[("file", ("name", file)) for file in files],
            )

        two = await send("/imports/hosts", b"name\na\n", b"name\nb\n")
        assert two.status_code == 400
        large = await send("/imports/hosts", bytes(BODY_BYTES))
        assert (large.status_code, large.headers["Content-Type"][:9]) == (413, "text/html")
        page = Page(large)
        check_inert(page)
        assert "bytes, and more was sent: nothing of it was read. Go back" in page.words
        assert "Content-Security-Policy" in large.headers
        assert (await send("/views", b"x")).status_code == 400


async def test_strangers_text_stays_text(census: Census) -> None:
    async with signed_in(census, "opa", "operator") as browser:
        for number, text in enumerate(hostile.TEXTS):
            leaf = issue(text, issuer=ROOT, days=30)
            csrf = (await browser.get("/imports")).form("/sign-out").fields["csrf"][0]
            response = await browser.client.post(
                "/imports/artifacts",
                data={"csrf": csrf, "name": f"{number} {text}"},
                files={"file": (ascii(text), leaf.pem)},
            )
            check_inert(Page(response))
        page = await browser.get("/imports")
        check_inert(page)
        check_accessible(page)
        lists = [link for link in page.links if link.startswith("/imports/list?")]
        assert len(lists) >= len(hostile.TEXTS)
        for link in lists:
            check_inert(await browser.get(link))
