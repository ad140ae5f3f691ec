"""The pages of one thing: a certificate, a key, a host; and the way to it from what people paste."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from functools import partial
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection

from keycensus_collector.api.lists import hash_of
from keycensus_collector.api.problems import not_found
from keycensus_collector.inventory import results
from keycensus_collector.inventory.detail import certificate_detail, key_detail
from keycensus_collector.inventory.hosts import host_detail
from keycensus_collector.inventory.identify import identify
from keycensus_collector.text import safe_text
from keycensus_collector.web.asking import Visiting
from keycensus_collector.web.wording import segment

router = APIRouter()

_PASTED_CHARACTERS = 20_000
_PEM = re.compile(r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END ")
_PAGES = {"certificate": "/certificates", "key": "/keys", "host": "/hosts"}


@router.get("/certificates/{sha256}")
async def certificate(sha256: str, visit: Visiting) -> Response:
    """Show everything about one certificate."""
    found = await visit.store.run_read(
        partial(certificate_detail, sha256=hash_of(sha256), now_ms=visit.now_ms)
    )
    if found is None:
        raise not_found(f"certificate {sha256!r}")
    return visit.page("certificate.html", detail=found)


@router.get("/keys/{key_id}")
async def key(key_id: str, visit: Visiting) -> Response:
    """Show everything about one key."""
    found = await visit.store.run_read(partial(key_detail, identity=hash_of(key_id)))
    if found is None:
        raise not_found(f"key {key_id!r}")
    return visit.page("key.html", detail=found)


@router.get("/hosts/{host_id}")
async def host(host_id: str, visit: Visiting) -> Response:
    """Show everything about one host."""
    work = partial(host_detail, host_id=host_id.lower(), now_ms=visit.now_ms)
    found = await visit.store.run_read(work)
    if found is None:
        raise not_found(f"host {host_id!r}")
    return visit.page("host.html", detail=found)


@router.get("/find")
async def find(
    visit: Visiting,
    id: Annotated[str, Query(max_length=_PASTED_CHARACTERS)] = "",  # noqa: A002 - the field's name
) -> Response:
    """Lead to what an ID, or a certificate as PEM, means; or let choose, or search as a query."""
    text = pasted(id)
    matches = await visit.store.run_read(partial(_identify, text=text)) if text else []
    if len(matches) == 1 and matches[0].kind in _PAGES:
        return RedirectResponse(_address(matches[0]), HTTPStatus.SEE_OTHER)
    return visit.page(
        "find.html",
        status=HTTPStatus.OK if matches or not text else HTTPStatus.NOT_FOUND,
        text=safe_text(text),
        matches=[(match, _address(match)) for match in matches],
    )


def pasted(text: str) -> str:
    """Return what was pasted as an ID: a certificate in PEM becomes its SHA-256."""
    block = _PEM.search(text)
    if block is None:
        return text.strip()
    try:
        der = base64.b64decode("".join(block[1].split()), validate=True)
    except binascii.Error:
        return text.strip()
    return hashlib.sha256(der).hexdigest()


def _identify(connection: Connection, text: str) -> list[results.Match]:
    return identify(connection, text)


def _address(match: results.Match) -> str:
    return f"{_PAGES[match.kind]}/{segment(match.id)}" if match.kind in _PAGES else ""
