"""The application for people's port: REST under /api/v1. Made from a store and a clock.

No page here loads anything from anywhere: the interactive documentation of FastAPI, which would come
from other hosts, is off, and the description is at /api/v1/openapi.json.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.routing import APIRoute

from keycensus_collector import __version__
from keycensus_collector.api import (
    account,
    agents,
    audit,
    brought,
    campaign_answers,
    campaigns,
    clones,
    declared,
    enrolment_tokens,
    imports,
    labels,
    lists,
    login,
    marks,
    oidc,
    oidc_token,
    owners,
    problems,
    queries,
    questions,
    rules,
    teams,
    timeline,
    users,
    views,
)
from keycensus_collector.api.bodies import BodyLimit
from keycensus_collector.api.conditional import Conditional
from keycensus_collector.api.limits import TimeLimit
from keycensus_collector.api.security import SecurityHeaders
from keycensus_collector.clock import Clock
from keycensus_collector.oidc.settings import SignIn
from keycensus_collector.store.engine import Store

_DESCRIPTION = """\
Every certificate and private key that agents report, with every place it lives at.

Send an API token as `Authorization: Bearer kcu_…`; `keycensus-collector user token NAME` makes one.
Lists come in pages: send `next` of one as `cursor` for the following. Errors are
`application/problem+json` (RFC 9457), whose `detail` says what to do. Times are RFC 3339 in UTC,
hashes lower-case hexadecimal, text from certificates and file names is escaped (`\\x1b`, `\\u202e`).
Answers of JSON have an `ETag`: send it as `If-None-Match` and get 304 while nothing changed, or as
`If-Match` with a write and get 412 if somebody else was faster.
"""


def create_app(store: Store, clock: Clock, sign_in: SignIn | None = None) -> FastAPI:
    """Return the application over an open store, which it does not close.

    `sign_in`: at which providers of OpenID Connect people sign in, besides by password.
    """
    app = FastAPI(
        title="keycensus",
        version=__version__,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.store = store
    app.state.clock = clock
    app.state.oidc = oidc.clients(sign_in or SignIn(), clock)
    problems.install(app)
    app.include_router(lists.router)
    app.include_router(questions.router)
    app.include_router(queries.router)
    app.include_router(views.router)
    app.include_router(marks.router)
    app.include_router(login.open_router)
    app.include_router(login.router)
    app.include_router(oidc.open_router)
    app.include_router(oidc_token.open_router)
    app.include_router(account.router)
    app.include_router(users.router)
    app.include_router(agents.router)
    app.include_router(clones.router)
    app.include_router(enrolment_tokens.router)
    app.include_router(imports.router)
    app.include_router(brought.router)
    app.include_router(teams.router)
    app.include_router(owners.router)
    app.include_router(labels.router)
    app.include_router(rules.router)
    app.include_router(campaigns.router)
    app.include_router(campaign_answers.router)
    app.include_router(declared.router)
    app.include_router(timeline.router)
    app.include_router(audit.router)
    app.include_router(questions.open_router)
    # The last one stands outermost.
    app.add_middleware(TimeLimit)
    app.add_middleware(Conditional)
    app.add_middleware(BodyLimit, larger=imports.LARGER | declared.LARGER)
    app.add_middleware(SecurityHeaders)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
