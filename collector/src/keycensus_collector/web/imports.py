"""The page of imports: what people brought, and forms that take files. Each file goes where REST's goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import fields
from http import HTTPStatus
from typing import Annotated, Any, Literal, cast, get_args

from fastapi import APIRouter, Query
from fastapi.responses import Response
from sqlalchemy import Connection
from starlette.datastructures import UploadFile

from keycensus_collector.access.permissions import Permission
from keycensus_collector.api import brought
from keycensus_collector.api import imports as api
from keycensus_collector.errors import UsageError
from keycensus_collector.imports.listing import ListOfCertificates, list_lists, list_no
from keycensus_collector.imports.stored import SOURCE_CHARACTERS, TOLD_CHARACTERS
from keycensus_collector.inventory.paging import BIGGEST_INTEGER
from keycensus_collector.text import safe_text
from keycensus_collector.web.asking import FORM_BYTES, Bringing, Mistake, Visit, Visiting
from keycensus_collector.web.forms import Sent, attempt

router = APIRouter()

# How long a form with a file may be, by path: the file, and the fields beside it.
LARGER = {path.removeprefix("/api/v1"): most + FORM_BYTES for path, most in api.LARGER.items()}
_SHOWN, _ENTRIES = 50, 100
_CHUNK_BYTES = 256 * 1024
_FIELDS = ("name", "format", "serials", "issuer", "source", "preview", "rename")
_SERIALS = ("", "hex", "decimal")
_Act = Callable[[Sent, AsyncIterator[bytes]], Awaitable[Any]]


@router.get("/imports")
async def imports(
    visit: Visiting,
    *,
    before: Annotated[int | None, Query(ge=1, le=BIGGEST_INTEGER)] = None,
    replaced: bool = False,
) -> Response:
    """List what was brought, and ask for more."""
    return await _show(visit, {}, before=before, replaced=replaced)


@router.get("/imports/list")
async def list_entries(
    visit: Visiting,
    *,
    name: Annotated[str, Query(max_length=TOLD_CHARACTERS)],
    kind: Annotated[Literal["ca-list", "certificates"], Query()] = "ca-list",
    missing: bool = False,
    after: Annotated[int, Query(ge=0, le=BIGGEST_INTEGER)] = 0,
) -> Response:
    """Show what a list of certificates names, or only what of it was not found (`missing`)."""

    def find(connection: Connection) -> ListOfCertificates:
        (one,) = list_lists(connection, list_no(connection, kind, name))
        return one

    one = await visit.store.run_read(find)
    found = await brought.entries(
        one.name,
        visit.store,
        kind=kind,
        without_certificate=missing,
        after=after,
        limit=_ENTRIES + 1,
    )
    shown = found[:_ENTRIES]
    return visit.page(
        "list_entries.html",
        one=one,
        entries=shown,
        missing=missing,
        after=after,
        next=shown[-1].number if len(found) > len(shown) else None,
    )


@router.post("/imports/bundle")
async def bundle(visit: Bringing) -> Response:
    """Take a bundle of a host that can't enrol."""

    async def act(sent: Sent, file: AsyncIterator[bytes]) -> object:
        rename = bool(sent.text("rename"))
        return await api.take_bundle_of(
            file, visit.store, visit.clock, visit.principal, rename=rename
        )

    return await _take(visit, "bundle", act)


@router.post("/imports/hosts")
async def hosts(visit: Bringing) -> Response:
    """Take a list of known hosts."""

    async def act(sent: Sent, file: AsyncIterator[bytes]) -> object:
        source, format_ = _needed(sent, "source"), sent.text("format")
        if format_ not in get_args(api.HostFormat):
            raise UsageError("say how the list is written")
        return await api.take_hosts_of(
            file,
            visit.store,
            visit.clock,
            visit.principal,
            source=source,
            format_=cast("api.HostFormat", format_),
        )

    return await _take(visit, "hosts", act)


@router.post("/imports/artifacts")
async def artifacts(visit: Bringing) -> Response:
    """Take certificates and revocation lists."""

    async def act(sent: Sent, file: AsyncIterator[bytes]) -> object:
        return await brought.take_artifacts_of(
            file,
            visit.store,
            visit.clock,
            visit.principal,
            name=_needed(sent, "name"),
            preview=bool(sent.text("preview")),
        )

    return await _take(visit, "artifacts", act)


@router.post("/imports/ca-list")
async def ca_list(visit: Bringing) -> Response:
    """Take what an authority says it issued."""

    async def act(sent: Sent, file: AsyncIterator[bytes]) -> object:
        if sent.text("serials") not in _SERIALS:
            raise UsageError("serial numbers are hexadecimal or decimal")
        return await brought.take_ca_list_of(
            file,
            visit.store,
            visit.clock,
            visit.principal,
            name=_needed(sent, "name"),
            format_=sent.text("format"),
            serials=sent.text("serials"),
            issuer=sent.text("issuer"),
            preview=bool(sent.text("preview")),
        )

    return await _take(visit, "ca-list", act)


async def _take(visit: Visit, form: str, act: _Act) -> Response:
    """Do what a form asks for with its file, and tell what came of it."""

    async def taken(sent: Sent) -> Response:
        file = sent.data.get("file")
        if not isinstance(file, UploadFile) or not file.size:
            raise UsageError("choose a file that is not empty")
        found = await act(sent, _chunks(file))
        preview = bool(sent.text("preview"))
        return visit.page(
            "imported.html",
            status=HTTPStatus.OK if preview else HTTPStatus.CREATED,
            preview=preview,
            found=_told(found),
        )

    async def again(sent: Sent, mistake: Mistake) -> Response:
        given = {name: sent.text(name) for name in _FIELDS}
        return await _show(visit, {"form": form, **given}, mistake)

    return await attempt(visit, taken, again)


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(_CHUNK_BYTES):
        yield chunk


def _needed(sent: Sent, name: str) -> str:
    text = sent.text(name)
    if not text or len(text) > SOURCE_CHARACTERS:
        raise UsageError(f"say what it is called, in at most {SOURCE_CHARACTERS} characters")
    return text


# What of a result is told, and how; what is not named here is for programs.
_WORDS = {
    "host": "Host",
    "new_host": "A host that was not known before",
    "rows": "Rows",
    "blobs": "Certificates and the like",
    "complete": "Its sweep had come to an end",
    "source": "Called",
    "name": "Called",
    "format": "Written as",
    "hosts": "Hosts",
    "with_agent": "With an agent",
    "without_agent": "Without an agent",
    "certificates": "Certificates",
    "entries": "Entries",
    "new": "New since the former file of this name",
    "gone": "Gone since the former file of this name",
    "removed": "Named before, and not any more",
    "found": "In the inventory already",
    "gaps": "Gaps",
    "skipped": "Requests without a certificate",
    "unread_times": "Times in no known form",
    "columns": "Columns that were found",
    "without": "Hosts without an agent",
    "revocation_lists": "Revocation lists",
    "matched_otherwise": "Hosts known by another name or their address",
}


def _told(found: Any) -> list[tuple[str, object]]:  # noqa: ANN401 - one of several results
    told: list[tuple[str, object]] = []
    for field in fields(found):
        value = getattr(found, field.name)
        if field.name in _WORDS and value not in ("", []):
            told.append((_WORDS[field.name], _said(value)))
    return told


def _said(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return [_said(item) if isinstance(item, str) else _joined(item) for item in value]
    # What somebody called a file is told as it came.
    return safe_text(value) if isinstance(value, str) and not value.isprintable() else value


def _joined(item: Any) -> str:  # noqa: ANN401 - one of several results
    return ", ".join(f"{_said(getattr(item, each.name))}" for each in fields(item))


async def _show(
    visit: Visit,
    given: Mapping[str, str],
    mistake: Mistake | None = None,
    *,
    before: int | None = None,
    replaced: bool = False,
) -> Response:
    usual = dict.fromkeys(("form", *_FIELDS), "")
    found = await api.imports(visit.store, replaced=replaced, before=before, limit=_SHOWN + 1)
    shown = found[:_SHOWN]
    return visit.page(
        "imports.html",
        mistake=mistake,
        given={**usual, **given},
        imports=shown,
        next=shown[-1].number if len(found) > len(shown) else None,
        before=before,
        replaced=replaced,
        lists=await brought.lists(visit.store),
        host_formats=get_args(api.HostFormat),
        may_write=visit.principal.may(Permission.IMPORT_WRITE),
    )
