"""Every page in a real browser: barriers, contrast, width, policy, other hosts, weight, text of strangers.

KEYCENSUS_PICTURES names a directory into which each page is drawn: wide and on a phone, light and dark.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import pytest
from fakes import hostile
from fakes.actions import Routes
from fakes.browser import Page, session_of
from fakes.chromium import ALL, COLOURS, PHONE, WIDE, Tab, tab
from fakes.served import Served
from fakes.showroom import Showroom
from playwright.sync_api import Browser
from sqlalchemy import select

from keycensus_collector.access.permissions import ROLES
from keycensus_collector.access.rights import ENDPOINTS, OPEN_PAGES, PAGES
from keycensus_collector.api.security import COOKIE
from keycensus_collector.store import schema
from keycensus_collector.web.site import create_site

_FIRST_VISIT_BYTES = 200_000
_PICTURES = os.environ.get("KEYCENSUS_PICTURES", "")


def addresses(room: Showroom) -> dict[str, str]:
    """Return an address of each page, by the page's own."""
    certificate = room.known["shop.example.com"].sha256
    key = room.census.row(
        select(schema.certificate.c.key_id).where(schema.certificate.c.sha256 == certificate)
    )[0]
    number = room.hosts["shop1.example.com"]
    host = room.census.row(select(schema.host.c.host_id).where(schema.host.c.host_no == number))[0]
    agent = room.census.row(
        select(schema.agent.c.agent_id).where(schema.agent.c.state == "cloned")
    )[0]
    parts = {
        "/history": f"/history?id={certificate.hex()}",
        "/agents/{agent}": f"/agents/{agent}",
        "/users/{name}": "/users/ann",
        "/imports/list": "/imports/list?name=issuing-ca",
        "/certificates/{sha256}": f"/certificates/{certificate.hex()}",
        "/keys/{key_id}": f"/keys/{key.hex()}",
        "/hosts/{host_id}": f"/hosts/{host}",
        "/{list_}/by/{by}": "/certificates/by/issuer",
        "/{list_}/facets": "/certificates/facets",
        "/views/{name}": "/views/expiring",
        "/change": "/change?what=certificates&of=all&q=host:*",
        "/recertification/{name}": "/recertification/q4",
        "/teams/{name}": "/teams/web",
        "/teams/{name}/dissolve": "/teams/web/dissolve",
        "/people/{name}": "/people/ben",
        "/people/{name}/leave": "/people/ben/leave?to=security",
    }
    found: dict[str, str] = {}
    for line in [*PAGES, *OPEN_PAGES]:
        method, _, page = line.partition(" ")
        if method == "GET" and not page.startswith("/static/"):
            assert "{" not in page or page in parts, f"say above which {page} is opened"
            found[page] = parts.get(page, page)
    return found


def picture(opened: Tab, page: str, how: str) -> None:
    if _PICTURES:
        name = re.sub(r"[^a-z]+", "-", page).strip("-") or "overview"
        opened.picture(Path(_PICTURES) / f"{name}-{how}.png")


# Colours are all that differs in the dark, and width all that differs on a phone.
@pytest.mark.parametrize(
    ("how", "rules"),
    [("light", ALL), pytest.param("dark", COLOURS, marks=pytest.mark.long), ("phone", [])],
)
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_page_has_a_barrier_or_is_too_wide(
    browser: Browser, served: Served, showroom: Showroom, how: str, rules: list[str]
) -> None:
    wrong: list[str] = []
    scheme: Literal["light", "dark"] = "dark" if how == "dark" else "light"
    with tab(browser, served, scheme=scheme, size=PHONE if how == "phone" else WIDE) as opened:
        wrong_ways = {"/nothing": "/nothing", "/find/none": "/find?id=none", "/query": "/keys?q=("}
        for page, address in (addresses(showroom) | wrong_ways).items():
            opened.open(address)
            picture(opened, page, how)
            wrong += [f"{page} ({how}): {found}" for found in opened.barriers(rules)]
            if opened.is_too_wide():
                wrong.append(f"{page} ({how}): wider than the window")
        opened.check()
    assert not wrong, "\n".join(wrong)


@pytest.mark.long
def test_a_first_visit_loads_little(browser: Browser, served: Served, showroom: Showroom) -> None:
    loaded = 0

    def finished(event: dict[str, float]) -> None:
        nonlocal loaded
        loaded += int(event["encodedDataLength"])

    with tab(browser, served) as opened:
        network = opened.page.context.new_cdp_session(opened.page)
        network.send("Network.enable")
        network.send("Network.setCacheDisabled", {"cacheDisabled": True})
        network.on("Network.loadingFinished", finished)
        for page, address in addresses(showroom).items():
            loaded = 0
            opened.open(address)
            assert 0 < loaded <= _FIRST_VISIT_BYTES, (page, loaded)


def test_each_role_opens_the_pages_that_its_rights_name_and_no_other(
    served: Served, showroom: Showroom
) -> None:
    """What a page has leads to no refusal, either: neither its links nor its forms."""
    trusting = ssl.create_default_context(cafile=str(served.ca_file))
    session_of(showroom.census, "ann", "admin")  # the user whose page is opened
    site = create_site(showroom.census.store, showroom.census.clock)
    routes = Routes(site, served.app)
    for role, rights in ROLES.items():
        cookies = {COOKIE: session_of(showroom.census, f"a-{role}", role)}
        with httpx.Client(base_url=served.url, cookies=cookies, verify=trusting) as client:
            for page, address in addresses(showroom).items():
                permission = PAGES.get(f"GET {page}")
                may = permission is None or permission in rights
                answer = client.get(address, timeout=60)
                assert answer.status_code == (200 if may else 403), (role, page, answer.text)
                marked = Page(answer)
                ways = [("GET", way) for way in set(marked.links) - set(marked.posts)]
                ways += [("POST", way) for way in set(marked.posts)]
                for method, way in ways:
                    if way.startswith("/"):
                        name = routes.of(method, way)
                        asked = PAGES.get(name) or ENDPOINTS.get(name)
                        assert asked in rights or name in OPEN_PAGES, (role, page, way)


def test_every_form_that_asks_leads_to_a_page_as_it_stands(
    served: Served, showroom: Showroom
) -> None:
    """Filters, other days, what is compared: without script, and with nothing filled in but a day."""
    trusting = ssl.create_default_context(cafile=str(served.ca_file))
    cookies = {COOKIE: session_of(showroom.census, "ann", "admin")}
    asked: set[tuple[str, str]] = set()
    with httpx.Client(base_url=served.url, cookies=cookies, verify=trusting) as client:
        for page, address in addresses(showroom).items():
            for form in Page(client.get(address, timeout=60)).forms:
                if form.method == "get" and (form.action != "/find" or page == "/find"):
                    fields = dict(form.fields)
                    fields |= {"as_of": ["2027-01-15"]} if "as_of" in fields else {}
                    # Which rows, a list's buttons say.
                    fields |= {"of": ["all"], "q": ["host:*"]} if form.action == "/change" else {}
                    answer = client.get(form.action, params=fields, timeout=60)
                    assert answer.status_code == 200, (page, form, answer.text)
                    asked.add((page, form.action))
    assert len(asked) > 15


@pytest.fixture(scope="module")
def hostile_served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    census = hostile.fill(tmp_path_factory.mktemp("hostile"))
    served = Served(census, tmp_path_factory.mktemp("served"), "")
    yield served
    served.close()


def test_text_of_strangers_does_nothing_in_a_browser(
    browser: Browser, hostile_served: Served
) -> None:
    """FAULTS T12: no script runs, no element comes of it, the policy has nothing to refuse."""
    census = hostile_served.census
    pages = ["/", "/certificates", "/keys", "/places", "/hosts", "/views", "/places/by/package"]
    pages += ["/change?what=certificates&of=all&q=expires<90d", "/teams", "/people", "/rules"]
    pages += [f"/hosts/{row[0]}" for row in census.rows(select(schema.host.c.host_id).limit(3))]
    pages += [
        f"/certificates/{row[0].hex()}"
        for row in census.rows(select(schema.certificate.c.sha256).limit(3))
    ]
    with tab(browser, hostile_served) as opened:
        opened.page.on("dialog", lambda dialog: opened.wrong.append(f"dialog: {dialog.message}"))
        for address in pages:
            opened.open(address)
            assert opened.page.locator("main img, main iframe, main script").count() == 0, address
        for text in hostile.TEXTS:
            box = opened.open("/certificates").locator("#q")
            box.fill(text.replace("\r", "").replace("\n", ""))
            box.press("Enter")
        opened.check()
