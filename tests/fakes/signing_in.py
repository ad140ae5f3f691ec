"""A collector with a provider of OpenID Connect beside it, and browsers that go from one to the other."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakes.census import Census
from fakes.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider, running_provider
from fastapi import FastAPI
from sqlalchemy import select

from keycensus_collector.api.app import create_app
from keycensus_collector.api.oidc import clients
from keycensus_collector.oidc.settings import Provider, SignIn
from keycensus_collector.store.schema import audit

ORIGIN = "https://census"
START = "/api/v1/oidc/corp/start"


@dataclass
class Site:
    """The two of them. `configure` changes what the collector's configuration says of the provider."""

    census: Census
    provider: OidcProvider
    settings: Provider
    app: FastAPI

    def configure(self, **changes: Any) -> None:  # noqa: ANN401 - settings of all types
        """Let the collector have other settings, and know nothing of the provider yet."""
        self.settings = replace(self.settings, **changes)
        others = {"other": replace(self.settings, name="other")}
        sign_in = SignIn(ORIGIN, {"corp": self.settings} | others)
        self.app.state.oidc = clients(sign_in, self.census.clock)

    def browser(self, address: str = "192.0.2.1") -> httpx.AsyncClient:
        """Return a browser that knows the collector."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url=ORIGIN, headers={"Origin": ORIGIN})

    async def at_provider(self, url: str) -> str:
        """Let a browser follow a link to the provider; return where that sends it back to."""
        trust = ssl.create_default_context(cafile=self.provider.ca_file)
        async with httpx.AsyncClient(verify=trust) as client:
            response = await client.get(url)
        assert response.status_code == 302, response.text
        return response.headers["Location"]

    async def back(self, browser: httpx.AsyncClient, start: str = START) -> str:
        """Begin a sign-in, and sign in at the provider; return the link that ends it."""
        begun = await browser.get(start)
        assert begun.status_code == 303, begun.text
        return await self.at_provider(begun.headers["Location"])

    async def sign_in(self, browser: httpx.AsyncClient, start: str = START) -> httpx.Response:
        """Sign in; return what the collector answers in the end."""
        return await browser.get(await self.back(browser, start))

    def refusals(self) -> list[Any]:
        """Return the audit log's rows of refused sign-ins, the oldest first."""
        return self.census.rows(
            select(audit).where(audit.c.action == "session.refused").order_by(audit.c.audit_no)
        )


def person(name: str, *groups: str, **claims: object) -> dict[str, object]:
    """Return what the provider knows of somebody, by default one of the staff."""
    return {
        "sub": f"id-of-{name}",
        "preferred_username": name,
        "name": f"{name.title()} Example",
        "email": f"{name}@example.com",
        "email_verified": True,
        "groups": list(groups or ("staff",)),
        **claims,
    }


@contextmanager
def provider_beside(census: Census, directory: Path) -> Iterator[tuple[OidcProvider, Provider]]:
    """Run a provider by the clock of a census; give it, and what a configuration says of it: roles by groups."""
    secret = directory / "client-secret"
    secret.write_text(CLIENT_SECRET + "\n")
    secret.chmod(0o600)
    with (
        pytest.MonkeyPatch.context() as patch,
        running_provider(directory, lambda: census.clock.now_ms() / 1000) as provider,
    ):
        patch.setenv("NO_PROXY", f"localhost,{os.environ.get('NO_PROXY', '')}")
        settings = Provider(
            "corp",
            issuer=provider.issuer,
            client_id=CLIENT_ID,
            client_secret_file=secret,
            title="Corp",
            ca_file=provider.ca_file,
            roles={"census-admins": "admin", "operations": "operator", "staff": "viewer"},
        )
        yield provider, settings


@contextmanager
def running_site(directory: Path) -> Iterator[Site]:
    """Run a provider beside a collector that maps its groups to roles and teams."""
    census = Census.create(directory)
    with provider_beside(census, directory) as (provider, given):
        settings = replace(
            given,
            teams={"web-team": ("web",), "all-teams": ("web", "db")},
            link_people=("subject", "email"),
        )
        app = create_app(census.store, census.clock)
        site = Site(census, provider, settings, app)
        site.configure()
        yield site
    census.store.close()
