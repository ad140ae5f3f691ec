"""Against requests that another site makes a browser send (CSRF). Pure.

A browser adds the cookie by itself, so a write that came with one must show that a page of ours sent
it: the token of the session, which only our pages can read, and where the browser says the request
came from. A bearer token is sent by nobody's browser; such requests need neither.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from keycensus_collector.access.sessions import csrf_of
from keycensus_collector.api.problems import ProblemError, forbidden

CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def check_write(headers: Mapping[str, str], cookie: str, sent: str | None = None) -> None:
    """Refuse a write with a cookie that none of our pages sent: a problem "forbidden".

    `sent`: the token in a form, for pages without script; else it stands in the header.
    """
    check_same_site(headers, required=True)
    token = headers.get(CSRF_HEADER, "") if sent is None else sent
    if not hmac.compare_digest(token.encode(), csrf_of(cookie).encode()):
        raise _foreign(f"send the session's token in {CSRF_HEADER}; GET /api/v1/session has it")


def check_same_site(headers: Mapping[str, str], *, required: bool) -> None:
    """Refuse what the browser says another site sent, or, if `required`, what says nothing."""
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None and site != "same-origin":
        raise _foreign("the browser says that another site sent it")
    if origin is not None and origin != f"https://{headers.get('Host', '')}":
        raise _foreign("it comes from another origin")
    if required and site is None and origin is None:
        raise _foreign("it says neither Origin nor Sec-Fetch-Site, as every browser does")


def _foreign(why: str) -> ProblemError:
    return forbidden(f"this request is not known to come from a page of this collector: {why}")
