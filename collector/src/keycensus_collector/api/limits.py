"""How long what is asked on people's port may take."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from keycensus_collector.store.engine import read_seconds

# The slowest honest answer is an exact count over millions; the `keycensus` command waits for 60.
MOST_SECONDS = 45.0


class TimeLimit:
    """Ends each read of the database that a request asks for after `seconds`, with a problem (503)."""

    def __init__(self, app: ASGIApp, seconds: float = MOST_SECONDS) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with the limit set for what runs below."""
        token = read_seconds.set(self._seconds)
        try:
            await self._app(scope, receive, send)
        finally:
            read_seconds.reset(token)
