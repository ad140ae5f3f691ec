"""From a template and plain data to a page: everything is quoted for HTML, nothing is loaded from elsewhere.

Templates get data that the query functions return, whose text is already made safe to show; Jinja quotes it
for HTML besides. No template marks text as safe.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from keycensus_collector import __version__
from keycensus_collector.access.principals import Principal
from keycensus_collector.access.sessions import csrf_of
from keycensus_collector.api.security import COOKIE
from keycensus_collector.clock import Clock
from keycensus_collector.web import wording
from keycensus_collector.web.sections import menu

STATIC = files("keycensus_collector.web") / "static"

# Only files of ours, no code and no style within a page; a form is sent nowhere else.
_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self';"
    " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
# Without a referrer at all, browsers would not say either that a form of ours comes from us (Origin: null).
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "same-origin",
    "Vary": "Cookie",
}
_DIGEST_DIGITS = 16


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("keycensus_collector.web", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(wording.FILTERS)
    environment.globals.update(static=static_address, version=__version__)
    return environment


@lru_cache(maxsize=64)
def static_address(name: str) -> str:
    """Return the address of a file of ours; it changes with the file, which is kept for a year."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:_DIGEST_DIGITS]
    return f"/static/{digest}/{name}"


_templates = _environment()


def page(
    request: Request,
    template: str,
    *,
    clock: Clock,
    principal: Principal | None = None,
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
    **data: Any,  # noqa: ANN401 - what the template names
) -> HTMLResponse:
    """Return a page. `principal`: who is signed in; None on pages for everybody."""
    csrf = mask(csrf_of(request.cookies[COOKIE])) if principal and principal.session_id else ""
    text = _templates.get_template(template).render(
        csrf=csrf,
        me=principal,
        menu=menu(principal, request.url.path) if principal else None,
        done=wording.DONE.get(request.query_params.get("done", ""), ""),
        now_ms=clock.now_ms(),
        path=request.url.path,
        **data,
    )
    return HTMLResponse(text, status, {**_HEADERS, **(headers or {})})


def mask(token: str) -> str:
    """Return a token in other digits each time, so that its size in a compressed page tells nothing.

    The mask stands before the token under the mask (as against BREACH, breachattack.com).
    """
    digits = bytes.fromhex(token)
    pad = secrets.token_bytes(len(digits))
    return (pad + bytes(a ^ b for a, b in zip(pad, digits, strict=True))).hex()


def unmask(text: str) -> str:
    """Return the token under a mask; "" for what is none."""
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        return ""
    half = len(octets) // 2
    if not half or len(octets) != 2 * half:
        return ""
    return bytes(a ^ b for a, b in zip(octets[:half], octets[half:], strict=True)).hex()
