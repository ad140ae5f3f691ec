"""Forms of pages: what was sent is done by what REST calls, and then a page is led to; or it is shown again.

A form that was sent is answered by 303, so that a page that is loaded again does nothing twice (post,
redirect, get). What was done is said on the page that follows, by a word of `wording.DONE`: nothing that came in an
address is ever shown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeVar

from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.datastructures import FormData

from keycensus_collector.api.problems import ProblemError, note, problem_of, told
from keycensus_collector.errors import KeycensusError, UsageError
from keycensus_collector.text import safe_text
from keycensus_collector.web.asking import Mistake, Visit, form_of
from keycensus_collector.web.wording import address

# What is wrong with a form, and told; anything else is a mistake of the program.
MISTAKES = (ProblemError, KeycensusError, ValidationError)

_Told = TypeVar("_Told")


@dataclass(frozen=True, slots=True)
class Sent:
    """The fields of a form that was sent."""

    data: FormData

    def text(self, name: str) -> str:
        """Return a field without spaces around it; "" if it was not sent. Of several the last."""
        values = self.texts(name)
        return values[-1] if values else ""

    def as_typed(self, name: str) -> str:
        """Return a password: a space may be part of it."""
        return str(self.data.get(name, ""))

    def texts(self, name: str) -> list[str]:
        """Return each value of a field that several controls share."""
        return [value.strip() for value in self.data.getlist(name) if isinstance(value, str)]

    def lines(self, name: str) -> list[str]:
        """Return the lines of a field that say anything."""
        return [line.strip() for line in self.text(name).splitlines() if line.strip()]


def new_password(sent: Sent) -> str:
    """Return the password that a form has as `new` and `repeated`; UsageError if these are two."""
    new = sent.as_typed("new")
    if new != sent.as_typed("repeated"):
        raise UsageError("the new password was typed in two ways: type it again")
    return new


Again = Callable[[Sent, Mistake], Awaitable[Response]]


async def attempt(
    visit: Visit,
    act: Callable[[Sent], Awaitable[Response]],
    again: Again,
) -> Response:
    """Answer a form with what `act` returns.

    What is wrong with it (a ProblemError, an error of ours, a field that does not fit) is given to `again`,
    which returns the page with the form as it was sent.
    """
    sent = Sent(await form_of(visit.request))
    try:
        return await act(sent)
    except MISTAKES as error:
        return await again(sent, mistake_of(error, visit.request.url.path))


async def submit(
    visit: Visit,
    act: Callable[[Sent], Awaitable[str]],
    again: Again,
    done: str,
) -> Response:
    """Do what a form asks for with `act`, and lead to the address that it returns, which says `done`."""

    async def lead(sent: Sent) -> Response:
        return led(await act(sent), done)

    return await attempt(visit, lead, again)


def led(to: str, done: str) -> Response:
    """Return what leads to a page of ours, which says `done`."""
    path, _, query = to.partition("?")
    there = f"{path}?{query}&done={done}" if query else address(path, done=done)
    return RedirectResponse(there, HTTPStatus.SEE_OTHER)


async def told_first(
    visit: Visit,
    ask: Callable[[Response], Awaitable[_Told]],
    mistake: Mistake | None,
    *,
    is_asked: bool,
) -> tuple[_Told | None, str, Mistake | None]:
    """Return what `ask` tells of what would be done, its digest, and what is wrong: a `mistake` that was made before, or its own.

    `is_asked`: whether somebody said yet how it is to be done; until then the form asks, and that is no mistake.
    """
    answer = Response()
    try:
        told = await ask(answer)
    except MISTAKES as error:
        if is_asked or not isinstance(error, UsageError):
            mistake = mistake or mistake_of(error, visit.request.url.path)
        return None, "", mistake
    return told, answer.headers["ETag"].strip('"'), mistake


async def refused(visit: Visit, mistake: Mistake) -> Response:
    """Return a page of its own for the mistake of a form that has nothing to be filled in again."""
    return visit.page(
        "error.html", status=mistake.status, title=mistake.status.phrase, detail=mistake.detail
    )


def mistake_of(error: ProblemError | KeycensusError | ValidationError, path: str) -> Mistake:
    """Return what to say of an error; an error that is a mistake of the program is raised again."""
    if isinstance(error, ValidationError):
        mistakes = [
            {
                "parameter": ".".join(str(part) for part in mistake["loc"]),
                "message": str(mistake["msg"]).removeprefix("Value error, "),
            }
            for mistake in error.errors(include_input=False, include_url=False)
        ]
        return Mistake(HTTPStatus.BAD_REQUEST, safe_text(told(mistakes)))
    problem = error if isinstance(error, ProblemError) else problem_of(error)
    if problem is None:
        raise error
    if isinstance(error, KeycensusError):
        note(path, error)
    pointer = "\n".join(problem.members.get("pointer", ()))
    return Mistake(problem.status, problem.detail, pointer)
