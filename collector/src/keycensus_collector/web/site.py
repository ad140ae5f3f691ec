"""The application of people's port: pages, and REST under /api. Made from a store and a clock."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from keycensus_collector import __version__
from keycensus_collector.api.app import create_app
from keycensus_collector.api.bodies import BodyLimit
from keycensus_collector.api.limits import TimeLimit
from keycensus_collector.api.security import SecurityHeaders
from keycensus_collector.clock import Clock
from keycensus_collector.oidc.settings import SignIn
from keycensus_collector.store.engine import Store
from keycensus_collector.web import (
    account,
    agents,
    audit,
    changing,
    clones,
    dashboard,
    details,
    enrolment,
    errors,
    first_use,
    imports,
    lists,
    past,
    people,
    recertification,
    rules,
    signing_in,
    static_files,
    teams,
    tiles,
    users,
    views,
)

_API = "/api/"


def create_site(
    store: Store, clock: Clock, sign_in: SignIn | None = None, enrol_at: str = ""
) -> FastAPI:
    """Return the pages over an open store, which it does not close.

    `sign_in`: at which providers of OpenID Connect people sign in, besides by password. `enrol_at`:
    "HOST:PORT" at which hosts join; empty: the name by which the page was asked for, and the usual port.
    """
    site = FastAPI(
        title="keycensus",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    site.state.store = store
    site.state.clock = clock
    site.state.providers = (sign_in or SignIn()).providers
    site.state.enrol_at = enrol_at
    errors.install(site)
    site.include_router(signing_in.router)
    site.include_router(first_use.router)
    site.include_router(static_files.router)
    site.include_router(dashboard.router)
    site.include_router(changing.router)
    site.include_router(views.router)
    site.include_router(tiles.router)
    site.include_router(past.router)
    site.include_router(teams.router)
    site.include_router(people.router)
    site.include_router(rules.router)
    site.include_router(agents.router)
    site.include_router(clones.router)
    site.include_router(enrolment.router)
    site.include_router(users.router)
    site.include_router(account.router)
    site.include_router(audit.router)
    site.include_router(imports.router)
    site.include_router(recertification.router)
    # Behind the others: some of their paths begin with the name of any list.
    site.include_router(lists.router)
    site.include_router(details.router)
    # The last one stands outermost.
    site.add_middleware(TimeLimit)
    site.add_middleware(BodyLimit, larger=imports.LARGER, refused=errors.too_large)
    site.add_middleware(SecurityHeaders)
    return site


def create_front(
    store: Store, clock: Clock, sign_in: SignIn | None = None, enrol_at: str = ""
) -> Front:
    """Return all that people's port answers with."""
    api, site = create_app(store, clock, sign_in), create_site(store, clock, sign_in, enrol_at)
    signing_in.tell_refusals(api, site.state.providers)
    return Front(api, site)


class Front:
    """Hands each request to REST or to the pages, by its path. Each answers errors in its own way."""

    def __init__(self, api: FastAPI, site: FastAPI) -> None:
        self.api = api
        self.site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        to_api = str(scope.get("path", "")).startswith(_API)
        await (self.api if to_api else self.site)(scope, receive, send)
