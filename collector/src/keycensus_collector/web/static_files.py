"""Stylesheet and script, by an address that changes with them, so that browsers keep them."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from keycensus_collector.web.rendering import STATIC, static_address

router = APIRouter()

# All there is: a name that is asked for is looked up here and never becomes a path.
_TYPES = {
    "site.css": "text/css; charset=utf-8",
    "site.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@router.get("/static/{digest}/{name}")
async def static_file(digest: str, name: str) -> Response:
    """Return one of our files, if it is still the one of this address."""
    if name not in _TYPES or static_address(name) != f"/static/{digest}/{name}":
        raise HTTPException(HTTPStatus.NOT_FOUND)
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response((STATIC / name).read_bytes(), media_type=_TYPES[name], headers=headers)
