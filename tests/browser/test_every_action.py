"""Every form of every page, in each role: who is offered it, who may send it, and that it does what it says.

The list is the application's own: a route that takes a form and has no row in fakes/actions.py fails here.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fakes.actions import PASSWORD, Action, Routes, actions, user_of
from fakes.browser import Page as Marked
from fakes.browser import session_of
from fakes.census import Census, in_thread
from fakes.chromium import Tab, tab
from fakes.served import Served
from fakes.showroom import Showroom
from playwright.sync_api import Browser, Locator, expect
from sqlalchemy import func, select, update

from keycensus_collector.access import first_use
from keycensus_collector.access.permissions import ROLES, SCOPED
from keycensus_collector.access.rights import OPEN_PAGES, PAGES, SENSITIVE
from keycensus_collector.access.users import add_user
from keycensus_collector.api.security import COOKIE
from keycensus_collector.store import schema
from keycensus_collector.web.site import create_site


@dataclass(frozen=True, slots=True)
class Site:
    """A company that these tests change and no other, what serves it, and its routes."""

    room: Showroom
    served: Served
    routes: Routes


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    room = Showroom.create(tmp_path_factory.mktemp("showroom"))
    in_thread(room.own)
    served = Served(room.census, tmp_path_factory.mktemp("served"), "")
    yield Site(room, served, Routes(create_site(room.census.store, room.census.clock)))
    served.close()


def written(census: Census) -> int:
    """Return how many rows the audit log has but of reads: each write leaves one."""
    read = schema.audit.c.action.in_(set(SENSITIVE.values()))
    return int(census.row(select(func.count()).where(~read))[0])


def offered(client: httpx.Client, pattern_of: Routes, route: str, page: str) -> str:
    """Return where the first form of a route on a page is sent to; "" if there is none."""
    response = client.get(page)
    assert response.status_code in {200, 403, 404}, (page, response.status_code)
    pattern = pattern_of.pattern(route)
    return next((to for to in Marked(response).posts if pattern.match(to)), "")


def test_each_role_is_offered_what_it_may_send_and_refused_all_else(
    site: Site, tmp_path: Path
) -> None:
    """What is refused was sent in a session and with its token; what has none is refused, too. Neither writes anything."""
    served, room, routes = site.served, site.room, site.routes
    table = actions(served, room, "seen", tmp_path)
    assert set(table) == {name for name in routes.names if name.startswith("POST ")} - OPEN_PAGES
    rights = {user_of(role, "seen"): ROLES[role] for role in reversed(ROLES)}
    session_of(room.census, "part", "operator")
    with room.census.store.write() as connection:
        user = schema.user
        connection.execute(update(user).where(user.c.name == "part").values(sees="teams"))
    rights["part"] = ROLES["operator"] & SCOPED
    trusting = ssl.create_default_context(cafile=str(served.ca_file))
    with ExitStack() as stack:
        clients = {
            name: stack.enter_context(
                httpx.Client(
                    base_url=served.url,
                    cookies={COOKIE: session_of(room.census, name, "")},
                    headers={"Origin": served.url},
                    verify=trusting,
                    timeout=60,
                )
            )
            for name in rights
        }
        csrf = {
            name: Marked(client.get("/account")).form("/sign-out").fields["csrf"][0]
            for name, client in clients.items()
        }
        for route, action in table.items():
            to = ""
            for name, granted in rights.items():
                may = PAGES[route] in granted
                found = offered(clients[name], routes, route, action.page)
                # Of whom sees a part the thing itself may not be.
                assert bool(found) == may or (may and name == "part"), (name, route, found)
                to = to or found
                before = written(room.census)
                if not may:
                    answer = clients[name].post(to, data={**action.fields, "csrf": csrf[name]})
                    assert answer.status_code == 403, (name, route, answer.text)
                forged = clients[name].post(to, data={**action.fields, "csrf": csrf["part"][::-1]})
                assert forged.status_code == 403, (name, route, forged.text)
                assert written(room.census) == before, (name, route)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["plain", "told", pytest.param("script", marks=pytest.mark.long)])
def test_every_form_does_what_it_says_by_keyboard_for_the_least_who_may(
    browser: Browser, site: Site, tmp_path: Path, how: str
) -> None:
    """Without script; and with it, in short where the way leads over a page that no other test sees."""
    table = actions(site.served, site.room, how, tmp_path)
    script = how != "plain"
    with ExitStack() as stack:
        tabs = {
            role: stack.enter_context(
                tab(browser, site.served, user_of(role, how), role, script=script)
            )
            for role in ROLES
        }
        for route, action in table.items():
            if how != "told" or action.is_told:
                least = next(role for role, granted in ROLES.items() if PAGES[route] in granted)
                send(tabs[least], site.routes, route, action, barriers=script)
                tabs[least].check()


def send(opened: Tab, routes: Routes, route: str, action: Action, *, barriers: bool) -> None:
    """Find the form, fill it in and send it with the keyboard alone; what is told on the way has no barrier."""
    page = opened.open(action.page)
    there = page.locator('form[method="post"], button[formaction]')
    addresses = there.evaluate_all(
        "all => all.map(one => one.getAttribute('formaction') ?? one.getAttribute('action'))"
    )
    pattern = routes.pattern(route)
    to = next((each for each in addresses if pattern.match(each)), None)
    assert to is not None, (route, action.page, addresses)
    form = there.nth(addresses.index(to))
    button = form.locator(f"button:not([disabled]){action.button}").first
    if form.evaluate("one => one.tagName") == "BUTTON":
        button = page.locator(f'button[formaction="{to}"]{action.button}')
    closed = button.locator("xpath=ancestor::details[not(@open)]/summary")
    while closed.count():
        closed.first.press("Enter")
    for name, value in action.fields.items():
        fill(form.locator(f'[name="{name}"]'), value)
    with page.expect_navigation() as answered:
        button.press("Enter")
    if action.then:
        told(opened, barriers=barriers)
        with page.expect_navigation() as answered:
            page.locator("main").get_by_role("button", name=action.then, exact=True).press("Enter")
    assert answered.value.ok, (route, page.inner_text("main"))
    assert action.said in page.inner_text("main"), (route, page.inner_text("main"))
    if action.is_told and not action.then:
        told(opened, barriers=barriers)


def told(opened: Tab, *, barriers: bool) -> None:
    """Check a page that stands at no address, so that no other test opens it."""
    found = opened.barriers() if barriers else []
    assert not found, (opened.page.url, found)
    assert not opened.is_too_wide(), opened.page.url


def fill(control: Locator, value: str | bytes) -> None:
    kind = control.first.evaluate("one => one.type")
    if isinstance(value, bytes):
        control.set_input_files({"name": "file", "mimeType": "text/plain", "buffer": value})
    elif kind == "select-one":
        control.select_option(value)
    elif kind == "checkbox":
        control.and_(control.page.locator(f'[value="{value}"]')).press("Space")
    else:
        control.fill(value)


@pytest.mark.parametrize("how", ["plain", "script"])
def test_the_first_admin_sets_a_password_signs_out_and_in_again_by_keyboard(
    browser: Browser, tmp_path: Path, how: str
) -> None:
    """Without script the secret is typed: it stands behind the #, which no collector sees."""
    assert {"POST /sign-in", "POST /first-use"} == {
        name for name in OPEN_PAGES if name.startswith("POST ")
    }
    census = Census.create(tmp_path)
    with census.store.write() as connection:
        add_user(connection, name="admin", role="admin", now_ms=0, actor="operator")
        now_ms = census.clock.now_ms()
        secret = first_use.offer(
            connection, user_name="admin", now_ms=now_ms, actor="operator"
        ).secret
    served = Served(census, tmp_path, "")
    with tab(browser, served, "", script=how == "script") as opened:
        page = opened.open(f"/first-use#{secret}")
        if how == "plain":
            page.get_by_label("Secret").fill(secret)
        page.get_by_label("Password, of").fill(PASSWORD)
        page.get_by_label("Password again").fill(PASSWORD)
        page.get_by_label("Password again").press("Enter")
        expect(page.locator("header summary")).to_have_text("admin")
        page.locator("header summary").press("Enter")
        page.get_by_role("button", name="Sign out", exact=True).press("Enter")
        page.get_by_label("User").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_label("Password").press("Enter")
        expect(page.locator("header summary")).to_have_text("admin")
        opened.check()
    served.close()
