"""Debian's Chromium, driven by Playwright: what it loads, reports and shows of the pages of a collector."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from fakes.browser import session_of
from fakes.served import Served
from playwright.sync_api import Browser, Page, Request, ViewportSize, sync_playwright

from keycensus_collector.api.security import COOKIE

WIDE: ViewportSize = {"width": 1360, "height": 850}
PHONE: ViewportSize = {"width": 390, "height": 844}
# Everything that WCAG 2.2 AA asks for as far as a program can tell, and what axe calls good practice.
ALL = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = ["color-contrast"]
_WATCH = """
addEventListener("securitypolicyviolation", (event) => {
  (window.violations ??= []).push(`${event.violatedDirective}: ${event.blockedURI}`);
});
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run it without a window; it ends with the block."""
    program = shutil.which("chromium")
    assert program is not None, "chromium is not installed (Debian: apt install chromium)"
    with sync_playwright() as playwright:
        # Without its own sandbox, which root can't have; it sees nothing but pages of ours.
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@dataclass
class Tab:
    """One tab, and what went wrong in it: errors of scripts, of the policy, requests to other hosts.

    `others`: hosts that people go to, and pages of the collector load nothing from.
    """

    page: Page
    origin: str
    others: tuple[str, ...] = ()
    wrong: list[str] = field(default_factory=list)
    bytes_loaded: int = 0

    def __post_init__(self) -> None:
        self.page.add_init_script(_WATCH)
        self.page.on("pageerror", lambda error: self.wrong.append(f"script: {error}"))
        self.page.on("request", self._requested)
        self.page.on(
            "console",
            lambda message: self._said(message.type, message.text),
        )

    def _requested(self, request: Request) -> None:
        known = (self.origin + "/", "data:", "blob:")
        gone_to = request.is_navigation_request() and request.url.startswith(self.others)
        if not request.url.startswith(known) and not gone_to:
            self.wrong.append(f"request: {request.url}")

    def _said(self, kind: str, text: str) -> None:
        # A page that says 404 on purpose is told on the console, too.
        if kind in {"error", "warning"} and "Failed to load resource" not in text:
            self.wrong.append(f"console: {text}")

    def open(self, address: str) -> Page:
        """Open a page of the collector, with all that it loads."""
        self.page.goto(self.origin + address, wait_until="load")
        return self.page

    def check(self) -> None:
        """Fail on what went wrong so far, and on what the page's policy refused."""
        refused = self.page.evaluate("window.violations ?? []")
        assert not self.wrong, (self.page.url, self.wrong)
        assert not refused, (self.page.url, refused)

    def barriers(self, rules: Sequence[str] = ALL) -> list[str]:
        """Return what axe finds by these rules or groups of rules, with the elements that it means."""
        if not rules:
            return []
        found = Axe().run(self.page, options={"runOnly": list(rules)}).response["violations"]
        return [
            f"{one['id']}: {one['help']}: {node['html'][:200]}"
            for one in found
            for node in one["nodes"]
        ]

    def is_too_wide(self) -> bool:
        """Whether the page must be moved sideways to be read."""
        return bool(
            self.page.evaluate(
                "document.documentElement.scrollWidth > document.documentElement.clientWidth"
            )
        )

    def picture(self, path: Path, *, whole: bool = True) -> None:
        """Take a picture of the page."""
        self.page.screenshot(path=str(path), full_page=whole)


@contextmanager
def tab(
    browser: Browser,
    served: Served,
    name: str = "ann",
    role: str = "admin",
    *,
    scheme: Literal["light", "dark"] = "light",
    size: ViewportSize = WIDE,
    script: bool = True,
    others: tuple[str, ...] = (),
) -> Iterator[Tab]:
    """Give a tab of a browser of its own in which a user is signed in; nobody if `name` is ""."""
    context = browser.new_context(
        ignore_https_errors=True,
        color_scheme=scheme,
        viewport=size,
        java_script_enabled=script,
        reduced_motion="reduce",
    )
    if name:
        cookie = session_of(served.census, name, role)
        context.add_cookies(
            [{"name": COOKIE, "value": cookie, "url": served.url, "secure": True, "httpOnly": True}]
        )
    yield Tab(context.new_page(), served.url, others)
    context.close()
