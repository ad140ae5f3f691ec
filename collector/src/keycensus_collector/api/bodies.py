"""How long the body of a request may be. On the border to people, before anything reads it."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keycensus_collector.api.problems import problem_response

# A query of 8,000 characters, or some thousand ids of a bulk edit.
MOST_BYTES = 1024 * 1024


class BodyLimit:
    """Answers 413 to a body that is longer than `most`; paths in `larger` have a limit of their own."""

    def __init__(
        self,
        app: ASGIApp,
        most: int = MOST_BYTES,
        larger: dict[str, int] | None = None,
        refused: Callable[[Scope, int], ASGIApp] | None = None,
    ) -> None:
        """`refused`: what answers instead of a problem, by the request and how much it may have."""
        self._app = app
        self._refused = refused or _problem
        self._most = most
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, counting what is received."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._larger.get(scope["path"], self._most)
        refusal = self._refused(scope, most)
        said = Headers(scope=scope).get("Content-Length", "")
        if said.isdecimal() and int(said) > most:
            await refusal(scope, receive, send)
            return
        received, too_long, started = 0, False, False

        async def counting() -> Message:
            nonlocal received, too_long
            message = await receive()
            received += len(message.get("body", b""))
            too_long = received > most
            return {"type": "http.disconnect"} if too_long else message

        async def noting(message: Message) -> None:
            nonlocal started
            # What the application makes of half a body is not what happened.
            if not too_long or started:
                started = True
                await send(message)

        await self._app(scope, counting, noting)
        if too_long and not started:
            await refusal(scope, receive, send)


def _problem(_: Scope, most: int) -> ASGIApp:
    return problem_response(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too-large",
        f"the body of this request may have {most:,} bytes: send it in parts",
    )
