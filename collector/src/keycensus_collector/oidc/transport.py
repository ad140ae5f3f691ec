"""Asking a provider: over TLS only, with a bound on bytes and on time, and never led elsewhere.

On the border to the provider, which is configured by the operator and not trusted to behave.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from keycensus_collector import __version__
from keycensus_collector.oidc.refusals import SignInError, provider_trouble
from keycensus_collector.text import safe_text

# In all for one answer, from looking up the name to the last byte.
MOST_SECONDS = 10.0
# A JWK Set of a hundred keys with certificates, or a token with ten thousand groups.
MOST_BYTES = 512 * 1024
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # what is packed has no bound
    "User-Agent": f"keycensus-collector/{__version__}",
}


class Transport:
    """Asks one provider, whose certificates lead to `ca_file`, or else to an authority of the system."""

    def __init__(self, ca_file: Path | None, seconds: float = MOST_SECONDS) -> None:
        self._ca_file = ca_file
        self._seconds = seconds
        self._context: ssl.SSLContext | None = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Return the JSON at an address; SignInError if there is none."""
        status, content = await self._ask("GET", url, headers, None)
        if status != httpx.codes.OK:
            raise provider_trouble("answer", f"the provider answered {status} at {safe_text(url)}")
        return content

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        """Send a form; return status and JSON of the answer, whatever that is."""
        return await self._ask("POST", url, headers, form)

    async def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
    ) -> tuple[int, Any]:
        try:
            async with asyncio.timeout(self._seconds):
                status, body = await self._exchange(method, url, headers, form)
        except TimeoutError:
            raise _down(url, f"it took longer than {self._seconds:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise _down(url, str(error) or type(error).__name__) from None
        try:
            return status, json.loads(body)
        except (ValueError, RecursionError):
            if status == httpx.codes.OK:
                raise provider_trouble(
                    "answer", f"what the provider answered at {safe_text(url)} is no JSON"
                ) from None
            return status, None

    async def _exchange(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        form: Mapping[str, str] | None,
    ) -> tuple[int, bytes]:
        check_https(url)
        body = bytearray()
        async with (
            httpx.AsyncClient(verify=self._trust(), timeout=self._seconds) as client,
            client.stream(
                method, url, headers={**_HEADERS, **(headers or {})}, data=form
            ) as response,
        ):
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise provider_trouble("answer", f"{safe_text(url)} answers packed, unasked")
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise provider_trouble(
                        "answer", f"{safe_text(url)} answers more than {MOST_BYTES:,} bytes"
                    )
        return response.status_code, bytes(body)

    def _trust(self) -> ssl.SSLContext:
        if self._context is None:
            try:
                self._context = ssl.create_default_context(cafile=self._ca_file)
            except (OSError, ssl.SSLError) as error:
                raise provider_trouble(
                    "configuration", f"ca_file {self._ca_file} can't be used: {error}"
                ) from None
        return self._context


def check_https(url: str) -> None:
    """Refuse an address without TLS, also on this machine: its answers say who somebody is."""
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise provider_trouble("answer", f"{safe_text(url[:200])} is no https:// address")


def _down(url: str, why: str) -> SignInError:
    host = urlsplit(url).netloc
    return provider_trouble(
        "provider-down",
        f"the provider at {safe_text(host)} can't be asked: {safe_text(why[:300])}; try again, or "
        "sign in with a password",
    )
