"""Errors as problem+json (RFC 9457): what happened, to which thing, and what to do.

Nothing of the inside gets out: an unexpected error is logged here and named only by its status.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from keycensus_collector.errors import (
    ConflictError,
    KeycensusError,
    MissingError,
    QueryError,
    Refusal,
    ScopeError,
    StoreError,
    StoreSlowError,
    UsageError,
)
from keycensus_collector.inventory.results import Match
from keycensus_collector.text import safe_text

_log = structlog.get_logger(__name__)

_JSON = "application/json"


class ProblemError(Exception):
    """A request that is answered with a problem. `type_` is a stable word for scripts."""

    def __init__(
        self,
        status: HTTPStatus,
        type_: str,
        detail: str,
        **members: Any,  # noqa: ANN401 - JSON is any
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.type = type_
        self.detail = detail
        self.members = members


def not_found(what: str) -> ProblemError:
    """Return the problem for a thing that is not in the inventory."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "not-found",
        f"{what} is not in the inventory: check the spelling, or whether its host reports here",
    )


def forbidden(detail: str) -> ProblemError:
    """Return the problem for what somebody may not do."""
    return ProblemError(HTTPStatus.FORBIDDEN, "forbidden", detail)


def no_view(name: str) -> ProblemError:
    """Return the problem for a view that nobody saved and that does not come with the program."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "not-found",
        f"there is no view {name!r}: GET /views, or keycensus views list, has all",
    )


def no_mark(number: int) -> ProblemError:
    """Return the problem for a mark that was never set, or does not stand any more."""
    return ProblemError(
        HTTPStatus.NOT_FOUND,
        "not-found",
        f"no mark {number} stands: GET /marks, or keycensus mark list, has those that do",
    )


def ambiguous(text: str, matches: Sequence[Match]) -> ProblemError:
    """Return the problem for an ID that fits several things, with all of them."""
    return ProblemError(
        HTTPStatus.CONFLICT,
        "ambiguous",
        f"{len(matches)} things fit {text!r}: ask for one of the candidates by its full id",
        candidates=[{"kind": match.kind, "id": match.id, "name": match.name} for match in matches],
    )


def problem_response(
    status: HTTPStatus,
    type_: str,
    detail: str,
    members: dict[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a problem as a response. `type` is a relative reference below docs/api.md#."""
    if status is HTTPStatus.UNAUTHORIZED:
        headers = {"WWW-Authenticate": "Bearer"}
    elif members and "retry_after" in members:
        headers = {"Retry-After": str(members["retry_after"])}
    content = {
        "type": f"#{type_}",
        "title": status.phrase,
        "status": status.value,
        "detail": detail,
        **(members or {}),
    }
    return JSONResponse(content, status, headers, media_type="application/problem+json")


def install(app: FastAPI) -> None:
    """Answer every error of the application with a problem."""
    app.add_exception_handler(ProblemError, answer)
    app.add_exception_handler(KeycensusError, _keycensus)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


async def answer(_: Request, error: Exception) -> JSONResponse:
    """Answer a problem as it says."""
    if not isinstance(error, ProblemError):
        raise error
    return problem_response(error.status, error.type, error.detail, error.members)


# What a person can put right, the particular before the general.
_ANSWERS: dict[type[KeycensusError], tuple[HTTPStatus, str]] = {
    MissingError: (HTTPStatus.NOT_FOUND, "not-found"),
    ConflictError: (HTTPStatus.CONFLICT, "conflict"),
    UsageError: (HTTPStatus.BAD_REQUEST, "usage"),
    ScopeError: (HTTPStatus.FORBIDDEN, "forbidden"),
}


def problem_of(error: KeycensusError) -> ProblemError | None:
    """Return the problem that an error of ours is to who asks; None for a mistake of the program."""
    if isinstance(error, Refusal):
        return ProblemError(HTTPStatus.UNAUTHORIZED, error.reason, str(error))
    if isinstance(error, QueryError):
        return ProblemError(
            HTTPStatus.BAD_REQUEST,
            "query",
            str(error),
            position=error.position,
            length=error.length,
            pointer=error.pointer().split("\n"),
        )
    for kind, (status, type_) in _ANSWERS.items():
        if isinstance(error, kind):
            return ProblemError(status, type_, str(error))
    if isinstance(error, StoreSlowError):
        return ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "too-slow",
            "finding the answer took too long, and was ended: ask for less, or leave total=exact out",
            retry_after=60,
        )
    if isinstance(error, StoreError):
        return ProblemError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "store",
            "the collector's database can't be used now: its log says why",
        )
    return None


def note(path: str, error: KeycensusError) -> None:
    """Log what operators should know of an error that somebody was told of."""
    if isinstance(error, StoreSlowError):
        _log.warning("api.too-slow", path=path)
    elif isinstance(error, StoreError):
        _log.error("api.store-failed", path=path, error=str(error))


async def _keycensus(request: Request, error: Exception) -> JSONResponse:
    problem = problem_of(error) if isinstance(error, KeycensusError) else None
    if problem is None or not isinstance(error, KeycensusError):
        return await _unexpected(request, error)
    note(request.url.path, error)
    return problem_response(problem.status, problem.type, problem.detail, problem.members)


async def _validation(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise error
    sent = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if sent != _JSON and any(mistake["loc"] == ("body",) for mistake in error.errors()):
        return problem_response(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            f"send the body as {_JSON}, not as {safe_text(sent) or 'anything without a type'}",
            headers={f"Accept-{request.method.title()}": _JSON},
        )
    mistakes = mistakes_of(error)
    return problem_response(HTTPStatus.BAD_REQUEST, "usage", told(mistakes), {"mistakes": mistakes})


def mistakes_of(error: RequestValidationError) -> list[dict[str, str]]:
    """Return what is wrong with which parameter of a request."""
    return [
        {"parameter": str(mistake["loc"][-1]), "message": _message(mistake)}
        for mistake in error.errors()
    ]


def told(mistakes: Sequence[Mapping[str, str]]) -> str:
    """Return mistakes in one line."""
    return "; ".join(f"{mistake['parameter']}: {mistake['message']}" for mistake in mistakes)


def _message(mistake: dict[str, Any]) -> str:
    if mistake["type"] == "extra_forbidden":
        return "there is no such parameter; /api/v1/openapi.json lists them"
    return str(mistake["msg"]).removeprefix("Value error, ")


async def _http(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise error
    status = HTTPStatus(error.status_code)
    details = {
        HTTPStatus.NOT_FOUND: f"there is nothing at {request.url.path}; see /api/v1/openapi.json",
        HTTPStatus.METHOD_NOT_ALLOWED: f"{safe_text(request.method)} can't be used here, but "
        + _allowed(request),
    }
    type_ = status.phrase.lower().replace(" ", "-")
    headers = {"Allow": _allowed(request)} if status is HTTPStatus.METHOD_NOT_ALLOWED else None
    detail = details.get(status, str(error.detail))
    return problem_response(status, type_, detail, headers=headers)


def _allowed(request: Request) -> str:
    """Return the methods of all routes at the path, of which each knows only its own."""
    methods: set[str] = set()
    for path, item in request.app.openapi()["paths"].items():
        if compile_path(path)[0].match(request.url.path):
            methods |= {method.upper() for method in item}
    return ", ".join(sorted(methods))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("api.failed", path=request.url.path, exc_info=error)
    return problem_response(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "internal",
        "the collector made a mistake: its log has the details",
    )
