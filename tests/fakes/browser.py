"""A browser without a screen: it is signed in, follows links, and fills in and sends the forms of pages."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from html.parser import HTMLParser

import httpx
from fakes.census import Census
from sqlalchemy import select

from keycensus_collector.access import sessions
from keycensus_collector.access.users import add_user
from keycensus_collector.api.security import COOKIE
from keycensus_collector.store.schema import user
from keycensus_collector.web.site import create_front

ORIGIN = "https://census"


@dataclass
class Form:
    """A form of a page with what its controls hold, several values to a name; buttons hold nothing."""

    action: str
    method: str
    fields: dict[str, list[str]] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """What a page is marked up with, its words, and its forms."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.status, self.address, self.text = response.status_code, response.url, response.text
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []
        self.forms: list[Form] = []
        # Where forms and single buttons of them send to, of what writes.
        self.posts: list[str] = []
        self.ids: list[str] = []
        self.headings: list[int] = []
        # Ids that labels are for, ids that controls are described by, and controls by name and id.
        self.labelled: set[str] = set()
        self.described: set[str] = set()
        self.controls: list[tuple[str, str]] = []
        self._said: list[str] = []
        self._name = self._open = ""
        self._in_label = False
        self.feed(response.text)

    @property
    def words(self) -> str:
        """Everything that the page says, with single spaces."""
        return " ".join(" ".join(self._said).split())

    @property
    def tiles(self) -> dict[str, str]:
        """The figures of the page's tiles, by where they lead."""
        found = re.findall(r'<a class="tile[^>]*href="([^"#]+)">\s*<strong>([\d,]+)', self.text)
        return {html.unescape(way): figure for way, figure in found}

    @property
    def total(self) -> str:
        """The figure beside the page's heading; empty if there is none."""
        found = re.search(r'<h1[^>]*>[^<]*<span class="quiet">([\d,]+)', self.text)
        return found[1] if found else ""

    def form(self, action: str) -> Form:
        """Return the form that is sent to an address: before one that searches, one that writes."""
        found = [form for form in self.forms if form.action == action]
        found.sort(key=lambda form: form.method != "post")
        assert found, (action, [form.action for form in self.forms])
        return found[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        given = {name: value or "" for name, value in attrs}
        self._note(tag, given)
        self.links += [given[name] for name in ("href", "src", "action") if name in given]
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        if given.get("method") == "post" or "formaction" in given:
            self.posts.append(given.get("formaction") or given.get("action", ""))
        if not self.forms:
            return
        fields, name = self.forms[-1].fields, given.get("name", "")
        if tag == "input" and name:
            if given.get("type") not in {"checkbox", "radio"} or "checked" in given:
                fields.setdefault(name, []).append(given.get("value", ""))
        elif tag in {"select", "textarea"}:
            self._name, self._open = name, tag
            fields[name] = [] if tag == "select" else [""]
        elif tag == "option" and self._open == "select":
            if "selected" in given or not fields[self._name]:
                fields[self._name] = [given.get("value", "")]
        elif tag == "button":
            self.forms[-1].buttons.append((name, given.get("value", "")))

    def _note(self, tag: str, given: dict[str, str]) -> None:
        """Note what people who hear a page or type on it need."""
        if "id" in given:
            self.ids.append(given["id"])
        if tag in {"h1", "h2", "h3"}:
            self.headings.append(int(tag[1]))
        self._in_label = tag == "label" or (self._in_label and tag == "input")
        self.labelled |= {given["for"]} if "for" in given else set()
        for name in ("aria-describedby", "aria-labelledby", "data-copy"):
            self.described |= set(given.get(name, "").split())
        typed = tag in {"select", "textarea"} or (tag == "input" and given.get("type") != "hidden")
        if typed and not self._in_label and "aria-label" not in given:
            self.controls.append((given.get("name", ""), given.get("id", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._open:
            self._open = ""

    def handle_data(self, data: str) -> None:
        self._said.append(data)
        if self._open == "textarea":
            self.forms[-1].fields[self._name] = [
                self.forms[-1].fields[self._name][0] + data.removeprefix("\n")
            ]


class Browser:
    """Signed in as somebody. Pages come with status 200 unless another is asked for."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def get(self, address: str, status: int = 200, **parameters: str) -> Page:
        """Open a page."""
        response = await self.client.get(address, params=parameters or None)
        assert response.status_code == status, (address, response.status_code, response.text)
        return Page(response)

    async def send(
        self, page: Page, action: str, status: int = 303, **fields: str | Iterable[str]
    ) -> Page:
        """Fill in `fields` of the page's form for `action`, send it, and go where that leads."""
        form = page.form(action)
        filled = form.fields | {
            name: [value] if isinstance(value, str) else list(value)
            for name, value in fields.items()
        }
        response = await self.client.post(action, data=filled)
        assert response.status_code == status, (action, response.status_code, response.text)
        if status != httpx.codes.SEE_OTHER:
            return Page(response)
        return await self.get(response.headers["Location"])


def session_of(census: Census, name: str, role: str) -> str:
    """Return the cookie of a new session of a user, who is made if there is none of the name."""
    now_ms = census.clock.now_ms()
    with census.store.write() as connection:
        number = connection.execute(select(user.c.user_no).where(user.c.name == name)).scalar()
        if number is None:
            add_user(connection, name=name, role=role, now_ms=now_ms, actor="operator")
            number = connection.execute(
                select(user.c.user_no).where(user.c.name == name)
            ).scalar_one()
        made = sessions.begin(
            connection,
            user_no=number,
            how="password",
            visitor=sessions.Visitor("127.0.0.1"),
            now_ms=now_ms,
        )
    return made.text


@asynccontextmanager
async def signed_in(
    census: Census, name: str = "ann", role: str = "admin"
) -> AsyncIterator[Browser]:
    """Give a browser in which a user is signed in."""
    transport = httpx.ASGITransport(create_front(census.store, census.clock))
    async with httpx.AsyncClient(
        transport=transport,
        base_url=ORIGIN,
        headers={"Origin": ORIGIN},
        cookies={COOKIE: session_of(census, name, role)},
        timeout=60,
    ) as client:
        yield Browser(client)
