"""What goes wrong, as a page: what happened and what to do. Who is not signed in is led to the sign-in."""

from __future__ import annotations

from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import Scope

from keycensus_collector.api.problems import ProblemError, mistakes_of, note, problem_of, told
from keycensus_collector.api.security import clock_of
from keycensus_collector.errors import KeycensusError, Refusal
from keycensus_collector.text import safe_text
from keycensus_collector.web.rendering import page
from keycensus_collector.web.wording import address

_log = structlog.get_logger(__name__)


def install(site: FastAPI) -> None:
    """Answer every error of the site with a page."""
    site.add_exception_handler(ProblemError, _answer)
    site.add_exception_handler(KeycensusError, _answer)
    site.add_exception_handler(RequestValidationError, _answer)
    site.add_exception_handler(HTTPException, _answer)
    site.add_exception_handler(Exception, _answer)


def too_large(scope: Scope, most: int) -> Response:
    """Return the page for whoever sent more than a form takes."""
    request = Request(scope)
    return page(
        request,
        "error.html",
        clock=clock_of(request),
        principal=None,
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        title="That is too much at once",
        detail=f"This form takes {most:,} bytes, and more was sent: nothing of it was read. Go back and send it"
        " in parts. A list of hosts or certificates can be split into several files, each imported under a name"
        " of its own.",
    )


async def _answer(request: Request, error: Exception) -> Response:
    if isinstance(error, Refusal):
        way = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        to = way if request.method == "GET" and way != "/" else ""
        return RedirectResponse(address("/sign-in", to=to), HTTPStatus.SEE_OTHER)
    status, detail = _told(request, error)
    return page(
        request,
        "error.html",
        clock=clock_of(request),
        principal=getattr(request.state, "principal", None),
        status=status,
        title=status.phrase,
        detail=detail,
    )


def _told(request: Request, error: Exception) -> tuple[HTTPStatus, str]:
    path = request.url.path
    if isinstance(error, RequestValidationError):
        return HTTPStatus.BAD_REQUEST, told(mistakes_of(error))
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        missing = status is HTTPStatus.NOT_FOUND
        return status, f"There is no page at {safe_text(path)}." if missing else str(error.detail)
    problem = error if isinstance(error, ProblemError) else None
    if isinstance(error, KeycensusError):
        note(path, error)
        problem = problem_of(error)
    if problem is not None:
        return problem.status, problem.detail
    _log.error("web.failed", path=path, exc_info=error)
    return (
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "The collector made a mistake: its log has the details.",
    )
