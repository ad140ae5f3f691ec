"""What leads where: the sections of the site and their pages. Who may not see a page is not led to it."""

from __future__ import annotations

from dataclasses import dataclass

from keycensus_collector.access.principals import Principal
from keycensus_collector.access.rights import needed
from keycensus_collector.web.listed import LOCKED


@dataclass(frozen=True, slots=True)
class Section:
    """A section: `pages` are (address, title); the first that somebody may see is where its title leads."""

    title: str
    pages: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Way:
    """A link of a menu: `here` is "page" for the page itself, "true" for what it is part of, else ""."""

    address: str
    title: str
    here: str


@dataclass(frozen=True, slots=True)
class Menu:
    """The sections, and beside them the pages of the one that is open, if they are several."""

    sections: list[Way]
    pages: list[Way]


# To add a page: its right in access/rights.py, PAGES, and its line here if it is led to from everywhere.
SECTIONS = (
    Section(
        "Overview",
        (
            ("/", "Overview"),
            ("/changes", "What changed"),
            ("/coverage", "Coverage"),
            ("/gaps", "Gaps"),
        ),
    ),
    Section("Certificates", (("/certificates", "Certificates"),)),
    Section("Keys", (("/keys", "Keys"),)),
    Section("Places", (("/places", "Places"), ("/locked", LOCKED.title))),
    Section("Hosts", (("/hosts", "Hosts"),)),
    Section(
        "Owners",
        (
            ("/teams", "Teams"),
            ("/people", "People"),
            ("/rules", "Rules"),
            ("/recertification", "Recertification"),
        ),
    ),
    Section("Views", (("/views", "Views"),)),
    Section(
        "Administration",
        (
            ("/agents", "Agents"),
            ("/clones", "Clones"),
            ("/enrolment", "Enrolment"),
            ("/users", "Users"),
            ("/audit", "Audit"),
            ("/imports", "Imports"),
        ),
    ),
)


def menu(principal: Principal, path: str) -> Menu:
    """Return what leads to the pages that somebody may see, from the page at `path`."""
    sections: list[Way] = []
    pages: list[Way] = []
    for section in SECTIONS:
        ways = [
            Way(address, title, _here(address, path))
            for address, title in section.pages
            if _may_see(principal, address)
        ]
        if not ways:
            continue
        here = next((way.here for way in ways if way.here), "")
        here = "true" if here and not ways[0].here else here
        sections.append(Way(ways[0].address, section.title, here))
        if here and len(ways) > 1:
            pages = ways
    return Menu(sections, pages)


def _may_see(principal: Principal, address: str) -> bool:
    permission = needed("GET", address)
    return permission is not None and principal.may(permission)


def _here(address: str, path: str) -> str:
    if path == address:
        return "page"
    return "true" if address != "/" and path.startswith(address + "/") else ""
