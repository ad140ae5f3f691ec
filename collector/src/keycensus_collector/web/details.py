"""The pages of one thing: a certificate, a key, a host; and the way to it from what people paste."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import RedirectResponse, Response
from sqlalchemy import Connection, select

from keycensus_collector.access.audit import rows_of
from keycensus_collector.access.permissions import Permission
from keycensus_collector.agent_lists import list_agents
from keycensus_collector.api.agents import Agent
from keycensus_collector.api.audit import AuditRow, as_told
from keycensus_collector.api.lists import hash_of
from keycensus_collector.api.operating import readable
from keycensus_collector.api.parameters import PlaceParameters
from keycensus_collector.api.problems import not_found
from keycensus_collector.api.queries import READERS
from keycensus_collector.intake.model import BlobKind
from keycensus_collector.inventory import results
from keycensus_collector.inventory.alternates import alternates, ends_open
from keycensus_collector.inventory.audited import Subject, audited
from keycensus_collector.inventory.counts import count
from keycensus_collector.inventory.detail import certificate_detail, key_detail
from keycensus_collector.inventory.extensions import extensions_of
from keycensus_collector.inventory.hosts import host_detail
from keycensus_collector.inventory.identify import identify
from keycensus_collector.query.parse import parse
from keycensus_collector.store.schema import blob
from keycensus_collector.text import safe_text
from keycensus_collector.timeline.model import TimeLine
from keycensus_collector.timeline.read import time_line
from keycensus_collector.web.asking import Visit, Visiting
from keycensus_collector.web.audit import details as details_of
from keycensus_collector.web.changing import Selected, offered
from keycensus_collector.web.lineage import draw
from keycensus_collector.web.listed import LISTS
from keycensus_collector.web.wording import PAGE_OF, address, segment

router = APIRouter()

_PASTED_CHARACTERS, _DAY_CHARACTERS = 20_000, 100
_EVENTS, _ONE, _PAST_PLACES, _AUDITED = 15, 2, 200, 20
# Of a host: places of thousands, and identities, of which most have one that counts.
_PLACES, _IDENTITIES = 20, 10
# What a row of the audit log says of one thing, beside it, that its page says already.
_OF_ONE = (("count", "1"),)
# A certificate that is larger than this is to be fetched from where it is.
_PEM_BYTES = 16_384
# "host:port", or a URL. Fingerprints with colons have no such end, or no letter behind F.
_SERVER = re.compile(
    r"(?:[a-z]+://(?P<host>[A-Za-z0-9._-]+)(?::[0-9]{1,5})?(?:/.*)?|(?P<of_port>[A-Za-z0-9._-]+):[0-9]{1,5})"
)
_DNS_NAME = re.compile(r"(?=[^.]*[A-Za-z.])[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_PEM = re.compile(r"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END ")


@dataclass(frozen=True, slots=True)
class Below:
    """What an authority issued, itself or through others. `query` lists it; `weeks` by when it expires."""

    query: str
    all: int
    live: int
    expiring: int
    ownerless: int


@router.get("/certificates/{sha256}")
async def certificate(
    sha256: str, visit: Visiting, as_of: Annotated[str, Query(max_length=_DAY_CHARACTERS)] = ""
) -> Response:
    """Show everything about one certificate, or what was known of it on a day."""
    identity, now_ms = hash_of(sha256), visit.now_ms
    if as_of:
        return await _past(visit, "certificates", f"sha256:{identity.hex()}", as_of)

    def work(connection: Connection) -> dict[str, Any] | None:
        found = certificate_detail(connection, identity, now_ms)
        if found is None:
            return None
        match = results.Match("certificate", identity.hex(), found.certificate.name)
        der = _stored(connection, identity)
        return {
            "detail": found,
            "alternates": alternates(connection, identity, found.chain),
            "ends_open": ends_open(connection, found.chain),
            "pem": ssl.DER_cert_to_PEM_cert(der).rstrip("\n") if der else "",
            "extensions": [
                (f"{one.name}, critical" if one.critical else one.name, one.text)
                for one in (extensions_of(der) if der else ())
            ],
            "below": _below(connection, identity, now_ms) if found.certificate.is_ca else None,
            "line": time_line(connection, match, before_ms=None, limit=_EVENTS),
        }

    found = await visit.store.run_read(work)
    if found is None:
        raise not_found(f"certificate {sha256!r}")
    return visit.page(
        "certificate.html",
        drawing=draw(found["detail"], now_ms),
        offered=await offered(visit, Selected("certificates", ids=(identity.hex(),), one=True)),
        audited=await _audited(visit, lambda _: Subject.of_artifact("certificate", identity)),
        **found,
    )


@router.get("/keys/{key_id}")
async def key(
    key_id: str, visit: Visiting, as_of: Annotated[str, Query(max_length=_DAY_CHARACTERS)] = ""
) -> Response:
    """Show everything about one key, or what was known of it on a day."""
    identity = hash_of(key_id)
    if as_of:
        return await _past(visit, "keys", f"key-id:{identity.hex()}", as_of)

    def work(connection: Connection) -> tuple[results.KeyDetail, TimeLine] | None:
        found = key_detail(connection, identity)
        if found is None:
            return None
        match = results.Match("key", identity.hex(), "")
        return found, time_line(connection, match, before_ms=None, limit=_EVENTS)

    found = await visit.store.run_read(work)
    if found is None:
        raise not_found(f"key {key_id!r}")
    forms = await offered(visit, Selected("keys", ids=(identity.hex(),), one=True))
    said = await _audited(visit, lambda _: Subject.of_artifact("key", identity))
    return visit.page("key.html", detail=found[0], line=found[1], offered=forms, audited=said)


@router.get("/hosts/{host_id}")
async def host(
    host_id: str, visit: Visiting, as_of: Annotated[str, Query(max_length=_DAY_CHARACTERS)] = ""
) -> Response:
    """Show everything about one host, or what was known of it on a day."""
    identity, now_ms = host_id.lower(), visit.now_ms
    if as_of:
        return await _past(visit, "hosts", f"host:{identity}", as_of)

    def work(connection: Connection) -> tuple[results.HostDetail, TimeLine] | None:
        found = host_detail(connection, identity, now_ms)
        if found is None:
            return None
        match = results.Match("host", found.host.id, found.host.name)
        return found, time_line(connection, match, before_ms=None, limit=_EVENTS)

    found = await visit.store.run_read(work)
    if found is None:
        raise not_found(f"host {host_id!r}")
    forms = await offered(visit, Selected("hosts", ids=(found[0].host.id,), one=True))
    there = PlaceParameters(q=f"host:{found[0].host.id}").asked_by(visit.principal).as_query()
    find_places = partial(READERS["places"], query=there, now_ms=now_ms, limit=_PLACES, cursor="")
    return visit.page(
        "host.html",
        detail=found[0],
        line=found[1],
        offered=forms,
        places=await visit.store.run_read(partial(find_places, exactly=False)),
        identities=await _identities(visit, found[0].host.id),
        audited=await _audited(visit, lambda reading: Subject.of_host(reading, identity)),
        may_retire=visit.principal.may(Permission.HOSTS_WRITE) and found[0].host.state != "retired",
    )


async def _identities(visit: Visit, host_id: str) -> list[Agent] | None:
    """Return the identities of a host with what ails each; None for who may not see agents."""
    if not visit.principal.may(Permission.AGENTS_READ):
        return None
    find = partial(list_agents, now_ms=visit.now_ms, host_id=host_id, limit=_IDENTITIES)
    return [Agent(**readable(each)) for each in (await visit.store.run_read(find)).items]


async def _audited(
    visit: Visit, subject: Callable[[Connection], Subject]
) -> list[tuple[AuditRow, list[tuple[str, str]]]] | None:
    """Return what the audit log has of a thing; None for who may not read it."""
    if not visit.principal.may(Permission.AUDIT_READ):
        return None

    def work(connection: Connection) -> list[dict[str, Any]]:
        return rows_of(connection, audited(connection, subject(connection), _AUDITED))

    rows = map(as_told, await visit.store.run_read(work))
    return [
        (row, [each for each in details_of(row) if each not in _OF_ONE and each[0] != "things"])
        for row in rows
    ]


@router.get("/find")
async def find(
    visit: Visiting,
    id: Annotated[str, Query(max_length=_PASTED_CHARACTERS)] = "",  # noqa: A002 - the field's name
) -> Response:
    """Lead to what an ID, or a certificate as PEM, means; or let choose, or search as a query."""
    text = pasted(id)
    matches = await visit.store.run_read(partial(_identify, text=text)) if text else []
    is_listener = _SERVER.fullmatch(id.strip()) is not None
    if len(matches) == 1 and matches[0].kind in PAGE_OF:
        # Of a host with a port it is asked what listens there.
        part = "#usages" if is_listener and matches[0].kind == "host" else ""
        return RedirectResponse(_address(matches[0]) + part, HTTPStatus.SEE_OTHER)
    if not matches and is_listener and _DNS_NAME.fullmatch(text):
        # No host of ours has this name, but a certificate may be for it.
        return RedirectResponse(address("/certificates", q=f"name:{text}"), HTTPStatus.SEE_OTHER)
    return visit.page(
        "find.html",
        status=HTTPStatus.OK if matches or not text else HTTPStatus.NOT_FOUND,
        text=safe_text(text),
        matches=[(match, _address(match)) for match in matches],
    )


def pasted(text: str) -> str:
    """Return what was pasted as an ID: a certificate in PEM becomes its SHA-256, host:port and URLs their host."""
    block = _PEM.search(text)
    if block is None:
        server = _SERVER.fullmatch(text.strip())
        return (server["host"] or server["of_port"]) if server else text.strip()
    try:
        der = base64.b64decode("".join(block[1].split()), validate=True)
    except binascii.Error:
        return text.strip()
    return hashlib.sha256(der).hexdigest()


def _identify(connection: Connection, text: str) -> list[results.Match]:
    return identify(connection, text)


def _address(match: results.Match) -> str:
    return f"{PAGE_OF[match.kind]}/{segment(match.id)}" if match.kind in PAGE_OF else ""


async def _past(visit: Visit, list_: str, query: str, day: str) -> Response:
    """Show the row of a thing as its list had it on a day, and the places where it was."""
    asked = PlaceParameters(q=query, as_of=day).asked_by(visit.principal).as_query()

    def work(connection: Connection) -> tuple[results.Page, results.Page]:
        things = READERS[list_](
            connection, asked, visit.now_ms, limit=_ONE, cursor="", exactly=False
        )
        places = READERS["places"](
            connection, asked, visit.now_ms, limit=_PAST_PLACES, cursor="", exactly=False
        )
        return things, places

    things, places = await visit.store.run_read(work)
    return visit.page(
        "past.html",
        day=day,
        query=query,
        listed=LISTS[list_],
        things=things,
        placed=LISTS["places"],
        places=places,
        now_path=visit.request.url.path,
    )


def _below(connection: Connection, sha256: bytes, now_ms: int) -> Below:
    query = f"under:{sha256.hex()}"

    def many(more: str) -> int:
        return count(connection, parse(f"{query} {more}"), "certificates", now_ms)

    return Below(
        query,
        all=many("use:any role:any"),
        live=many(""),
        expiring=many("expires<30d"),
        ownerless=many("owner:none"),
    )


def _stored(connection: Connection, sha256: bytes) -> bytes:
    """Return the DER of a certificate; nothing if it is not kept, or is longer than a page should show."""
    der = connection.execute(
        select(blob.c.data).where(blob.c.hash == sha256, blob.c.kind == BlobKind.CERTIFICATE.value)
    ).scalar_one_or_none()
    return der if der is not None and len(der) <= _PEM_BYTES else b""
