"""The collector's REST interface, typed. Every failure becomes an error with what to do."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import quote

import httpx

from keycensus_client import __version__, model
from keycensus_client.account import NewToken
from keycensus_client.credentials import Credentials
from keycensus_client.declared import DeclaredOutcome
from keycensus_client.errors import (
    AmbiguousError,
    AnswerError,
    ChangedError,
    KeycensusError,
    MistakenError,
    NotFoundError,
    UnauthorisedError,
    UnreachableError,
    UntrustedError,
    UsageError,
)
from keycensus_client.text import safe_again

# Seconds; the slowest honest answer is an exact count over millions.
TIMEOUT = 60.0
_CONNECT_TIMEOUT = 10.0
# Until a large file was checked and written.
UPLOAD_TIMEOUT = 600.0
_UPLOAD_BYTES = 1 << 16
PAGE_LIMIT = 1_000

# The last line of an export, as NDJSON and as CSV.
_END = re.compile(r'\{"end": true, "items": \d+\}|"# end","\d+"')

_Type = TypeVar("_Type")
Parameters = Mapping[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class _Session:
    csrf: str = field(repr=False)


class Client:
    """A connection to one collector. Close it, or use it as a context manager.

    `transport` replaces the network in tests.
    """

    def __init__(
        self, credentials: Credentials, *, transport: httpx.BaseTransport | None = None
    ) -> None:
        self._url = credentials.url
        self._http = httpx.Client(
            base_url=f"{credentials.url}/api/v1",
            headers={
                "User-Agent": f"keycensus/{__version__}",
                **({"Authorization": f"Bearer {credentials.token}"} if credentials.token else {}),
            },
            verify=_trust(credentials.ca_file),
            timeout=httpx.Timeout(TIMEOUT, connect=_CONNECT_TIMEOUT),
            transport=transport,
        )

    def sign_in(self, user: str, password: str, *, name: str, days: int) -> NewToken:
        """Return a new API token called `name`, made in a session that ends with it.

        For a client without a token; UnauthorisedError if user or password is wrong.
        """
        response = self._send("POST", "/login", json={"user": user, "password": password})
        session = model.decode(_Session, _json(response, self._url))
        own = {"X-CSRF-Token": session.csrf, "Origin": self._url}
        try:
            body = {"name": name, "days": days}
            made = self._send("POST", "/tokens", json=body, headers=own)
            return model.decode(NewToken, _json(made, self._url))
        finally:
            self._send("POST", "/logout", headers=own)

    def whoami(self) -> model.WhoAmI:
        """Return whose token this is."""
        return self._get(model.WhoAmI, "/whoami")

    def summary(self) -> model.Summary:
        """Return the counts to look at first."""
        return self._get(model.Summary, "/summary")

    def certificates(self, **filters: str | int | bool | None) -> model.CertificatePage:
        """Return a page of certificates; parameters are those of GET /certificates."""
        return self._get(model.CertificatePage, "/certificates", filters)

    def keys(self, **filters: str | int | bool | None) -> model.KeyPage:
        """Return a page of keys; parameters are those of GET /keys."""
        return self._get(model.KeyPage, "/keys", filters)

    def hosts(self, **filters: str | int | bool | None) -> model.HostPage:
        """Return a page of hosts; parameters are those of GET /hosts."""
        return self._get(model.HostPage, "/hosts", filters)

    def places(self, **filters: str | int | bool | None) -> model.PlacePage:
        """Return a page of places; parameters are those of GET /places."""
        return self._get(model.PlacePage, "/places", filters)

    def gaps(self, **filters: str | int | bool | None) -> model.GapPage:
        """Return a page of gaps; parameters are those of GET /gaps."""
        return self._get(model.GapPage, "/gaps", filters)

    def show(self, identity: str, kind: str = "") -> model.Shown:
        """Return everything about what an ID names; NotFoundError or AmbiguousError."""
        return self._get(model.Shown, "/show", {"id": identity, "kind": kind or None})

    def where(self, identity: str, kind: str = "") -> model.Where:
        """Return every place of what an ID names; errors as `show`."""
        return self._get(model.Where, "/where", {"id": identity, "kind": kind or None})

    def groups(self, list_: str, **parameters: str | int | bool | None) -> model.Groups:
        """Return a list in groups; parameters are those of GET /groups/LIST."""
        return self._get(model.Groups, path("groups", list_), parameters)

    def views(self, *, counts: bool = False) -> list[model.View]:
        """Return all views, with how many each lists if `counts`."""
        return self._get(list[model.View], "/views", {"counts": counts})

    def view(self, name: str) -> model.View:
        """Return one view; NotFoundError if there is none of this name."""
        return self._get(model.View, path("views", name))

    def save_view(
        self, name: str, list_: str, query: str, description: str, columns: list[str]
    ) -> model.View:
        """Save a view, over one of the same name."""
        body = {"what": list_, "query": query, "description": description, "columns": columns}
        return self.tell(model.View, "PUT", path("views", name), body)

    def delete_view(self, name: str) -> None:
        """Delete a saved view."""
        self._send("DELETE", path("views", name))

    def marks(self, *, lifted: bool = False) -> list[model.Mark]:
        """Return the marks that stand, the newest first, and those that were lifted if asked for."""
        return self._get(list[model.Mark], "/marks", {"lifted": lifted})

    def mark(self, number: int) -> model.MarkDetail:
        """Return one mark with all that it reaches; NotFoundError."""
        return self._get(model.MarkDetail, f"/marks/{number}")

    def set_mark(self, identity: str, kind: str, mark: str, reason: str) -> model.MarkDetail:
        """Mark what an ID names; errors as `show`."""
        body = {"id": identity, "kind": kind, "mark": mark, "reason": reason}
        response = self._send("POST", "/marks", json=body)
        return model.decode(model.MarkDetail, _json(response, self._url))

    def lift_mark(self, number: int, reason: str) -> model.Mark:
        """Lift a mark; NotFoundError if it does not stand."""
        response = self._send("POST", f"/marks/{number}/lift", json={"reason": reason})
        return model.decode(model.Mark, _json(response, self._url))

    def history(
        self, identity: str, kind: str = "", *, before: int | None = None, limit: int = PAGE_LIMIT
    ) -> model.TimeLine:
        """Return a page of what happened to what an ID names; errors as `show`."""
        asked = {"id": identity, "kind": kind or None, "before": before, "limit": limit}
        return self._get(model.TimeLine, "/history", asked)

    def diff(self, list_: str, since: str, until: str, q: str | None) -> model.Difference:
        """Return what differs between two dates in what a query lists."""
        asked = {"since": since, "until": until, "q": q}
        return self._get(model.Difference, f"/diff/{list_}", asked)

    def coverage(self, as_of: str | None = None) -> model.Coverage:
        """Return how much of the fleet was looked at; with `as_of` (a date or an age) as it was then."""
        return self._get(model.Coverage, "/coverage", {"as_of": as_of})

    def imports(self, *, replaced: bool = False) -> list[model.Import]:
        """Return what was imported, the newest first, and what others replaced if asked for."""
        return self._get(list[model.Import], "/imports", {"replaced": replaced})

    def import_bundle(self, file: BinaryIO, *, rename: bool = False) -> model.BundleTaken:
        """Bring a bundle of a host that can't enrol; UsageError says what is wrong with it."""
        response = self._upload("/imports/bundle", file, rename=str(rename).lower())
        return model.decode(model.BundleTaken, _json(response, self._url))

    def import_artifacts(
        self, file: BinaryIO, name: str, *, preview: bool = False
    ) -> model.ArtifactsTaken:
        """Bring certificates and revocation lists; UsageError says what is wrong with them."""
        sent = {"name": name, "preview": str(preview).lower()}
        response = self._upload("/imports/artifacts", file, **sent)
        return model.decode(model.ArtifactsTaken, _json(response, self._url))

    def import_ca_list(self, file: BinaryIO, **parameters: str) -> model.ListTaken:
        """Bring what an authority says it issued; UsageError says what is wrong with it."""
        response = self._upload("/imports/ca-list", file, **parameters)
        return model.decode(model.ListTaken, _json(response, self._url))

    def ask(self, type_: type[_Type], path: str, parameters: Parameters | None = None) -> _Type:
        """Return what GET answers, as `type_`."""
        return self._get(type_, path, parameters)

    def tell(
        self,
        type_: type[_Type],
        method: str,
        path: str,
        body: Mapping[str, Any],
        *,
        over: str = "",
    ) -> _Type:
        """Send a body by a method that changes something, and return the answer as `type_`.

        `over`: the tag of what may be changed; ChangedError if it is another one now.
        """
        headers = {"If-Match": over} if over else {}
        response = self._send(method, path, json=dict(body), headers=headers)
        return model.decode(type_, _json(response, self._url))

    def delete(self, path: str) -> None:
        """Delete what is at a path."""
        self._send("DELETE", path)

    def declare(self, body: Mapping[str, Any], *, check: bool, over: str = "") -> DeclaredOutcome:
        """Make all that people set what `body` says; with `check`, only return what it would be.

        `over`: the tag of what it may go over; ChangedError if another is there. MistakenError.
        """
        response = self._send(
            "POST",
            path("declared"),
            json=dict(body),
            params={"check": "true"} if check else None,
            headers={"If-Match": over} if over else {},
            timeout=UPLOAD_TIMEOUT,
        )
        return model.decode(DeclaredOutcome, _json(response, self._url))

    def import_hosts(self, file: BinaryIO, source: str, format_: str) -> model.KnownTaken:
        """Bring a list of known hosts; UsageError says what is wrong with it."""
        response = self._upload("/imports/hosts", file, source=source, format=format_)
        return model.decode(model.KnownTaken, _json(response, self._url))

    def export(self, list_: str, **parameters: str | None) -> Iterator[str]:
        """Yield a whole list as text, line by line; parameters are those of GET /export.

        AnswerError after the last line if the collector did not say that it was the last one.
        """
        sent = {name: value for name, value in parameters.items() if value is not None}
        try:
            with self._http.stream("GET", f"/export/{list_}", params=sent) as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise _problem(response, self._url)
                yield from whole(map(safe_again, response.iter_lines()))
        except httpx.HTTPError as error:
            raise self._failure(error) from None

    def all_certificates(
        self, limit: int | None, **filters: str | int | bool | None
    ) -> Iterator[model.CertificatePage]:
        """Yield pages until `limit` items came, or all."""
        return pages(self.certificates, limit, filters)

    def all_keys(
        self, limit: int | None, **filters: str | int | bool | None
    ) -> Iterator[model.KeyPage]:
        """Yield pages until `limit` items came, or all."""
        return pages(self.keys, limit, filters)

    def all_hosts(
        self, limit: int | None, **filters: str | int | bool | None
    ) -> Iterator[model.HostPage]:
        """Yield pages until `limit` items came, or all."""
        return pages(self.hosts, limit, filters)

    def all_places(
        self, limit: int | None, **filters: str | int | bool | None
    ) -> Iterator[model.PlacePage]:
        """Yield pages until `limit` items came, or all."""
        return pages(self.places, limit, filters)

    def all_gaps(
        self, limit: int | None, **filters: str | int | bool | None
    ) -> Iterator[model.GapPage]:
        """Yield pages until `limit` items came, or all."""
        return pages(self.gaps, limit, filters)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _get(self, type_: type[_Type], path: str, parameters: Parameters | None = None) -> _Type:
        sent = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in (parameters or {}).items()
            if value is not None
        }
        try:
            response = self._http.get(path, params=sent)
        except httpx.HTTPError as error:
            raise self._failure(error) from None
        if response.status_code != httpx.codes.OK:
            raise _problem(response, self._url)
        return model.decode(type_, _json(response, self._url))

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:  # noqa: ANN401 - JSON is any
        try:
            response = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise self._failure(error) from None
        if not response.is_success:
            raise _problem(response, self._url)
        return response

    def _upload(self, path: str, file: BinaryIO, **parameters: str) -> httpx.Response:
        return self._send(
            "POST",
            path,
            content=iter(partial(file.read, _UPLOAD_BYTES), b""),
            params=parameters,
            headers={"Content-Type": "application/octet-stream"},
            timeout=UPLOAD_TIMEOUT,
        )

    def _failure(self, error: httpx.HTTPError) -> KeycensusError:
        verification = _find_cause(error, ssl.SSLCertVerificationError)
        if verification is not None:
            return UntrustedError(
                f"the certificate of {self._url} is not trusted: {verification.verify_message};"
                " if the collector has its own authority, give that with --ca-file at login"
            )
        if isinstance(error, httpx.TimeoutException):
            return UnreachableError(f"{self._url} did not answer in time: try again later")
        reason = _find_cause(error, OSError) or error
        return UnreachableError(
            f"{self._url} can't be reached: {safe_again(str(reason))};"
            " check the address, the port (8443) and that the collector runs"
        )


def _trust(ca_file: str) -> ssl.SSLContext:
    """Return the system's authorities, or only those of a file."""
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except FileNotFoundError:
        raise UsageError(f"the authority's file {ca_file} is not there: log in again") from None
    except (ssl.SSLError, OSError) as error:
        raise UsageError(f"the authority's file {ca_file} can't be used: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def whole(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines without the last one, which says that the rest is all of it; AnswerError if none does."""
    before: str | None = None
    for line in lines:
        if before is not None:
            yield before + "\n"
        before = line
    if before is None or not _END.fullmatch(before):
        raise AnswerError("the collector's answer was cut short: what came is not all, ask again")


def path(*parts: str) -> str:
    """Return a path of the interface from its parts."""
    return "/" + "/".join(quote(part, safe="") for part in parts)


_Cause = TypeVar("_Cause", bound=BaseException)


def _find_cause(error: BaseException | None, type_: type[_Cause]) -> _Cause | None:
    while error is not None:
        if isinstance(error, type_):
            return error
        error = error.__cause__ or error.__context__
    return None


def _json(response: httpx.Response, url: str) -> Any:  # noqa: ANN401 - JSON is any
    try:
        return response.json()
    except ValueError:
        raise AnswerError(f"{url} answers, but not like a collector: check the address") from None


_ERRORS: dict[int, type[KeycensusError]] = {
    httpx.codes.NOT_FOUND: NotFoundError,
    httpx.codes.PRECONDITION_FAILED: ChangedError,
}


def _problem(response: httpx.Response, url: str) -> KeycensusError:
    """Return the error for an answer that is none (RFC 9457)."""
    content = _json(response, url)
    if not isinstance(content, dict) or not isinstance(content.get("detail"), str):
        return AnswerError(f"{url} answers, but not like a collector: check the address")
    detail = "\n  ".join(safe_again(line) for line in content["detail"].split("\n"))
    status = response.status_code
    if status == httpx.codes.UNAUTHORIZED:
        return UnauthorisedError(f"{url} refused the token: {detail}")
    if status in _ERRORS:
        return _ERRORS[status](detail)
    if status == httpx.codes.CONFLICT:
        matches = [model.decode(model.Match, match) for match in content.get("candidates", [])]
        lines = [f"  {match.kind:<12} {match.id}  {match.name}" for match in matches]
        return AmbiguousError("\n".join([detail, *lines]))
    if status in {httpx.codes.BAD_REQUEST, httpx.codes.FORBIDDEN}:
        pointer = content.get("pointer")
        lines = [f"  {safe_again(str(line))}" for line in pointer or []]
        mistakes = _mistakes(content.get("mistakes"))
        return (
            MistakenError(detail, mistakes) if mistakes else UsageError("\n".join([detail, *lines]))
        )
    return AnswerError(f"{url} answers with an error ({status}): {detail}")


def _mistakes(said: object) -> list[tuple[str, int, str]]:
    """Return mistakes that say where in what was sent they are."""
    return [
        (safe_again(each["parameter"]), each["line"], safe_again(each["message"]))
        for each in (said if isinstance(said, list) else [])
        if isinstance(each, dict)
        and isinstance(each.get("line"), int)
        and isinstance(each.get("parameter"), str)
        and isinstance(each.get("message"), str)
    ]


_Page = TypeVar("_Page", bound=model.Page)


def pages(get: Callable[..., _Page], limit: int | None, filters: Parameters) -> Iterator[_Page]:
    """Yield pages as `get` gives them until `limit` items came, or all."""
    left = limit
    cursor: str | None = None
    while left is None or left > 0:
        size = PAGE_LIMIT if left is None else min(left, PAGE_LIMIT)
        page = get(**filters, limit=size, cursor=cursor)
        yield page
        cursor = page.next
        if cursor is None:
            return
        if left is not None:
            left -= size
